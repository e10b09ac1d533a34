#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/pattern.h"

namespace suture::lora {

/// Patterns of module names and what they stand for, in the order of the file: the first match
/// counts.
template <class T>
using PatternTable = std::vector<std::pair<std::string, T>>;

/// What PEFT's `adapter_config.json` says of a LoRA adapter.
struct AdapterConfig {
  std::int64_t rank = 0;                     ///< `r`, at least 1.
  double alpha = 0;                          ///< `lora_alpha`.
  bool rslora = false;                       ///< alpha / sqrt(rank) instead of alpha / rank.
  bool fan_in_fan_out = false;               ///< Weights are stored as inputs × outputs.
  bool keeps_tied = false;                   ///< `ensure_weight_tying`.
  std::vector<std::string> modules_to_save;  ///< Or the ends of their names.
  PatternTable<std::int64_t> rank_pattern;
  PatternTable<double> alpha_pattern;
  std::string base_model;  ///< `base_model_name_or_path`; may be empty.
};

/// Parses the text of `file`. Throws FormatError when it is no such config, or one whose numbers
/// make no sense; UsageError, saying which and why, for an adapter that is no sum with its base's
/// weights: another kind than LoRA, DoRA, one that is relative to an altered base (PiSSA, ...).
AdapterConfig parse_adapter_config(const std::string& text, const std::string& file);

/// The text of the file, of at most 16 MiB.
std::string read_adapter_config(const std::filesystem::path& file);

/// Rank and scale of each module, as PEFT takes them from an adapter's settings.
class ModuleScales {
 public:
  /// Throws FormatError naming `file` when a pattern is no regular expression.
  ModuleScales(const AdapterConfig& config, const std::string& file);

  /// Throws FormatError for a pattern that takes too long on the name.
  std::int64_t rank_of(const std::string& module) const;

  /// What the product of the factors is multiplied by.
  double scale_of(const std::string& module) const;

 private:
  template <class T>
  struct Table {
    const char* name;
    PatternTable<T> entries;
    std::vector<Pattern> patterns;  // of the entries
  };
  template <class T>
  T first_match(const Table<T>& table, const std::string& module, T otherwise) const;

  AdapterConfig config_;
  std::string file_;
  Table<std::int64_t> ranks_;
  Table<double> alphas_;
};

}  // namespace suture::lora
