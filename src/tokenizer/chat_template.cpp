#include "suture/chat_template.h"

#include <optional>
#include <system_error>
#include <utility>

#include "suture/error.h"

#include "format/file.h"
#include "format/model_folder.h"
#include "tokenizer/jinja.h"
#include "tokenizer/tokenizer_files.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTemplateBytes = 1 << 20;

[[noreturn]] void refuse(const std::string& name, const std::string& found) {
  throw UsageError({name,
                    {},
                    found,
                    "a chat template in the part of Jinja that suture runs",
                    "render the conversation in Python with apply_chat_template, and give the "
                    "prompt as text"});
}

// The value of `key`. A tokenizer class of transformers may have one of its own where the
// configuration has none, so a template that needs it is refused.
std::optional<std::string> token_for(const fs::path& folder, const std::string& key,
                                     const jinja::Block& program, const std::string& name) {
  if (!jinja::reads(program, key)) return std::nullopt;
  const format::Json config = read_side_json(folder, "tokenizer_config.json");
  if (!config.is_object() || !config.contains(key))
    refuse(name, "a chat template with " + key + ", which tokenizer_config.json does not have");
  return configured_token(folder, key);
}

jinja::Block parsed(const std::string& text, const std::string& name) {
  if (!is_utf8(text)) refuse(name, "a chat template that is not UTF-8");
  if (text.size() > kMaxTemplateBytes) refuse(name, "a chat template of over 1 MiB");
  try {
    return jinja::parse(text);
  } catch (const jinja::Refusal& refusal) {
    refuse(name, std::string("a chat template with ") + refusal.what());
  }
}

// Where a model folder has its template, and the text.
std::pair<std::string, std::string> template_of(const fs::path& folder) {
  const fs::path file = folder / "chat_template.jinja";
  std::error_code error;
  if (fs::exists(fs::symlink_status(file, error))) {
    return {file.string(), format::read_small_file(format::resolve_inside(folder, file.filename()),
                                                   kMaxTemplateBytes)};
  }
  const format::Json config = read_side_json(folder, "tokenizer_config.json");
  const std::string name = (folder / "tokenizer_config.json").string();
  if (!config.is_object() || !config.contains("chat_template")) refuse(name, "no chat template");
  if (!config["chat_template"].is_string()) refuse(name, "several chat templates");
  return {name, config["chat_template"].get<std::string>()};
}

}  // namespace

struct ChatTemplate::Content {
  std::string name;
  std::string text;
  jinja::Block program;
  jinja::Surroundings surroundings;
};

ChatTemplate ChatTemplate::open(const std::string& location) {
  const fs::path folder = find_tokenizer_json(location).parent_path();
  auto [name, text] = template_of(folder);
  jinja::Block program = parsed(text, name);
  jinja::Surroundings surroundings{token_for(folder, "bos_token", program, name),
                                   token_for(folder, "eos_token", program, name)};
  return ChatTemplate(std::make_shared<const Content>(
      Content{std::move(name), std::move(text), std::move(program), std::move(surroundings)}));
}

ChatTemplate ChatTemplate::recognise(const std::string& jinja,
                                     const std::optional<std::string>& bos_token,
                                     const std::string& name,
                                     const std::optional<std::string>& eos_token) {
  return ChatTemplate(std::make_shared<const Content>(
      Content{name, jinja, parsed(jinja, name), {bos_token, eos_token}}));
}

const std::string& ChatTemplate::jinja() const { return content_->text; }

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                 bool add_generation_prompt) const {
  if (messages.empty())
    throw UsageError({{}, {}, "a conversation without messages", "at least one", {}});
  std::vector<ChatMessage> well_formed;
  for (const ChatMessage& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      throw UsageError(
          {{}, {}, "the role '" + printable(message.role) + "'", "system, user or assistant", {}});
    }
    well_formed.push_back({message.role, replace_ill_formed(message.content)});
  }
  jinja::Surroundings surroundings = content_->surroundings;
  surroundings.add_generation_prompt = add_generation_prompt;
  try {
    return jinja::render(content_->program, well_formed, surroundings);
  } catch (const jinja::Refusal& refusal) {
    refuse(content_->name, std::string("a conversation that meets ") + refusal.what());
  }
}

}  // namespace suture
