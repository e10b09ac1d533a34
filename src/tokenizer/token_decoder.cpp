#include "tokenizer/token_decoder.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "tokenizer/byte_level.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/split_pattern.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

using Tokens = std::vector<std::string>;

// The token's bytes; a token with a character outside the alphabet stands for itself.
void append_bytes_of(const std::string& token, std::string& bytes) {
  const std::size_t before = bytes.size();
  for (std::size_t at = 0; at < token.size();) {
    const auto byte = byte_of(next_code_point(token, at));
    if (!byte) {
      bytes.resize(before);
      bytes += token;
      return;
    }
    bytes += *byte;
  }
}

void decode_byte_level(Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) append_bytes_of(token, bytes);
  tokens = {replace_ill_formed(bytes)};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The byte of `<0xHH>`. The tokenizers package takes `+H`, too.
std::optional<char> fallback_byte(const std::string& token) {
  if (token.size() != 6 || token.compare(0, 3, "<0x") != 0 || token[5] != '>') return std::nullopt;
  const int high = token[3] == '+' ? 0 : hex_digit(token[3]), low = hex_digit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

// Runs of byte tokens become text; those that are no UTF-8 become U+FFFD, one for each byte.
void decode_byte_fallback(Tokens& tokens) {
  Tokens result;
  std::string run;
  const auto end_run = [&] {
    if (is_utf8(run)) {
      if (!run.empty()) result.push_back(run);
    } else {
      result.insert(result.end(), run.size(), "\xEF\xBF\xBD");
    }
    run.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = fallback_byte(token)) {
      run += *byte;
    } else {
      end_run();
      result.push_back(std::move(token));
    }
  }
  end_run();
  tokens = std::move(result);
}

void fuse(Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  tokens = {std::move(text)};
}

// Spaces for the replacement; in the first token, none where encoding may have put one in front.
void decode_metaspace(const Metaspace& metaspace, Tokens& tokens) {
  bool drops = metaspace.prepend != Metaspace::Prepend::kNever;
  for (std::string& token : tokens) {
    std::string text;
    for (std::size_t at = 0; at < token.size();) {
      if (token.compare(at, metaspace.replacement.size(), metaspace.replacement) == 0) {
        if (!drops) text += ' ';
        at += metaspace.replacement.size();
      } else {
        text += token[at++];
      }
    }
    token = std::move(text);
    drops = false;
  }
}

// At most so many of the character at each end.
struct Strip {
  explicit Strip(const TokenizerPart& part) : content(part.text("content")) {
    std::size_t end = 0;
    if (!content.empty()) next_code_point(content, end);
    if (content.empty() || end != content.size())
      part.refuse("'content' of another length", "one character");
    const auto count = [&](const char* key) {
      if (part.lacks(key) || !part.json().at(key).is_number_unsigned())
        part.refuse(std::string("no '") + key + "'", "a count");
      return part.json().at(key).get<std::uint64_t>();
    };
    start = count("start");
    stop = count("stop");
  }

  void operator()(std::string& token) const {
    const std::size_t bytes = content.size();
    for (std::uint64_t i = 0; i < start && token.compare(0, bytes, content) == 0; ++i)
      token.erase(0, bytes);
    for (std::uint64_t i = 0; i < stop && token.size() >= bytes &&
                              token.compare(token.size() - bytes, bytes, content) == 0;
         ++i)
      token.erase(token.size() - bytes);
  }

  std::string content;
  std::uint64_t start = 0, stop = 0;
};

}  // namespace

TokenDecoder::TokenDecoder(const TokenizerPart& part) : separator_() { add(part); }

void TokenDecoder::add(const TokenizerPart& part) {
  const std::string type = part.type();
  if (type == "Sequence") {
    for (const TokenizerPart& step : part.parts("decoders")) add(step);
  } else if (type == "ByteLevel") {
    steps_.emplace_back(decode_byte_level);
  } else if (type == "ByteFallback") {
    steps_.emplace_back(decode_byte_fallback);
  } else if (type == "Fuse") {
    steps_.emplace_back(fuse);
  } else if (type == "Metaspace") {
    steps_.emplace_back(
        [metaspace = Metaspace(part)](Tokens& tokens) { decode_metaspace(metaspace, tokens); });
  } else if (type == "Replace") {
    steps_.emplace_back(
        [pattern = SplitPattern::of_part(part), content = part.text("content")](Tokens& tokens) {
          for (std::string& token : tokens) token = pattern.replace_all(token, content);
        });
  } else if (type == "Strip") {
    steps_.emplace_back([strip = Strip(part)](Tokens& tokens) {
      for (std::string& token : tokens) strip(token);
    });
  } else {
    part.refuse_unsupported("decoder " + type);
  }
}

std::string TokenDecoder::operator()(Tokens tokens) const {
  for (const Step& step : steps_) step(tokens);
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) text += separator_;
    text += tokens[i];
  }
  return text;
}

}  // namespace suture
