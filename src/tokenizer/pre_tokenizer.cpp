#include "tokenizer/pre_tokenizer.h"

#include <utility>

#include "tokenizer/byte_level.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/tokenizer_json.h"

namespace suture {
namespace {

// What GPT-2 splits by, which the ByteLevel component has built in.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// What becomes of the matches.
enum class Delimiter { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct Section {
  TextRange range;
  bool matches;
};

Delimiter delimiter_of(const TokenizerPart& part) {
  const std::string behavior = part.text("behavior");
  if (behavior == "Isolated") return Delimiter::kIsolated;
  if (behavior == "Removed") return Delimiter::kRemoved;
  if (behavior == "MergedWithPrevious") return Delimiter::kMergedWithPrevious;
  if (behavior == "MergedWithNext") return Delimiter::kMergedWithNext;
  if (behavior == "Contiguous") return Delimiter::kContiguous;
  part.refuse_unsupported("the behavior '" + behavior + "'");
}

// The piece as matches and what stands between them.
void cut_into_sections(const std::vector<TextRange>& matches, TextRange piece,
                       std::vector<Section>& sections) {
  std::size_t done = piece.begin;
  for (const TextRange& match : matches) {
    const TextRange found{piece.begin + match.begin, piece.begin + match.end};
    if (done != found.begin) sections.push_back({{done, found.begin}, false});
    sections.push_back({found, true});
    done = found.end;
  }
  if (done != piece.end) sections.push_back({{done, piece.end}, false});
}

void append_section(const Section& section, const Section* before, std::size_t first,
                    Delimiter delimiter, std::vector<TextRange>& ranges) {
  const bool any = ranges.size() > first;
  const bool joins =
      any && before != nullptr &&
      ((delimiter == Delimiter::kContiguous && section.matches == before->matches) ||
       (delimiter == Delimiter::kMergedWithPrevious && section.matches && !before->matches) ||
       (delimiter == Delimiter::kMergedWithNext && !section.matches && before->matches));
  if (joins) {
    ranges.back().end = section.range.end;
  } else if (!(delimiter == Delimiter::kRemoved && section.matches)) {
    ranges.push_back(section.range);
  }
}

void split(TextPieces& pieces, const SplitPattern& pattern, Delimiter delimiter) {
  std::vector<TextRange> result, matches;
  std::vector<Section> sections;
  for (const TextRange& piece : pieces.ranges) {
    matches.clear();
    sections.clear();
    pattern.find_all(std::string_view(pieces.text).substr(piece.begin, piece.end - piece.begin),
                     matches);
    cut_into_sections(matches, piece, sections);
    const std::size_t first = result.size();
    for (std::size_t i = 0; i < sections.size(); ++i) {
      append_section(sections[i], i > 0 ? &sections[i - 1] : nullptr, first, delimiter, result);
    }
  }
  // Patterns may match nothing at a place: a cut, but no piece.
  std::erase_if(result, [](const TextRange& range) { return range.begin == range.end; });
  pieces.ranges = std::move(result);
}

// Writes each piece anew, through `write(piece, is_first, text)`.
template <class Write>
void rewrite(TextPieces& pieces, const Write& write) {
  std::string text;
  text.reserve(pieces.text.size() * 2);
  bool is_first = true;
  for (TextRange& range : pieces.ranges) {
    const std::size_t begin = text.size();
    write(std::string_view(pieces.text).substr(range.begin, range.end - range.begin), is_first,
          text);
    range = {begin, text.size()};
    is_first = false;
  }
  pieces.text = std::move(text);
}

}  // namespace

PreTokenizer::PreTokenizer(const TokenizerPart& part) { add(part); }

void PreTokenizer::add(const TokenizerPart& part) {
  const std::string type = part.type();
  if (type == "Sequence") {
    for (const TokenizerPart& step : part.parts("pretokenizers")) add(step);
  } else if (type == "Split") {
    add_split(part);
  } else if (type == "ByteLevel") {
    add_byte_level(part);
  } else if (type == "Metaspace") {
    add_metaspace(part);
  } else if (type == "Digits") {
    const Delimiter delimiter =
        part.flag("individual_digits", false) ? Delimiter::kIsolated : Delimiter::kContiguous;
    steps_.emplace_back([pattern = SplitPattern::regex("\\p{N}", part),
                         delimiter](TextPieces& pieces) { split(pieces, pattern, delimiter); });
  } else {
    part.refuse_unsupported("pre-tokenizer " + type);
  }
}

void PreTokenizer::add_split(const TokenizerPart& part) {
  if (part.flag("invert", false)) part.refuse_unsupported("Split with invert");
  steps_.emplace_back([pattern = SplitPattern::of_part(part), delimiter = delimiter_of(part)](
                          TextPieces& pieces) { split(pieces, pattern, delimiter); });
}

void PreTokenizer::add_byte_level(const TokenizerPart& part) {
  if (part.flag("add_prefix_space", true)) {
    steps_.emplace_back([](TextPieces& pieces) {
      rewrite(pieces, [](std::string_view piece, bool, std::string& text) {
        if (piece.front() != ' ') text += ' ';
        text += piece;
      });
    });
  }
  if (part.flag("use_regex", true)) {
    steps_.emplace_back([pattern = SplitPattern::regex(kGpt2Pattern, part)](TextPieces& pieces) {
      split(pieces, pattern, Delimiter::kIsolated);
    });
  }
  steps_.emplace_back([](TextPieces& pieces) {
    rewrite(pieces, [](std::string_view piece, bool, std::string& text) {
      append_byte_level(piece, text);
    });
  });
}

void PreTokenizer::add_metaspace(const TokenizerPart& part) {
  const Metaspace metaspace(part);
  // Behind another step, where the input begins is no longer plain.
  if (metaspace.prepend == Metaspace::Prepend::kFirst && !steps_.empty())
    part.refuse_unsupported("Metaspace with prepend_scheme 'first' behind another pre-tokenizer");
  steps_.emplace_back([metaspace](TextPieces& pieces) {
    const bool at_start = pieces.at_start;
    rewrite(pieces, [&](std::string_view piece, bool is_first, std::string& text) {
      metaspace.append(piece, is_first && at_start, text);
    });
  });
  if (metaspace.split) {
    steps_.emplace_back(
        [pattern = SplitPattern::literal(metaspace.replacement)](TextPieces& pieces) {
          split(pieces, pattern, Delimiter::kMergedWithNext);
        });
  }
}

TextPieces PreTokenizer::operator()(TextPieces pieces) const {
  for (const auto& step : steps_) step(pieces);
  return pieces;
}

}  // namespace suture
