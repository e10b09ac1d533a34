#include "suture/chat_template.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include "suture/error.h"

#include "format/file.h"
#include "format/model_folder.h"
#include "tokenizer/tokenizer_files.h"
#include "tokenizer/utf8.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTemplateBytes = 1 << 20;

// Words of templates that write more, or other things, than the two known kinds.
constexpr std::array<std::string_view, 14> kUnknownFeatures{
    "think",   "strftime", "date",   "image",      "vision", "audio",   "video",
    "replace", "upper",    "lower(", "| tojson ~", "random", "reverse", "default("};

[[noreturn]] void refuse(const std::string& name, const std::string& found) {
  throw UsageError({name,
                    {},
                    found,
                    "a template of the ChatML or Llama 3 kind",
                    "render the conversation in Python with apply_chat_template, and give the "
                    "prompt as text"});
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// White space that Jinja leaves between its tags, with blocks trimmed as transformers has it.
bool has_text_outside_tags(std::string_view jinja) {
  if (!jinja.empty() && jinja.back() == '\n') jinja.remove_suffix(1);
  std::string_view before;  // the end of the tag in front
  while (!jinja.empty()) {
    const std::size_t next = std::min({jinja.find("{%"), jinja.find("{{"), jinja.find("{#")});
    std::string_view outside = jinja.substr(0, next);
    const std::string_view tag = next == std::string_view::npos ? "" : jinja.substr(next, 3);
    const bool stripped = before.substr(0, 1) == "-" || (tag.size() == 3 && tag[2] == '-');
    if (!stripped) {
      if (before.size() == 3 && before[1] != '}' && outside.substr(0, 1) == "\n")
        outside.remove_prefix(1);
      const bool at_line = outside.find_last_not_of(" \t") == std::string_view::npos ||
                           outside[outside.find_last_not_of(" \t")] == '\n';
      if (at_line && tag.substr(0, 2) != "{{" && !tag.empty() &&
          (before.empty() || before[1] != '}'))
        outside = outside.substr(0, outside.find_last_not_of(" \t") + 1);
    }
    if (outside.find_first_not_of(stripped ? " \t\r\n" : "") != std::string_view::npos) return true;
    if (tag.empty()) return false;
    const std::string_view close = tag[1] == '%' ? "%}" : tag[1] == '{' ? "}}" : "#}";
    const std::size_t end = jinja.find(close, next + 2);
    if (end == std::string_view::npos) return true;
    before = jinja.substr(end - 1, 3);
    jinja.remove_prefix(end + 2);
  }
  return false;
}

// The markers `<|NAME|>` of a template.
std::set<std::string_view> markers_of(std::string_view jinja) {
  std::set<std::string_view> markers;
  for (std::size_t at = jinja.find("<|"); at != std::string_view::npos;
       at = jinja.find("<|", at + 2)) {
    const std::size_t end = jinja.find("|>", at);
    if (end != std::string_view::npos) markers.insert(jinja.substr(at, end + 2 - at));
  }
  return markers;
}

// The system message that a ChatML template writes itself: text in one literal with both markers.
std::optional<std::string> default_system_of(std::string_view jinja, const std::string& name) {
  constexpr std::string_view kOpen = "<|im_start|>system\\n", kClose = "<|im_end|>";
  std::optional<std::string> found;
  for (std::size_t at = jinja.find(kOpen); at != std::string_view::npos;
       at = jinja.find(kOpen, at + 1)) {
    const std::size_t begin = at + kOpen.size();
    const std::size_t end = jinja.find(kClose, begin);
    if (end == std::string_view::npos) continue;
    const std::string text(jinja.substr(begin, end - begin));
    if (text.find_first_of("'\"{}") != std::string::npos) continue;
    if (has(text, "\\") || (found && *found != text))
      refuse(name, "a default system message in a form not known");
    found = text;
  }
  return found;
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// As Python's str.strip().
std::string_view stripped(std::string_view text) {
  while (!text.empty()) {
    std::size_t next = 0;
    if (!is_space(next_code_point(text, next))) break;
    text.remove_prefix(next);
  }
  while (!text.empty()) {
    const std::size_t last = previous_code_point(text, text.size());
    std::size_t at = last;
    if (!is_space(next_code_point(text, at))) break;
    text = text.substr(0, last);
  }
  return text;
}

void require(std::string_view jinja, const std::string& name,
             std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    if (!has(jinja, part)) refuse(name, "a chat template without '" + printable(part) + "'");
  }
}

std::string token_text(const fs::path& folder) {
  return configured_token(folder, "bos_token").value_or("");
}

}  // namespace

ChatTemplate ChatTemplate::open(const std::string& location) {
  const fs::path folder = find_tokenizer_json(location).parent_path();
  const fs::path file = folder / "chat_template.jinja";
  std::error_code error;
  if (fs::exists(fs::symlink_status(file, error))) {
    return recognise(
        format::read_small_file(format::resolve_inside(folder, file.filename()), kMaxTemplateBytes),
        token_text(folder), file.string());
  }
  const format::Json config = read_side_json(folder, "tokenizer_config.json");
  const std::string name = (folder / "tokenizer_config.json").string();
  if (!config.is_object() || !config.contains("chat_template")) refuse(name, "no chat template");
  if (!config["chat_template"].is_string()) refuse(name, "several chat templates");
  return recognise(config["chat_template"].get<std::string>(), token_text(folder), name);
}

ChatTemplate ChatTemplate::recognise(const std::string& jinja, const std::string& bos_token,
                                     const std::string& name) {
  for (const std::string_view feature : kUnknownFeatures) {
    if (has(jinja, feature)) refuse(name, "a chat template with '" + std::string(feature) + "'");
  }
  if (has_text_outside_tags(jinja)) refuse(name, "a chat template with text between its tags");
  require(jinja, name, {"for message in", "if add_generation_prompt"});
  ChatTemplate result;
  result.jinja_ = jinja;
  const auto markers = markers_of(jinja);
  result.trims_ = has(jinja, "trim");
  if (markers == std::set<std::string_view>{"<|im_start|>", "<|im_end|>"}) {
    require(jinja, name, {"<|im_start|>assistant\\n", "'<|im_start|>' + message"});
    if (result.trims_ || has(jinja, "bos_token") || has(jinja, "eos_token"))
      refuse(name, "a ChatML template with trimmed contents or more tokens");
    if (const auto text = default_system_of(jinja, name))
      result.default_system_ = "<|im_start|>system\n" + *text + "<|im_end|>\n";
    return result;
  }
  if (markers !=
      std::set<std::string_view>{"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"})
    refuse(name, "a chat template of another kind");
  require(jinja, name,
          {"<|start_header_id|>assistant<|end_header_id|>\\n\\n",
           "<|end_header_id|>\\n\\n' + message", "bos_token"});
  if (has(jinja, "system") || has(jinja, "tool"))
    refuse(name, "a Llama 3 template with a system message or tools of its own");
  result.is_chatml_ = false;
  result.bos_token_ = bos_token;
  return result;
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                 bool add_generation_prompt) const {
  if (messages.empty())
    throw UsageError({{}, {}, "a conversation without messages", "at least one", {}});
  const std::string open = is_chatml_ ? "<|im_start|>" : "<|start_header_id|>";
  const std::string behind_role = is_chatml_ ? "\n" : "<|end_header_id|>\n\n";
  const std::string close = is_chatml_ ? "<|im_end|>\n" : "<|eot_id|>";
  std::string text = bos_token_;
  if (messages.front().role != "system") text += default_system_;
  for (const ChatMessage& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      throw UsageError(
          {{}, {}, "the role '" + printable(message.role) + "'", "system, user or assistant", {}});
    }
    text += open + message.role + behind_role;
    const std::string content = replace_ill_formed(message.content);
    text += trims_ ? stripped(content) : std::string_view(content);
    text += close;
  }
  if (add_generation_prompt) text += open + "assistant" + behind_role;
  return text;
}

}  // namespace suture
