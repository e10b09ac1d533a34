#include "lora/adapter_tensors.h"

#include <string_view>

#include "suture/error.h"

namespace suture::lora {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";
constexpr const char* kSaveAgain = "save the adapter again";

// `model.layers.0.mlp.up_proj` and `lora_A.weight`; no part where the tensor is no factor.
struct ParsedName {
  std::string module, part;
};

ParsedName parse_name(std::string name) {
  // PEFT wraps a module that it adapts, and stores what it keeps of it under the wrapper.
  constexpr std::string_view kWrapped = ".base_layer.";
  const std::size_t factor = name.rfind(".lora_");
  if (factor != std::string::npos) return {name.substr(0, factor), name.substr(factor + 1)};
  for (std::size_t at = name.find(kWrapped); at != std::string::npos; at = name.find(kWrapped))
    name.erase(at, kWrapped.size() - 1);
  return {name, {}};
}

class Sorter {
 public:
  explicit Sorter(const Checkpoint& weights) : file_(weights.files().front().string()) {
    for (const TensorInfo& tensor : weights.tensors()) add(tensor);
    for (const auto& [module, factors] : tensors_.factors) require_fit(module, factors);
    if (tensors_.factors.empty() && tensors_.whole.empty())
      throw FormatError({file_, {}, "no tensor", "the factors of an adapter", kSaveAgain});
  }

  AdapterTensors take() { return std::move(tensors_); }

 private:
  [[noreturn]] void fail(const TensorInfo& tensor, const std::string& found,
                         const std::string& expected) const {
    throw FormatError({file_, tensor.name, found, expected, kSaveAgain});
  }

  void add(const TensorInfo& tensor) {
    if (tensor.name.compare(0, kPrefix.size(), kPrefix) != 0)
      fail(tensor, "a name that PEFT does not give",
           "base_model.model. before the base's own name");
    if (tensor.dtype != Dtype::kF32 && tensor.dtype != Dtype::kF16 && tensor.dtype != Dtype::kBF16)
      fail(tensor, std::string(name_of(tensor.dtype)), "BF16, F16 or F32");
    ParsedName name = parse_name(tensor.name.substr(kPrefix.size()));
    if (name.part.empty()) {
      if (!tensors_.whole.emplace(name.module, &tensor).second)
        fail(tensor, "a second whole tensor for " + printable(name.module), "one");
    } else {
      add_factor(name, tensor);
    }
  }

  void add_factor(const ParsedName& name, const TensorInfo& tensor) {
    if (name.part.rfind("lora_magnitude_vector", 0) == 0) {
      throw UsageError(
          {file_, tensor.name,
           "DoRA, which is not linear: it divides by norms of the changed weights", "plain LoRA",
           "merge it into its base with PEFT, then use 'MERGED - BASE' as the vector"});
    }
    StoredFactors& factors = tensors_.factors[name.module];
    const bool embedding = name.part.rfind("lora_embedding_", 0) == 0;
    const TensorInfo** place = place_of(name.part, factors);
    if (place == nullptr || name.module.find("base_layer") != std::string::npos) {
      throw UsageError(
          {file_, tensor.name, "a part of no plain LoRA adapter",
           "lora_A.weight, lora_B.weight, lora_B.bias, lora_embedding_A or "
           "lora_embedding_B",
           "merge it into its base with PEFT, then use 'MERGED - BASE' as the vector"});
    }
    const bool mixed = (factors.a != nullptr || factors.b != nullptr || factors.bias != nullptr) &&
                       factors.embedding != embedding;
    if (mixed) fail(tensor, "factors both of an embedding and of a layer", "one kind");
    factors.embedding = embedding;
    *place = &tensor;
  }

  static const TensorInfo** place_of(const std::string& part, StoredFactors& factors) {
    if (part == "lora_A.weight" || part == "lora_embedding_A") return &factors.a;
    if (part == "lora_B.weight" || part == "lora_embedding_B") return &factors.b;
    return part == "lora_B.bias" ? &factors.bias : nullptr;
  }

  void require_fit(const std::string& module, const StoredFactors& factors) const {
    if (factors.a == nullptr || factors.b == nullptr) {
      const TensorInfo* there = factors.a != nullptr   ? factors.a
                                : factors.b != nullptr ? factors.b
                                                       : factors.bias;
      fail(*there,
           std::string("no factor ") + (factors.a == nullptr ? "A" : "B") + " of " +
               printable(module),
           "both factors");
    }
    for (const TensorInfo* factor : {factors.a, factors.b}) {
      if (factor->shape.size() != 2)
        fail(*factor, to_string(factor->shape),
             "two dimensions: adapters of convolutions are not read");
    }
    if (factors.a->shape[0] != factors.b->shape[1])
      fail(*factors.a, to_string(factors.a->shape) + " against B of " + to_string(factors.b->shape),
           "A of [rank, inputs] and B of [outputs, rank] with one rank");
    if (factors.bias != nullptr && (factors.embedding || factors.bias->shape.size() != 1 ||
                                    factors.bias->shape[0] != factors.b->shape[0]))
      fail(*factors.bias, to_string(factors.bias->shape), "one bias for each output of B");
  }

  std::string file_;
  AdapterTensors tensors_;
};

}  // namespace

AdapterTensors sort_adapter_tensors(const Checkpoint& weights) { return Sorter(weights).take(); }

}  // namespace suture::lora
