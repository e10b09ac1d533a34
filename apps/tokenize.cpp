#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <unistd.h>

#include "suture/chat_template.h"
#include "suture/error.h"
#include "suture/tokenizer.h"

#include "common/command.h"
#include "common/terminal.h"
#include "format/file.h"
#include "format/json.h"

namespace suture::apps {
namespace {

constexpr std::size_t kReadBytes = 1 << 16;
constexpr std::size_t kWriteBytes = 1 << 16;

// The lines of stdin as they come, without their ends; a last line needs none.
class StandardInput {
 public:
  bool next_line(std::string& line) {
    for (std::size_t searched = at_;;) {
      const std::size_t end = buffer_.find('\n', searched);
      if (end != std::string::npos) {
        line.assign(buffer_, at_, end - at_);
        at_ = end + 1;
        return true;
      }
      searched = buffer_.size() - at_;
      if (!read_more()) break;
    }
    if (at_ == buffer_.size()) return false;
    line = buffer_.substr(at_);
    at_ = buffer_.size();
    return true;
  }

  /// True when the next line is not here yet: what has been computed should be shown now.
  bool would_wait() const { return buffer_.find('\n', at_) == std::string::npos; }

 private:
  bool read_more() {
    buffer_.erase(0, at_);
    at_ = 0;
    const std::size_t before = buffer_.size();
    buffer_.resize(before + kReadBytes);
    ssize_t count = -1;
    do {
      if (cancelling_signal() != 0) throw Interrupted();
      count = ::read(STDIN_FILENO, buffer_.data() + before, kReadBytes);
    } while (count < 0 && errno == EINTR);
    buffer_.resize(before + static_cast<std::size_t>(count > 0 ? count : 0));
    if (count < 0) throw IoError({"stdin", {}, format::describe_errno(errno), {}, {}});
    return count > 0;
  }

  std::string buffer_;
  std::size_t at_ = 0;
};

std::string unquoted(const std::string& line, const std::string& place) {
  const format::Json text = format::parse_json(line, place);
  if (!text.is_string())
    throw FormatError({place, {}, std::string("a JSON ") + text.type_name(), "a string", {}});
  return text.get<std::string>();
}

std::vector<ChatMessage> parse_messages(const std::string& line, const std::string& place) {
  std::vector<ChatMessage> messages;
  const auto text = [&](const format::Json& message, const char* key) {
    if (!message.is_object() || message.size() != 2 || !message.contains(key) ||
        !message[key].is_string())
      throw FormatError({place,
                         {},
                         "no message: " + printable(message.dump()),
                         "{\"role\": ..., \"content\": ...}, both texts",
                         {}});
    return message[key].get<std::string>();
  };
  const format::Json list = format::parse_json(line, place);
  if (!list.is_array())
    throw FormatError({place, {}, std::string("a JSON ") + list.type_name(), "a list", {}});
  for (const format::Json& message : list) {
    messages.push_back({text(message, "role"), text(message, "content")});
  }
  return messages;
}

std::vector<std::int64_t> parse_ids(std::string_view line, const std::string& place) {
  std::vector<std::int64_t> ids;
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  for (const char *at = line.data(), *end = at + line.size(); at != end;) {
    if (is_blank(*at)) {
      ++at;
      continue;
    }
    std::int64_t id = 0;
    const auto [behind, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (behind != end && !is_blank(*behind))) {
      throw FormatError({place,
                         {},
                         "'" + printable(std::string_view(at, static_cast<std::size_t>(end - at))) +
                             "' is no token id",
                         "whole numbers with spaces between",
                         {}});
    }
    ids.push_back(id);
    at = behind;
  }
  return ids;
}

void append_ids(const std::vector<std::int64_t>& ids, std::string& out) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += ' ';
    out += std::to_string(ids[i]);
  }
}

// What a run works with.
struct Model {
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat;
};

void convert(const Arguments& arguments, const Model& model, const std::string& line,
             const std::string& place, std::string& out) {
  if (arguments.decode) {
    const std::string text = model.tokenizer.decode(parse_ids(line, place), !arguments.special);
    out += arguments.json_lines ? format::Json(text).dump() : text;
  } else if (model.chat) {
    // The template writes the special tokens itself.
    const std::string prompt = model.chat->render(parse_messages(line, place), true);
    append_ids(model.tokenizer.encode(prompt), out);
  } else {
    const std::string text = arguments.json_lines ? unquoted(line, place) : line;
    append_ids(model.tokenizer.encode(text, arguments.special), out);
  }
  out += '\n';
}

int run(const Arguments& arguments) {
  const std::string& location = arguments.positional.front();
  if (arguments.chat && (arguments.decode || arguments.special || arguments.json_lines)) {
    throw UsageError({{}, {}, "--chat with another option of tokenize", "--chat alone", {}});
  }
  Model model{Tokenizer::open(location), std::nullopt};
  if (arguments.chat) model.chat = ChatTemplate::open(location);
  StandardInput input;
  std::string line, out;
  for (std::uint64_t number = 1; input.next_line(line); ++number) {
    convert(arguments, model, line, "stdin, line " + std::to_string(number), out);
    if (out.size() >= kWriteBytes || input.would_wait()) {
      write_stdout(out);
      out.clear();
    }
    if (cancelling_signal() != 0) throw Interrupted();
  }
  return kDone;
}

}  // namespace

const Command& tokenize_command() {
  static const Command command{
      {"tokenize",
       "tokenize MODEL [--decode | --chat]",
       "token ids of the lines of stdin, or text of ids",
       "Writes the token ids of each line of stdin as one line of numbers, as the model's "
       "tokenizer.json\n"
       "says. A line ends at \\n, which is no part of its text; the last one may lack it. Special "
       "tokens\n"
       "that are written out in the text become their ids. With --decode, reads ids and writes "
       "text.",
       {"echo 'What is 2 + 2?' | suture tokenize models/instruct",
        "suture tokenize models/instruct < text | suture tokenize models/instruct --decode"},
       {"decode", "special", "json-lines", "chat"},
       1,
       1},
      run};
  return command;
}

}  // namespace suture::apps
