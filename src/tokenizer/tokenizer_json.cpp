#include "tokenizer/tokenizer_json.h"

#include <utility>

#include "suture/error.h"

namespace suture {

TokenizerPart::TokenizerPart(const format::Json& json, const std::string& file, std::string place)
    : json_(json), file_(file), place_(std::move(place)) {
  if (!json_.is_object()) refuse(std::string("a ") + json_.type_name(), "an object");
}

bool TokenizerPart::lacks(const char* key) const {
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null();
}

TokenizerPart TokenizerPart::part(const char* key) const {
  if (lacks(key)) refuse(std::string("no '") + key + "'", "an object");
  return {json_.at(key), file_, place_.empty() ? key : place_ + "." + key};
}

std::vector<TokenizerPart> TokenizerPart::parts(const char* key) const {
  if (lacks(key) || !json_.at(key).is_array()) {
    refuse(std::string("'") + key + "' is no list", "a list of objects");
  }
  std::vector<TokenizerPart> list;
  for (const format::Json& item : json_.at(key)) {
    list.emplace_back(
        item, file_,
        place_ + (place_.empty() ? "" : ".") + key + "[" + std::to_string(list.size()) + "]");
  }
  return list;
}

std::string TokenizerPart::text(const char* key) const {
  if (lacks(key) || !json_.at(key).is_string()) {
    refuse(std::string("'") + key + "' is " + (lacks(key) ? "absent" : json_.at(key).type_name()),
           "a text");
  }
  return json_.at(key).get<std::string>();
}

std::string TokenizerPart::text(const char* key, const std::string& by_default) const {
  return lacks(key) ? by_default : text(key);
}

bool TokenizerPart::flag(const char* key, bool by_default) const {
  if (lacks(key)) return by_default;
  if (!json_.at(key).is_boolean()) {
    refuse(std::string("'") + key + "' is a " + json_.at(key).type_name(), "true or false");
  }
  return json_.at(key).get<bool>();
}

void TokenizerPart::refuse(const std::string& found, const std::string& expected,
                           const std::string& remedy) const {
  throw FormatError({file_, {}, place_.empty() ? found : place_ + ": " + found, expected, remedy});
}

void TokenizerPart::refuse_unsupported(const std::string& what) const {
  refuse(printable(what) + " is not implemented, and ids without it would differ", {},
         "tokenize in Python and give ids, or use a model whose tokenizer does without");
}

}  // namespace suture
