#include "names/tower.h"

#include <algorithm>
#include <initializer_list>
#include <unordered_set>

#include "suture/error.h"

namespace suture {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

}  // namespace

std::optional<std::string_view> tower_of(std::string_view name) {
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t dot = name.find('.', begin);
    if (dot == std::string_view::npos) return std::nullopt;
    const std::string_view part = name.substr(begin, dot - begin);
    const std::string_view next = name.substr(dot + 1, name.find('.', dot + 1) - dot - 1);
    const bool is_layer =
        is_one_of(part, {"layers", "layer", "h", "blocks", "block"}) && is_number(next);
    const bool is_embedding =
        is_one_of(part, {"embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in"});
    if (is_layer || is_embedding) return name.substr(0, begin);
    begin = dot + 1;
  }
  return std::nullopt;
}

Towers towers_of(const std::vector<TensorInfo>& tensors) {
  Towers towers;
  for (const TensorInfo& tensor : tensors) {
    if (const auto tower = tower_of(tensor.name)) towers.insert(std::string(*tower));
  }
  return towers;
}

std::optional<std::string_view> tower_around(std::string_view name, const Towers& towers) {
  if (const auto own = tower_of(name)) return own;
  for (std::size_t dot = name.rfind('.'); dot != std::string_view::npos;
       dot = dot == 0 ? std::string_view::npos : name.rfind('.', dot - 1)) {
    if (towers.count(name.substr(0, dot + 1)) > 0) return name.substr(0, dot + 1);
  }
  return towers.count("") > 0 ? std::optional(name.substr(0, 0)) : std::nullopt;
}

std::string shown_tower(const std::string& tower) {
  return tower.empty() ? "names without prefix" : printable(tower) + "*";
}

std::set<std::string_view> common_towers(const std::vector<TensorInfo>& a,
                                         const std::vector<TensorInfo>& b) {
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& tensor : a) names.insert(tensor.name);
  std::set<std::string_view> towers;
  for (const TensorInfo& tensor : b) {
    const auto tower = tower_of(tensor.name);
    if (tower && names.count(tensor.name) > 0) towers.insert(*tower);
  }
  return towers;
}

}  // namespace suture
