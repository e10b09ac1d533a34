#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "format/json.h"

namespace suture::evaluation {

/// The members of one JSON object of a task file, taken one by one. Every fault names the place.
class TaskFields {
 public:
  TaskFields(const format::Json& json, std::string place, std::string where);

  bool has(const char* key) const { return json_.contains(key); }

  /// Each throws FormatError for a value of another type, and `required` ones for none.
  std::string required_text(const char* key);
  std::optional<std::string> text(const char* key);
  std::optional<std::int64_t> integer(const char* key);
  std::optional<bool> boolean(const char* key);
  std::optional<std::vector<std::string>> texts(const char* key);

  /// The objects of a list; nothing where there is none.
  std::vector<format::Json> objects(const char* key);

  /// Throws FormatError for a member that nobody asked for: a misspelled one would be ignored.
  void refuse_others() const;

  [[noreturn]] void refuse(const std::string& found, const std::string& expected) const;

 private:
  const format::Json* find(const char* key);

  const format::Json& json_;
  std::string place_, where_;
  std::set<std::string> taken_;
};

}  // namespace suture::evaluation
