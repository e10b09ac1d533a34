#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace suture {

/// What the records of a task ask of a model.
enum class TaskKind {
  kChoice,      ///< Which of some continuations is the likeliest?
  kGeneration,  ///< Does the continuation that the model writes hold the answer?
  kText,        ///< How likely is a text?
};

/// How an answer is taken out of a completion: the `group_select`-th of all matches of `regex`
/// (negative counts from the end), of several groups the first that is not empty, without spaces
/// around it. An empty `regex` takes the whole completion as it is.
struct AnswerFilter {
  std::string name = "none";
  std::string regex;
  std::int64_t group_select = 0;
  std::string fallback = "[invalid]";  ///< The answer where nothing matches.
};

/// What counts as equal to the target. Applied to both sides in this order.
struct AnswerComparison {
  std::vector<std::string> regexes_to_ignore;  ///< Every match is deleted.
  bool ignore_case = false;
  bool ignore_punctuation = false;  ///< ASCII punctuation.
  bool ignore_numbers = false;      ///< ASCII digits.
};

/// A question with its answer, shown before every record.
struct FewShotExample {
  std::string prompt;
  std::string target;
};

/// What holds for all records of a task: the header of its file.
struct TaskSettings {
  std::string name;  ///< Else the file's name without its extensions.
  std::string version = "1";
  std::string group;        ///< Tasks of one group are also told as one.
  std::string description;  ///< Stands before everything else.
  std::vector<FewShotExample> fewshot;
  std::string fewshot_delimiter = "\n\n";  ///< Behind each example.
  std::string target_delimiter = " ";      ///< Between a prompt and what follows it.
  std::vector<std::string> until;          ///< Generation ends before the first of these.
  std::int64_t max_new_tokens = 256;
  std::vector<AnswerFilter> filters;  ///< One at least for generation: each gives a score.
  AnswerComparison comparison;
  std::string primary_metric;  ///< `acc`, `exact_match,strict`: what a ranking looks at.
};

/// One question. Only what belongs to the task's kind is filled in.
struct TaskRecord {
  std::size_t line = 0;  ///< Where it stands in the file, from 1.
  std::string source;    ///< The record as JSON text.
  std::string id;        ///< `id` or `task_id`, where there is one.

  std::string context;                     ///< Choice: what stands before the continuations.
  std::vector<std::string> continuations;  ///< Choice: exactly as fed.
  std::vector<std::string> choices;        ///< Choice: the same without the target delimiter.
  std::size_t gold = 0;                    ///< Choice: index of the right one.

  std::string prompt;                  ///< Generation.
  std::optional<std::string> target;   ///< Generation: absent where only completions are wanted.
  std::vector<std::string> until;      ///< Generation: the record's own, else the task's.
  std::optional<AnswerFilter> filter;  ///< Generation: the record's own `regex`.

  std::string text;  ///< Text.
};

/// A scored data set: JSON lines of one kind of record, with an optional header. The format is
/// described in docs/evaluation.md. Immutable.
class Task {
 public:
  /// Reads a task file. Throws FormatError naming FILE:LINE, what was found and what was expected.
  static Task open(const std::string& path);

  /// What its records ask; all are of one kind.
  TaskKind kind() const { return kind_; }
  /// What results call it: of its header, else of its file.
  const std::string& name() const { return settings_.name; }
  /// The header, with defaults where it says nothing.
  const TaskSettings& settings() const { return settings_; }
  /// All records in the order of the file; at least one.
  const std::vector<TaskRecord>& records() const { return records_; }

  /// Digest of the header and all records, as hexadecimal text.
  const std::string& digest() const { return digest_; }

  /// The description and the examples: what stands before each record's own prompt.
  std::string preamble() const;

  /// The examples alone, with a delimiter behind each.
  std::string examples() const;

 private:
  friend class TaskReader;
  Task() = default;
  TaskKind kind_ = TaskKind::kText;
  TaskSettings settings_;
  std::vector<TaskRecord> records_;
  std::string digest_;
};

}  // namespace suture
