#include "tokenizer/vocabulary.h"

#include <algorithm>

#include "suture/error.h"

#include "tokenizer/tokenizer_json.h"

namespace suture {

void Vocabulary::read(const format::Json& object, const TokenizerPart& part) {
  ids_.reserve(object.size());
  tokens_.reserve(object.size());
  for (auto member = object.begin(); member != object.end(); ++member) {
    add(member.key(), read_token_id(member.key(), member.value(), part), part);
  }
}

void Vocabulary::add(const std::string& token, std::uint32_t id, const TokenizerPart& part) {
  const auto entry = ids_.emplace(token, id).first;
  const auto [known, is_new] = tokens_.emplace(id, &entry->first);
  if (!is_new || entry->second != id) {
    part.refuse("tokens '" + printable(*known->second) + "' and '" + printable(token) +
                    "' both have the id " + std::to_string(id),
                "an id each");
  }
  end_ = std::max(end_, std::int64_t{id} + 1);
}

std::optional<std::uint32_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* Vocabulary::token_of(std::int64_t id) const {
  if (id < 0 || id >= end_) return nullptr;
  const auto found = tokens_.find(static_cast<std::uint32_t>(id));
  return found == tokens_.end() ? nullptr : found->second;
}

std::uint32_t read_token_id(const std::string& token, const format::Json& id,
                            const TokenizerPart& part) {
  if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= std::uint64_t{1} << 31) {
    part.refuse("token '" + printable(token) + "' has the id " + printable(id.dump()),
                "a whole number below 2147483648");
  }
  return id.get<std::uint32_t>();
}

}  // namespace suture
