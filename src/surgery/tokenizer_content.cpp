#include "surgery/tokenizer_content.h"

#include <system_error>
#include <utility>

#include "suture/error.h"

#include "format/file.h"
#include "format/json.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using format::Json;

constexpr std::uint64_t kMaxTokenizerBytes = 256 << 20;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

void add_token(TokenizerContent& content, const std::string& text, const Json& id) {
  if (!id.is_number_unsigned() || id.get<std::uint64_t>() > 100'000'000) {
    throw FormatError({content.file,
                       {},
                       "token '" + printable(text) + "' has the id " + printable(id.dump()),
                       "a whole number",
                       {}});
  }
  content.ids[text] = id.get<std::int64_t>();
}

// BPE and WordPiece keep an object, Unigram a list of [text, score] pairs in id order.
void add_vocabulary(TokenizerContent& content, const Json& vocabulary) {
  if (vocabulary.is_object()) {
    for (const auto& [text, id] : vocabulary.items()) add_token(content, text, id);
    return;
  }
  if (!vocabulary.is_array())
    throw FormatError({content.file, {}, "no vocabulary", "an object or a list", {}});
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const Json& entry = vocabulary[id];
    if (!entry.is_array() || entry.empty() || !entry[0].is_string()) {
      throw FormatError({content.file,
                         {},
                         "vocabulary entry " + std::to_string(id) + " is no token",
                         "[text, score]",
                         {}});
    }
    add_token(content, entry[0].get<std::string>(), Json(id));
  }
}

void finish_tokens(TokenizerContent& content) {
  format::DigestStream stream;
  for (const auto& [text, id] : content.ids) {
    stream.update(std::to_string(text.size()) + ":" + text + "=" + std::to_string(id) + "\n");
  }
  content.tokens = stream.finish();
}

// `"a b"` and `["a", "b"]` are two spellings of one merge.
std::string merges_text(const Json& merges) {
  std::string text;
  for (const Json& merge : merges) {
    if (merge.is_string()) {
      text += merge.get_ref<const std::string&>();
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      text += merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    } else {
      text += merge.dump();
    }
    text += '\n';
  }
  return text;
}

TokenizerContent read_tokenizer_json(const fs::path& path) {
  TokenizerContent content;
  content.file = path.string();
  const Json root = format::read_json_file(path, kMaxTokenizerBytes);
  const auto model = root.is_object() ? root.find("model") : root.end();
  if (!root.is_object() || model == root.end() || !model->is_object() ||
      !model->contains("vocab")) {
    throw FormatError({content.file, {}, "no model with a vocabulary", "a tokenizer.json", {}});
  }
  add_vocabulary(content, (*model)["vocab"]);
  if (const auto added = root.find("added_tokens"); added != root.end() && added->is_array()) {
    for (const Json& token : *added) {
      if (token.is_object() && token.contains("content") && token["content"].is_string() &&
          token.contains("id")) {
        add_token(content, token["content"].get<std::string>(), token["id"]);
      }
    }
  }
  finish_tokens(content);
  format::DigestStream rules;
  if (const auto merges = model->find("merges"); merges != model->end())
    rules.update(merges_text(*merges));
  for (const char* part : {"normalizer", "pre_tokenizer", "decoder"}) {
    rules.update(std::string(part) + root.value(part, Json()).dump());
  }
  for (const char* setting :
       {"type", "byte_fallback", "ignore_merges", "continuing_subword_prefix"}) {
    const Json value = model->value(setting, Json());
    // Absent, null, false and empty all mean the same.
    if (!value.is_null() && value != false && value != "")
      rules.update(std::string(setting) + value.dump());
  }
  content.rules = rules.finish();
  return content;
}

TokenizerContent read_vocab_and_merges(const fs::path& folder) {
  TokenizerContent content;
  content.file = (folder / "vocab.json").string();
  add_vocabulary(content, format::read_json_file(content.file, kMaxTokenizerBytes));
  finish_tokens(content);
  content.rules =
      format::digest_of(format::read_small_file(folder / "merges.txt", kMaxTokenizerBytes));
  return content;
}

TokenizerContent read_sentencepiece(const fs::path& path) {
  TokenizerContent content;
  content.file = path.string();
  content.tokens = content.rules =
      format::digest_of(format::read_small_file(path, kMaxTokenizerBytes));
  return content;
}

}  // namespace

format::Digest TokenizerContent::digest() const {
  format::DigestStream stream;
  stream.update(tokens);
  stream.update(rules);
  return stream.finish();
}

std::optional<TokenizerContent> read_tokenizer_content(const fs::path& folder) {
  if (folder.empty()) return std::nullopt;
  if (is_there(folder / "tokenizer.json")) return read_tokenizer_json(folder / "tokenizer.json");
  if (is_there(folder / "vocab.json") && is_there(folder / "merges.txt"))
    return read_vocab_and_merges(folder);
  if (is_there(folder / "tokenizer.model")) return read_sentencepiece(folder / "tokenizer.model");
  return std::nullopt;
}

std::shared_ptr<const TokenizerContent> TokenizerReader::read(const fs::path& folder) {
  std::shared_ptr<const TokenizerContent>* known = nullptr;
  if (!folder.empty() && is_there(folder / "tokenizer.json")) {
    const std::string text = format::read_small_file(folder / "tokenizer.json", kMaxTokenizerBytes);
    known = &by_digest_[to_hex(format::digest_of(text))];
    if (*known) return *known;
  }
  auto content = read_tokenizer_content(folder);
  if (!content) return nullptr;
  auto shared = std::make_shared<const TokenizerContent>(std::move(*content));
  if (known != nullptr) *known = shared;
  return shared;
}

}  // namespace suture
