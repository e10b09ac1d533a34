#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace suture {

/// One message of a conversation.
struct ChatMessage {
  std::string role;  ///< `system`, `user` or `assistant`.
  std::string content;
};

/// How a chat model wants a conversation written. Templates are Jinja programs, of which the part
/// is run that plain conversations need (docs/formats.md); it gives the text that transformers'
/// `apply_chat_template` gives without tools. Everything else is refused. Immutable and cheap to
/// copy; safe to use from several threads.
class ChatTemplate {
 public:
  /// Reads `chat_template.jinja`, else `chat_template` in `tokenizer_config.json`, of a model
  /// folder or of `org/name[@revision]` in the local Hugging Face cache. Throws UsageError when
  /// there is none, it goes beyond that part, or it needs a token that `tokenizer_config.json` does
  /// not name; FormatError for a broken file.
  static ChatTemplate open(const std::string& location);

  /// A template by its text. An absent token is undefined in it; `name` stands for the template in
  /// errors. Throws UsageError for a template that goes beyond that part.
  static ChatTemplate recognise(const std::string& jinja,
                                const std::optional<std::string>& bos_token,
                                const std::string& name = "the chat template",
                                const std::optional<std::string>& eos_token = std::nullopt);

  /// The prompt; `add_generation_prompt` begins the assistant's answer. Throws UsageError for no
  /// messages, for another role than the three, where the template raises an error or meets one,
  /// and for a template that takes more than about ten million steps.
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;

  /// The template's text.
  const std::string& jinja() const;

 private:
  // What all copies share.
  struct Content;
  explicit ChatTemplate(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

  std::shared_ptr<const Content> content_;
};

}  // namespace suture
