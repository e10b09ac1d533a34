#include "suture/tokenizer.h"

#include <algorithm>
#include <utility>

#include "suture/error.h"

#include "format/digest.h"
#include "format/json.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/byte_pair_encoding.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/token_decoder.h"
#include "tokenizer/tokenizer_files.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

constexpr std::uint64_t kMaxTokenizerBytes = 256 << 20;

// Component `key` of the file, or one that does nothing where it is absent or null.
template <class Component>
Component component_of(const TokenizerPart& root, const char* key) {
  return root.lacks(key) ? Component() : Component(root.part(key));
}

// What decides ids and is not in tables: the components as they are written.
std::string component_text(const format::Json& json) {
  std::string text;
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    text += std::string(key) + " " + json.value(key, format::Json()).dump() + "\n";
  }
  return text;
}

}  // namespace

struct Tokenizer::Content {
  Content(const format::Json& json, const std::string& file_name)
      : Content(TokenizerPart(json, file_name, {})) {}
  explicit Content(const TokenizerPart& root)
      : file(root.file()),
        model(root.part("model")),
        normalizer(component_of<Normalizer>(root, "normalizer")),
        pre_tokenizer(component_of<PreTokenizer>(root, "pre_tokenizer")),
        post_processor(component_of<PostProcessor>(root, "post_processor")),
        decoder(component_of<TokenDecoder>(root, "decoder")),
        added(root, model.vocabulary(), normalizer),
        components(component_text(root.json())) {
    check_post_processor(root);
  }

  std::int64_t end() const { return std::max(model.vocabulary().end(), added.end()); }

  // An added token's text goes before the vocabulary's.
  const std::string* find_token(std::int64_t id) const {
    const AddedToken* token = added.find(id);
    return token != nullptr ? &token->shown : model.vocabulary().token_of(id);
  }

  const std::string& token_of(std::int64_t id) const {
    const std::string* token = find_token(id);
    if (token == nullptr) {
      throw UsageError({file,
                        {},
                        "no token has the id " + std::to_string(id),
                        "ids from 0 to " + std::to_string(end() - 1),
                        {}});
    }
    return *token;
  }

  std::optional<std::int64_t> id_of(std::string_view token) const {
    if (const AddedToken* known = added.find(token)) return known->id;
    return model.vocabulary().id_of(token);
  }

  void check_post_processor(const TokenizerPart& root) const {
    for (const auto* ids : {&post_processor.before, &post_processor.after}) {
      for (const std::int64_t id : *ids) {
        if (find_token(id) == nullptr)
          root.refuse("post_processor: no token has the id " + std::to_string(id));
      }
    }
  }

  std::optional<std::int64_t> configured(const std::filesystem::path& folder,
                                         const std::string& name) const {
    if (const auto token = configured_token(folder, name + "_token")) return id_of(*token);
    const auto id = configured_id(folder, name + "_token_id");
    return id && find_token(*id) != nullptr ? id : std::nullopt;
  }

  void encode_plain(std::string_view text, bool at_start, std::vector<std::int64_t>& ids) const {
    const TextPieces pieces = pre_tokenizer({std::string(text), {{0, text.size()}}, at_start});
    for (const TextRange& range : pieces.ranges) {
      model.encode(std::string_view(pieces.text).substr(range.begin, range.end - range.begin), ids);
    }
  }

  // Text without tokens that are looked for before normalisation.
  void encode_raw(std::string_view raw, bool at_start, std::vector<std::int64_t>& ids) const {
    const std::string text = normalizer(raw);
    for (const AddedTokenPart& part : added.cut_normalized(text)) {
      if (part.id) {
        ids.push_back(*part.id);
      } else {
        encode_plain(
            std::string_view(text).substr(part.range.begin, part.range.end - part.range.begin),
            at_start && part.range.begin == 0, ids);
      }
    }
  }

  std::string file;
  BytePairEncoding model;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  TokenDecoder decoder;
  AddedTokens added;
  std::string components;
  std::optional<std::int64_t> bos, eos;
};

Tokenizer Tokenizer::open(const std::string& location) {
  const std::filesystem::path path = find_tokenizer_json(location);
  const std::string file = path.string();
  const auto content =
      std::make_shared<Content>(format::read_json_file(path, kMaxTokenizerBytes), file);
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  content->bos = content->configured(folder, "bos");
  content->eos = content->configured(folder, "eos");
  return Tokenizer(content);
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string replaced;
  if (!is_utf8(text)) text = replaced = replace_ill_formed(text);
  std::vector<std::int64_t> ids;
  if (add_special_tokens) ids = content_->post_processor.before;
  for (const AddedTokenPart& part : content_->added.cut_raw(text)) {
    if (part.id) {
      ids.push_back(*part.id);
    } else {
      content_->encode_raw(text.substr(part.range.begin, part.range.end - part.range.begin),
                           part.range.begin == 0, ids);
    }
  }
  if (add_special_tokens) {
    const auto& after = content_->post_processor.after;
    ids.insert(ids.end(), after.begin(), after.end());
  }
  return ids;
}

std::string Tokenizer::decode(const std::vector<std::int64_t>& ids,
                              bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int64_t id : ids) {
    const std::string& token = content_->token_of(id);
    if (!skip_special_tokens || !content_->added.is_special(token)) tokens.push_back(token);
  }
  return content_->decoder(std::move(tokens));
}

std::optional<std::int64_t> Tokenizer::id_of(std::string_view token) const {
  return content_->id_of(token);
}

bool Tokenizer::has_id(std::int64_t id) const { return content_->find_token(id) != nullptr; }

std::string Tokenizer::token_of(std::int64_t id) const { return content_->token_of(id); }

std::int64_t Tokenizer::vocab_size() const { return content_->end(); }

std::optional<std::int64_t> Tokenizer::bos_id() const { return content_->bos; }
std::optional<std::int64_t> Tokenizer::eos_id() const { return content_->eos; }

std::string Tokenizer::digest() const {
  format::DigestStream stream;
  stream.update(content_->components);
  stream.update(content_->model.rules());
  stream.update(content_->added.rules());
  for (std::int64_t id = 0; id < content_->end(); ++id) {
    if (const std::string* token = content_->model.vocabulary().token_of(id))
      stream.update(std::to_string(id) + " " + std::to_string(token->size()) + ":" + *token);
  }
  return to_hex(stream.finish());
}

}  // namespace suture
