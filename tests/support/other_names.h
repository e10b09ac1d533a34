#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "suture/state_dict.h"

namespace suture::test {

/// How a model of `make_weights` is named: what stands in place of `model.`, and whether
/// projections that may be are kept in one tensor.
struct Naming {
  std::string prefix = "model.";
  bool fused = false;
  std::string head = "lm_head.weight";
};

inline std::string replaced(std::string name, const std::string& from, const std::string& to) {
  const std::size_t at = name.find(from);
  return at == std::string::npos ? name : name.replace(at, from.size(), to);
}

/// The same weights under other names, stacked by torch.
inline StateDict named(const StateDict& plain, const Naming& naming) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> fusions{
      {"self_attn.qkv_proj", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}},
      {"mlp.gate_up_proj", {"mlp.gate_proj", "mlp.up_proj"}}};
  StateDict made;
  for (const auto& [name, tensor] : plain) {
    std::string own =
        name == "lm_head.weight" ? naming.head : replaced(name, "model.", naming.prefix);
    at::Tensor value = tensor;
    bool is_part = false;
    for (const auto& [fused, parts] : fusions) {
      if (!naming.fused) break;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (name.find(parts[i] + ".weight") == std::string::npos) continue;
        is_part = i > 0;
        if (i > 0) break;
        std::vector<at::Tensor> stacked;
        for (const std::string& part : parts)
          stacked.push_back(plain.at(replaced(name, parts[0], part)));
        value = at::cat(stacked, 0);
        own = replaced(own, parts[0], fused);
      }
    }
    if (!is_part) made.set(own, value);
  }
  return made;
}

}  // namespace suture::test
