#include "evaluate/task_reader.h"

#include <algorithm>

#include "suture/error.h"

#include "evaluate/answer.h"
#include "evaluate/python_text.h"
#include "evaluate/task_fields.h"
#include "format/digest.h"

namespace suture {
namespace {

using evaluation::TaskFields;

const char* name_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::kChoice:
      return "choices";
    case TaskKind::kGeneration:
      return "prompts";
    default:
      return "texts";
  }
}

// The regex is compiled now, so that a bad one is told by its line.
AnswerFilter checked(const AnswerFilter& filter, const TaskFields& fields) {
  try {
    evaluation::AnswerExtractor{filter};
  } catch (const UsageError& error) {
    fields.refuse(error.what(), "a regular expression");
  }
  return filter;
}

AnswerFilter filter_of(const format::Json& json, const std::string& place) {
  TaskFields fields(json, place, "a filter");
  AnswerFilter filter;
  filter.name = fields.required_text("name");
  filter.regex = fields.text("regex").value_or("");
  filter.group_select = fields.integer("group_select").value_or(0);
  filter.fallback = fields.text("fallback").value_or(filter.fallback);
  fields.refuse_others();
  if (filter.name.empty()) fields.refuse("a filter's 'name' is empty", "a text");
  return checked(filter, fields);
}

AnswerComparison comparison_of(TaskFields& fields) {
  AnswerComparison comparison;
  comparison.regexes_to_ignore =
      fields.texts("regexes_to_ignore").value_or(std::vector<std::string>{});
  comparison.ignore_case = fields.boolean("ignore_case").value_or(false);
  comparison.ignore_punctuation = fields.boolean("ignore_punctuation").value_or(false);
  comparison.ignore_numbers = fields.boolean("ignore_numbers").value_or(false);
  try {
    evaluation::AnswerComparer{comparison};
  } catch (const UsageError& error) {
    fields.refuse(error.what(), "a regular expression");
  }
  return comparison;
}

std::vector<FewShotExample> examples_of(TaskFields& fields, const std::string& place) {
  std::vector<FewShotExample> examples;
  for (const format::Json& json : fields.objects("fewshot")) {
    TaskFields example(json, place, "an example of 'fewshot'");
    std::string prompt = example.required_text("prompt");
    examples.push_back({std::move(prompt), example.required_text("target")});
    example.refuse_others();
  }
  const auto wanted = fields.integer("num_fewshot");
  if (!wanted) return examples;
  if (*wanted < 0 || static_cast<std::uint64_t>(*wanted) > examples.size())
    fields.refuse("'num_fewshot' is " + std::to_string(*wanted),
                  "0 to " + std::to_string(examples.size()) + ", as many examples as there are");
  examples.resize(static_cast<std::size_t>(*wanted));
  return examples;
}

// It becomes part of files' names and of tables.
void require_name(const TaskFields& fields, const std::string& name) {
  const bool is_plain = std::none_of(
      name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F || c == '/'; });
  if (name.empty() || name.size() > 150 || name.front() == '.' || !is_plain)
    fields.refuse("the task's name is '" + printable(name) + "'",
                  "1 to 150 bytes, no '.' first, no '/' and no control characters");
}

TaskSettings settings_of(const format::Json& json, const std::string& place,
                         const std::string& name) {
  TaskFields fields(json, place, "the header");
  TaskSettings settings;
  settings.name = fields.text("name").value_or(name);
  require_name(fields, settings.name);
  settings.version = fields.text("version").value_or(settings.version);
  settings.group = fields.text("group").value_or("");
  settings.description = fields.text("description").value_or("");
  settings.fewshot = examples_of(fields, place);
  settings.fewshot_delimiter =
      fields.text("fewshot_delimiter").value_or(settings.fewshot_delimiter);
  settings.target_delimiter = fields.text("target_delimiter").value_or(settings.target_delimiter);
  settings.until = fields.texts("until").value_or(std::vector<std::string>{});
  settings.max_new_tokens = fields.integer("max_new_tokens").value_or(settings.max_new_tokens);
  for (const format::Json& filter : fields.objects("filters"))
    settings.filters.push_back(filter_of(filter, place));
  settings.comparison = comparison_of(fields);
  settings.primary_metric = fields.text("primary_metric").value_or("");
  fields.refuse_others();
  if (settings.max_new_tokens < 1)
    fields.refuse("'max_new_tokens' is " + std::to_string(settings.max_new_tokens), "at least 1");
  for (std::size_t i = 0; i < settings.filters.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (settings.filters[i].name == settings.filters[j].name)
        fields.refuse("two filters are named '" + printable(settings.filters[i].name) + "'",
                      "different names");
  return settings;
}

// A choice without its delimiter; acc_norm divides by its length.
std::string bare(const std::string& continuation, const std::string& delimiter) {
  return continuation.starts_with(delimiter) ? continuation.substr(delimiter.size()) : continuation;
}

void read_choice(TaskFields& fields, const TaskSettings& settings, TaskRecord& record) {
  record.context = fields.text("context").value_or("");
  if (fields.has("choices") == fields.has("continuations"))
    fields.refuse("a record for choices has both or none of 'choices' and 'continuations'",
                  "one of them");
  if (const auto choices = fields.texts("choices")) {
    record.choices = *choices;
    for (const std::string& choice : *choices)
      record.continuations.push_back(settings.target_delimiter + choice);
  } else {
    record.continuations = *fields.texts("continuations");
    for (const std::string& text : record.continuations)
      record.choices.push_back(bare(text, settings.target_delimiter));
  }
  if (record.choices.size() < 2)
    fields.refuse("there are " + std::to_string(record.choices.size()) + " continuations",
                  "two at least");
  for (const std::string& choice : record.choices)
    if (choice.empty()) fields.refuse("a continuation is empty", "a text");
  const auto gold = fields.integer("gold");
  if (!gold) fields.refuse("a record for choices has no 'gold'", "the index of the right one");
  if (*gold < 0 || static_cast<std::uint64_t>(*gold) >= record.choices.size())
    fields.refuse("'gold' is " + std::to_string(*gold),
                  "0 to " + std::to_string(record.choices.size() - 1));
  record.gold = static_cast<std::size_t>(*gold);
}

void read_generation(TaskFields& fields, const TaskSettings& settings, TaskRecord& record) {
  record.prompt = fields.required_text("prompt");
  record.target = fields.text("target");
  record.until = fields.texts("until").value_or(settings.until);
  if (const auto regex = fields.text("regex")) {
    if (!settings.filters.empty())
      fields.refuse("a record has a 'regex' although the header has 'filters'", "one of them");
    AnswerFilter filter;
    filter.regex = *regex;
    filter.group_select = fields.integer("group_select").value_or(0);
    record.filter = checked(filter, fields);
  }
}

}  // namespace

TaskReader::TaskReader(std::string file, std::string name) : file_(std::move(file)) {
  task_.settings_.name = std::move(name);
}

void TaskReader::add_side_header(std::string_view text, const std::string& file) {
  const format::Json json = format::parse_json(text, file);
  TaskFields fields(json, file, "the file");
  if (!json.contains("task")) fields.refuse("there is no 'task'", "{\"task\": {...}}");
  task_.settings_ = settings_of(json.at("task"), file, task_.settings_.name);
  header_seen_ = true;
}

void TaskReader::add_line(std::string_view line) {
  ++line_;
  if (evaluation::stripped(line).empty()) return;
  const std::string place = file_ + ":" + std::to_string(line_);
  const format::Json json = format::parse_json(line, place);
  const bool is_header = json.is_object() && json.contains("task") && json["task"].is_object();
  if (!is_header) return add_record(json, line, place);

  const TaskFields fields(json, place, "the line");
  if (header_seen_) fields.refuse("a second header", "one, in this file or beside it");
  if (!task_.records_.empty()) fields.refuse("a header behind records", "the header first");
  task_.settings_ = settings_of(json.at("task"), place, task_.settings_.name);
  header_seen_ = true;
}

void TaskReader::add_record(const format::Json& json, std::string_view line,
                            const std::string& place) {
  TaskFields fields(json, place, "the record");
  TaskRecord record;
  record.line = line_;
  record.source = std::string(line);

  const bool choice = fields.has("gold") || fields.has("continuations") || fields.has("choices");
  const int kinds = int{choice} + int{fields.has("prompt")} + int{fields.has("text")};
  if (kinds != 1)
    fields.refuse(kinds == 0 ? "a record of no known kind" : "a record of several kinds",
                  "one of {\"context\", \"continuations\", \"gold\"}, {\"prompt\", \"target\"}, "
                  "{\"text\"}");
  const TaskKind kind = choice                 ? TaskKind::kChoice
                        : fields.has("prompt") ? TaskKind::kGeneration
                                               : TaskKind::kText;
  if (task_.records_.empty()) task_.kind_ = kind;
  if (kind != task_.kind_)
    fields.refuse(std::string("a record for ") + name_of(kind),
                  std::string(name_of(task_.kind_)) + ", as in the records before");

  for (const char* key : {"id", "task_id"})
    if (fields.has(key) && json.at(key).is_string()) record.id = json.at(key).get<std::string>();
  if (kind == TaskKind::kChoice) read_choice(fields, task_.settings_, record);
  if (kind == TaskKind::kGeneration) read_generation(fields, task_.settings_, record);
  if (kind == TaskKind::kText) {
    record.text = fields.required_text("text");
    if (record.text.empty()) fields.refuse("'text' is empty", "a text");
  }
  task_.records_.push_back(std::move(record));
}

Task TaskReader::finish() {
  if (task_.records_.empty())
    throw FormatError({file_, {}, "there is no record", "JSON lines, one record each", {}});
  if (task_.kind_ == TaskKind::kGeneration && task_.settings_.filters.empty())
    task_.settings_.filters.push_back({});
  return std::move(task_);
}

}  // namespace suture
