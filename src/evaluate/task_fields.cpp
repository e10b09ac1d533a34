#include "evaluate/task_fields.h"

#include "suture/error.h"

namespace suture::evaluation {
namespace {

std::string quoted(const std::string& text) { return "'" + printable(text) + "'"; }

std::string kind_of(const format::Json& value) { return value.type_name(); }

}  // namespace

TaskFields::TaskFields(const format::Json& json, std::string place, std::string where)
    : json_(json), place_(std::move(place)), where_(std::move(where)) {
  if (!json.is_object()) refuse(where_ + " is of type " + kind_of(json), "a JSON object");
}

void TaskFields::refuse(const std::string& found, const std::string& expected) const {
  throw FormatError({place_, {}, found, expected, {}});
}

const format::Json* TaskFields::find(const char* key) {
  taken_.insert(key);
  const auto found = json_.find(key);
  return found == json_.end() ? nullptr : &*found;
}

std::string TaskFields::required_text(const char* key) {
  if (auto value = text(key)) return *value;
  refuse(where_ + " has no " + quoted(key), "a text");
}

std::optional<std::string> TaskFields::text(const char* key) {
  const format::Json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) refuse(quoted(key) + " is of type " + kind_of(*value), "a text");
  return value->get<std::string>();
}

std::optional<std::int64_t> TaskFields::integer(const char* key) {
  const format::Json* value = find(key);
  if (value == nullptr) return {};
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<std::uint64_t>() <= INT64_MAX);
  if (!fits) refuse(quoted(key) + " is " + printable(value->dump()), "an integer");
  return value->get<std::int64_t>();
}

std::optional<bool> TaskFields::boolean(const char* key) {
  const format::Json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_boolean()) refuse(quoted(key) + " is of type " + kind_of(*value), "true or false");
  return value->get<bool>();
}

std::optional<std::vector<std::string>> TaskFields::texts(const char* key) {
  const format::Json* value = find(key);
  if (value == nullptr) return {};
  if (value->is_string()) return std::vector<std::string>{value->get<std::string>()};
  if (!value->is_array()) refuse(quoted(key) + " is of type " + kind_of(*value), "a list of texts");
  std::vector<std::string> result;
  for (const format::Json& item : *value) {
    if (!item.is_string()) refuse(quoted(key) + " holds a " + kind_of(item), "a list of texts");
    result.push_back(item.get<std::string>());
  }
  return result;
}

std::vector<format::Json> TaskFields::objects(const char* key) {
  const format::Json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array())
    refuse(quoted(key) + " is of type " + kind_of(*value), "a list of objects");
  return value->get<std::vector<format::Json>>();
}

void TaskFields::refuse_others() const {
  for (const auto& [key, value] : json_.items())
    if (!taken_.contains(key))
      refuse(where_ + " has " + quoted(key) + ", which is not known", "see docs/evaluation.md");
}

}  // namespace suture::evaluation
