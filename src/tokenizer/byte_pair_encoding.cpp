#include "tokenizer/byte_pair_encoding.h"

#include <algorithm>
#include <cstdio>
#include <queue>
#include <utility>

#include "suture/error.h"

#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

// Up to here a scan for the best pair beats a queue.
constexpr std::size_t kShortPiece = 24;

// Both spellings of a merge: "a b" and ["a", "b"].
std::pair<std::string_view, std::string_view> halves_of(const format::Json& merge,
                                                        std::size_t number,
                                                        const TokenizerPart& model) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  model.refuse("merge " + std::to_string(number) + " is " + printable(merge.dump()),
               "\"a b\" or [\"a\", \"b\"]");
}

void refuse_options(const TokenizerPart& model) {
  if (model.text("type", "BPE") != "BPE") model.refuse_unsupported("model " + model.type());
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(affix, "").empty()) model.refuse_unsupported(affix);
  }
  if (!model.lacks("dropout") && model.json().at("dropout") != 0)
    model.refuse_unsupported("dropout, which is random,");
  for (const char* list : {"vocab", "merges"}) {
    const bool is_list = !model.lacks(list) && (*list == 'v' ? model.json().at(list).is_object()
                                                             : model.json().at(list).is_array());
    if (!is_list) model.refuse(std::string("no '") + list + "'", "a byte-pair model");
  }
}

}  // namespace

// A symbol of a long piece, linked to those that are left beside it.
struct BytePairEncoding::Symbol {
  std::uint32_t id;
  std::int64_t previous, next;
  bool merged_away = false;
};

// A merge that may be done: the best rank first, then the leftmost.
struct BytePairEncoding::Candidate {
  std::uint32_t rank, id;
  std::int64_t at;
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

BytePairEncoding::BytePairEncoding(const TokenizerPart& model) {
  refuse_options(model);
  vocabulary_.read(model.json().at("vocab"), model);
  ignore_merges_ = model.flag("ignore_merges", false);
  read_merges(model);
  read_fallbacks(model);
}

void BytePairEncoding::read_merges(const TokenizerPart& model) {
  const format::Json& list = model.json().at("merges");
  merges_ = FlatTable<Merge>(list.size());
  std::string joined;
  const auto id_of = [&](std::string_view token, std::size_t number) {
    const auto id = vocabulary_.id_of(token);
    if (!id) {
      model.refuse("merge " + std::to_string(number) + " needs '" + printable(token) + "'",
                   "tokens of the vocabulary");
    }
    return *id;
  };
  for (std::size_t number = 0; number < list.size(); ++number) {
    const auto [left, right] = halves_of(list[number], number, model);
    joined.assign(left).append(right);
    const std::uint32_t result = id_of(joined, number);
    // Of two equal merges the later one counts, as in the tokenizers package.
    merges_.set(pair_key(id_of(left, number), id_of(right, number)),
                {static_cast<std::uint32_t>(number), result});
    rules_.append(left).append(" ").append(right).append("\n");
  }
}

void BytePairEncoding::read_fallbacks(const TokenizerPart& model) {
  byte_fallback_ = model.flag("byte_fallback", false);
  fuse_unknown_ = model.flag("fuse_unk", false);
  if (const std::string token = model.text("unk_token", ""); !model.lacks("unk_token")) {
    unknown_ = vocabulary_.id_of(token);
    if (!unknown_) model.refuse("unk_token '" + printable(token) + "' is not in the vocabulary");
  }
  for (std::size_t code = 0; code < low_characters_.size(); ++code) {
    std::string character;
    append_utf8(static_cast<char32_t>(code), character);
    const auto id = vocabulary_.id_of(character);
    low_characters_[code] = id ? std::int64_t{*id} : -1;
  }
  for (unsigned byte = 0; byte < bytes_.size(); ++byte) {
    char token[8];
    std::snprintf(token, sizeof token, "<0x%02X>", byte);
    const auto id = vocabulary_.id_of(token);
    bytes_[byte] = id ? std::int64_t{*id} : -1;
  }
  rules_ += "ignore_merges " + std::to_string(ignore_merges_) + " byte_fallback " +
            std::to_string(byte_fallback_) + " fuse_unk " + std::to_string(fuse_unknown_) +
            " unk " + (unknown_ ? std::to_string(*unknown_) : "none") + "\n";
}

std::optional<std::uint32_t> BytePairEncoding::character_id(std::string_view character) const {
  std::size_t end = 0;
  const char32_t code = next_code_point(character, end);
  if (code >= low_characters_.size()) return vocabulary_.id_of(character);
  if (low_characters_[code] < 0) return std::nullopt;
  return static_cast<std::uint32_t>(low_characters_[code]);
}

// All bytes of the character, or none when one has no token.
bool BytePairEncoding::append_bytes(std::string_view character,
                                    std::vector<std::uint32_t>& ids) const {
  const auto id_of = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char b) { return id_of(b) < 0; }))
    return false;
  for (const char byte : character) ids.push_back(static_cast<std::uint32_t>(id_of(byte)));
  return true;
}

// A character without a token becomes its bytes, else the unknown token, else nothing. The unknown
// token waits for the next known character, which lets unknown ones fuse even across bytes.
void BytePairEncoding::append_characters(std::string_view piece,
                                         std::vector<std::uint32_t>& ids) const {
  bool unknown_waits = false;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t begin = at;
    next_code_point(piece, at);
    const std::string_view character = piece.substr(begin, at - begin);
    if (const auto id = character_id(character)) {
      if (std::exchange(unknown_waits, false)) ids.push_back(*unknown_);
      ids.push_back(*id);
    } else if (!(byte_fallback_ && append_bytes(character, ids)) && unknown_) {
      if (unknown_waits && !fuse_unknown_) ids.push_back(*unknown_);
      unknown_waits = true;
    }
  }
  if (unknown_waits) ids.push_back(*unknown_);
}

void BytePairEncoding::encode(std::string_view piece, std::vector<std::int64_t>& ids) const {
  if (ignore_merges_) {
    if (const auto whole = vocabulary_.id_of(piece)) {
      ids.push_back(*whole);
      return;
    }
  }
  thread_local std::vector<std::uint32_t> symbols;
  symbols.clear();
  append_characters(piece, symbols);
  if (symbols.size() <= kShortPiece) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void BytePairEncoding::merge_short(std::vector<std::uint32_t>& ids) const {
  if (ids.size() < 2) return;
  constexpr Merge kNone{UINT32_MAX, 0};
  std::array<Merge, kShortPiece> pairs;  // of each symbol with its right neighbour
  const auto pair_at = [&](std::size_t at) {
    const Merge* merge = merges_.find(pair_key(ids[at], ids[at + 1]));
    return merge == nullptr ? kNone : *merge;
  };
  for (std::size_t at = 0; at + 1 < ids.size(); ++at) pairs[at] = pair_at(at);
  while (ids.size() > 1) {
    std::size_t best = 0;
    for (std::size_t at = 1; at + 1 < ids.size(); ++at) {
      if (pairs[at].rank < pairs[best].rank) best = at;
    }
    if (pairs[best].rank == kNone.rank) return;
    ids[best] = pairs[best].id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pairs.begin() + best + 1, pairs.begin() + ids.size(), pairs.begin() + best);
    if (best + 1 < ids.size()) pairs[best] = pair_at(best);
    if (best > 0) pairs[best - 1] = pair_at(best - 1);
  }
}

void BytePairEncoding::merge_long(std::vector<std::uint32_t>& ids) const {
  const auto count = static_cast<std::int64_t>(ids.size());
  std::vector<Symbol> symbols;
  symbols.reserve(ids.size());
  for (std::int64_t at = 0; at < count; ++at) {
    symbols.push_back({ids[static_cast<std::size_t>(at)], at - 1, at + 1});
  }
  const auto symbol = [&](std::int64_t at) -> Symbol& {
    return symbols[static_cast<std::size_t>(at)];
  };
  std::priority_queue<Candidate> queue;
  const auto consider = [&](std::int64_t at) {
    if (at < 0 || symbol(at).next >= count) return;
    const Merge* merge = merges_.find(pair_key(symbol(at).id, symbol(symbol(at).next).id));
    if (merge != nullptr) queue.push({merge->rank, merge->id, at});
  };
  for (std::int64_t at = 0; at < count; ++at) consider(at);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbol(best.at);
    if (left.merged_away || left.next >= count) continue;
    Symbol& right = symbol(left.next);
    // Symbols have changed since: what is merged now must still give the same token.
    const Merge* merge = merges_.find(pair_key(left.id, right.id));
    if (merge == nullptr || merge->id != best.id) continue;
    left.id = best.id;
    right.merged_away = true;
    left.next = right.next;
    if (left.next < count) symbol(left.next).previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  ids.clear();
  for (const Symbol& left : symbols) {
    if (!left.merged_away) ids.push_back(left.id);
  }
}

}  // namespace suture
