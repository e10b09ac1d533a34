#pragma once

#include <string>
#include <vector>

namespace suture {

/// One message of a conversation.
struct ChatMessage {
  std::string role;  ///< `system`, `user` or `assistant`.
  std::string content;
};

/// How a chat model wants a conversation written. Templates are Jinja programs, which are not run:
/// those of the ChatML kind (Qwen2, Qwen2.5) and of the Llama 3 kind are recognised, and give the
/// text that transformers' `apply_chat_template` gives; all others are refused. Immutable; safe to
/// use from several threads.
class ChatTemplate {
 public:
  /// Reads `chat_template.jinja`, else `chat_template` in `tokenizer_config.json`, of a model
  /// folder or of `org/name[@revision]` in the local Hugging Face cache. Throws UsageError when
  /// there is none or it is of another kind, FormatError for a broken file.
  static ChatTemplate open(const std::string& location);

  /// The kind of a template by its text. `bos_token` is the text that the template puts in front
  /// where it asks for it; `name` stands for the template in errors. Throws UsageError for another
  /// kind.
  static ChatTemplate recognise(const std::string& jinja, const std::string& bos_token,
                                const std::string& name = "the chat template");

  /// The prompt; `add_generation_prompt` begins the assistant's answer. Throws UsageError for no
  /// messages, and for another role than the three.
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;

  /// The template as it was recognised.
  const std::string& jinja() const { return jinja_; }

 private:
  ChatTemplate() = default;

  std::string jinja_;
  bool is_chatml_ = true;
  bool trims_ = false;          // the white space around contents
  std::string default_system_;  // with its markers; put first when no system message is
  std::string bos_token_;
};

}  // namespace suture
