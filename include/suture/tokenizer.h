#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace suture {

/// A byte-pair tokenizer as a model's `tokenizer.json` describes it: byte-level (GPT-2, Qwen,
/// Llama 3) or with byte fallback (Llama 2, Mistral). Ids equal those of the `tokenizers` package,
/// but for about 200 rare characters under a Unicode normalisation: the package's tables are older
/// than utf8proc's (docs/formats.md).
/// Immutable and cheap to copy; safe to use from several threads.
class Tokenizer {
 public:
  /// Reads `tokenizer.json` of a model folder, of `org/name[@revision]` in the local Hugging Face
  /// cache, or the file itself. Throws UsageError when there is none, FormatError for a broken one
  /// and for each component it cannot reproduce exactly, by its name.
  static Tokenizer open(const std::string& location);

  /// Token ids of `text`. Special tokens written out in the text become their ids; where the text
  /// is not UTF-8, each ill-formed part counts as U+FFFD, as in Python's `errors="replace"`.
  /// `add_special_tokens` lets the post-processor add what it adds, such as a first BOS.
  std::vector<std::int64_t> encode(std::string_view text, bool add_special_tokens = false) const;

  /// The text of `ids`: the inverse of `encode` up to normalisation. Bytes that form no UTF-8 come
  /// out as U+FFFD. Throws UsageError for an id that is not in the vocabulary.
  std::string decode(const std::vector<std::int64_t>& ids, bool skip_special_tokens = true) const;

  /// The id of a token by its text in the vocabulary, such as `<|im_end|>`.
  std::optional<std::int64_t> id_of(std::string_view token) const;

  /// Whether `id` is a token's. A model's vocabulary may be padded with rows that are not.
  bool has_id(std::int64_t id) const;

  /// The vocabulary's text of `id`, such as `Ġthe`. Throws UsageError for an id that is not in it.
  std::string token_of(std::int64_t id) const;

  /// One more than the largest id, added tokens included.
  std::int64_t vocab_size() const;

  /// The ids of `bos_token` and `eos_token` in `tokenizer_config.json` beside `tokenizer.json`.
  std::optional<std::int64_t> bos_id() const;
  std::optional<std::int64_t> eos_id() const;

  /// Digest of everything that decides ids, as hexadecimal text: equal for equal tokenizers.
  std::string digest() const;

 private:
  // What all copies share.
  struct Content;
  explicit Tokenizer(std::shared_ptr<const Content> content) : content_(std::move(content)) {}
  std::shared_ptr<const Content> content_;
};

}  // namespace suture
