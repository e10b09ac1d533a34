#include "names/contradicted_heads.h"

#include <charconv>
#include <cstdint>
#include <optional>
#include <system_error>
#include <vector>

#include "suture/error.h"

#include "names/fused_projections.h"

namespace suture {
namespace {

std::optional<std::int64_t> number_in(const std::map<std::string, std::string>& structure,
                                      const char* name) {
  const auto at = structure.find(name);
  if (at == structure.end()) return std::nullopt;
  std::int64_t value = 0;
  const char* end = at->second.data() + at->second.size();
  const auto [stop, error] = std::from_chars(at->second.data(), end, value);
  return error == std::errc() && stop == end && value > 0 ? std::optional(value) : std::nullopt;
}

// Rows of query, key and value, by the fused tensor that they are in.
std::map<std::string, std::vector<std::int64_t>> attention_rows(const NameMapping& mapping) {
  const auto is_fused_attention = [](const std::string& name) {
    const auto place = fusion_place_of(name);
    return place && place->is_fused && place->fusion->is_attention();
  };
  std::map<std::string, std::vector<std::int64_t>> rows;
  for (const NameMapping::Tensor& tensor : mapping.tensors) {
    const bool joins = tensor.parts.size() == 3 && is_fused_attention(tensor.name);
    const bool splits = tensor.parts.size() == 1 && !is_fused_attention(tensor.name) &&
                        is_fused_attention(tensor.parts.front().name);
    if (!joins && !splits) continue;
    auto& counts = rows[joins ? tensor.name : tensor.parts.front().name];
    for (const NameMapping::Part& part : tensor.parts) counts.push_back(part.rows);
  }
  return rows;
}

}  // namespace

std::string contradicted_heads(const NameMapping& mapping,
                               const std::map<std::string, std::string>& structure) {
  const auto heads = number_in(structure, "num_attention_heads");
  if (!heads) return {};
  const std::int64_t pairs = number_in(structure, "num_key_value_heads").value_or(*heads);
  const auto size = number_in(structure, "head_dim");
  for (const auto& [name, rows] : attention_rows(mapping)) {
    if (rows.size() != 3) continue;
    // In heads of one size, which the config may leave to be told from the width.
    const bool whole = rows[0] % *heads == 0 && rows[1] % pairs == 0 && rows[1] == rows[2] &&
                       rows[0] / *heads == rows[1] / pairs;
    if (whole && (!size || rows[0] / *heads == *size)) continue;
    return printable(name) + ": " + std::to_string(rows[0]) + ", " + std::to_string(rows[1]) +
           " and " + std::to_string(rows[2]) + " rows for " + std::to_string(*heads) +
           " heads and " + std::to_string(pairs) + " pairs of keys and values" +
           (size ? " of " + std::to_string(*size) : "");
  }
  return {};
}

}  // namespace suture
