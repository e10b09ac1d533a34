#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "suture/lora.h"

namespace suture {

/// The module that a tensor belongs to (`model.norm` of `model.norm.weight`), and what it is called
/// there (`weight`). Empty module for a name without a dot.
std::string module_of(const std::string& tensor);
std::string parameter_of(const std::string& tensor);

/// A linear or embedding module that gets factors.
struct AdaptedModule {
  std::int64_t rank = 0;
  bool embedding = false;  ///< Its product is stored transposed.
};

/// What PEFT is to find in an adapter's folder.
struct AdapterContent {
  std::map<std::string, AdaptedModule> modules;  ///< By name.
  std::set<std::string> model_modules;           ///< All modules of the base that have tensors.
  std::vector<std::string> modules_to_save;
  bool biases = false;          ///< Biases are stored, as those of the base.
  bool fan_in_fan_out = false;  ///< Linear modules keep their weights as inputs x outputs.
  std::string base_model;       ///< What the base was opened by.
};

/// Names under which PEFT looks for the factors A (r x in) and B (out x r) of a module.
std::string name_of_down(const std::string& module, const AdaptedModule& adapted);
std::string name_of_up(const std::string& module, const AdaptedModule& adapted);

/// The name of a tensor that is stored whole: a saved module's, a bias, or a tied embedding.
std::string name_of_whole(const std::string& tensor, const AdapterContent& content);

/// Names that PEFT matches with exactly these modules: the last part (`q_proj`) where all modules
/// of that name are meant, else the whole name.
std::vector<std::string> target_names(const AdapterContent& content);

/// The content of `adapter_config.json`. alpha is the rank everywhere, so that nothing is scaled.
std::string adapter_config_text(const AdapterContent& content);

/// The content of `suture.json`: how the adapter was made. No clock, no path.
std::string adapter_provenance_text(const std::string& formula, const std::string& base,
                                    const LoraOptions& options, const LoraReport& report);

}  // namespace suture
