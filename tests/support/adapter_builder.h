#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "support/safetensors_builder.h"

namespace suture::test {

/// An adapter folder written by hand: `config` is what adapter_config.json holds beside its kind,
/// rank 2 and alpha 4.
inline void write_adapter(const std::filesystem::path& folder, const SafetensorsBuilder& weights,
                          const std::string& config = {}) {
  write_file(folder / "adapter_config.json", R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4)" +
                                                 (config.empty() ? config : ", " + config) + "}");
  weights.write(folder / "adapter_model.safetensors");
}

/// The numbers 1, 2, ... in a matrix of float32, under PEFT's prefix.
inline SafetensorsBuilder& add_counting(SafetensorsBuilder& weights, const std::string& name,
                                        std::vector<std::int64_t> shape) {
  std::size_t count = 1;
  for (const std::int64_t dimension : shape) count *= static_cast<std::size_t>(dimension);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i + 1);
  return weights.add("base_model.model." + name, Dtype::kF32, shape, bytes_of_values(values));
}

/// Factors of `q`, whose weight is 3 outputs × 2 inputs: B A is {{7, 10}, {15, 22}, {23, 34}}.
inline SafetensorsBuilder simple_factors() {
  SafetensorsBuilder weights;
  add_counting(weights, "q.lora_A.weight", {2, 2});
  add_counting(weights, "q.lora_B.weight", {3, 2});
  return weights;
}

}  // namespace suture::test
