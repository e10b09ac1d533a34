#pragma once

#include <string>
#include <string_view>

#include "suture/task.h"

#include "format/json.h"

namespace suture {

/// Builds a Task of the lines of its file, one after the other.
class TaskReader {
 public:
  /// `file` names the source in errors; `name` is the task's unless its header has one.
  TaskReader(std::string file, std::string name);

  /// One line of the file. Throws FormatError.
  void add_line(std::string_view line);

  /// The header out of a file of its own. Throws FormatError.
  void add_side_header(std::string_view text, const std::string& file);

  /// What was read. Throws FormatError when there was no record.
  Task finish();

 private:
  void add_record(const format::Json& json, std::string_view line, const std::string& place);

  std::string file_;
  Task task_;
  std::size_t line_ = 0;
  bool header_seen_ = false;
};

}  // namespace suture
