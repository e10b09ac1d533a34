#include "lora/adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>

#include "suture/error.h"

#include "format/file.h"
#include "format/json.h"

namespace suture::lora {
namespace {

using format::Json;
constexpr std::uint64_t kMaxConfigBytes = 16 << 20;
constexpr std::uint64_t kMaxRank = 1'000'000;
constexpr std::size_t kMaxPatterns = 10'000;

constexpr const char* kMergeRemedy =
    "merge it into its base with PEFT, then use 'MERGED - BASE' as the vector";

// Settings that make an adapter something else than a sum with weights.
struct Refused {
  const char* setting;
  const char* meaning;
  const char* remedy;
};
constexpr std::array kRefused{
    Refused{"use_dora", "DoRA, which is not linear: it divides by norms of the changed weights",
            kMergeRemedy},
    Refused{"alora_invocation_tokens",
            "aLoRA, which acts behind certain tokens only and is no change of weights", ""},
    Refused{"use_qalora", "QALoRA, whose factors belong to pooled inputs of a quantised model", ""},
    Refused{"kasa_config", "KaSA, which is relative to a truncated base", kMergeRemedy},
    Refused{"use_bdlora", "BD-LoRA, whose factors are block-diagonal", kMergeRemedy},
    Refused{"monteclora_config", "MonteCLoRA, whose weights are random", ""},
    Refused{"arrow_config", "Arrow, which routes each token to other adapters", ""},
    Refused{"layer_replication", "a model with repeated layers, which its base does not have", ""},
    Refused{"megatron_config", "an adapter of Megatron's parallel layers", kMergeRemedy},
    Refused{"target_parameters", "an adapter of parameters that are no module's weight",
            kMergeRemedy},
    Refused{"trainable_token_indices", "an adapter that replaces rows of the embedding",
            kMergeRemedy}};

// Ways to begin that leave the base as it is; others subtract from it what the factors begin with.
constexpr std::array<std::string_view, 4> kPlainBeginnings{"gaussian", "eva", "orthogonal", "mica"};

bool is_set(const Json& value) {
  if (value.is_null() || value == false) return false;
  return !(value.is_array() || value.is_object() || value.is_string()) || !value.empty();
}

// The keys of the objects of the outermost one, as they stand in the file: of two patterns that
// match, the first counts.
std::map<std::string, std::vector<std::string>> keys_in_order(const std::string& text) {
  std::map<std::string, std::vector<std::string>> keys;
  std::string outer;
  const auto note = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event != Json::parse_event_t::key) return true;
    if (depth == 1) outer = parsed.get<std::string>();
    if (depth == 2) keys[outer].push_back(parsed.get<std::string>());
    return true;
  };
  const Json unused = Json::parse(text, note);
  return keys;
}

std::string shown_pattern(const char* table, const std::string& pattern) {
  return "the pattern '" + printable(pattern) + "' of " + table;
}

class ConfigReader {
 public:
  ConfigReader(const Json& root, const std::string& text, const std::string& file)
      : root_(root), keys_(keys_in_order(text)), file_(file) {}

  AdapterConfig read() const {
    refuse_other_kinds();
    refuse_settings();
    refuse_altered_base();
    AdapterConfig config;
    config.rank = rank("r", require("r"));
    config.alpha = number("lora_alpha", require("lora_alpha"));
    config.rslora = flag("use_rslora");
    config.fan_in_fan_out = flag("fan_in_fan_out");
    config.keeps_tied = flag("ensure_weight_tying");
    for (const Json& module : find("modules_to_save"))
      if (module.is_string()) config.modules_to_save.push_back(module.get<std::string>());
    each_pattern("rank_pattern", [&](const std::string& pattern, const Json& value) {
      config.rank_pattern.emplace_back(pattern,
                                       rank(shown_pattern("rank_pattern", pattern), value));
    });
    each_pattern("alpha_pattern", [&](const std::string& pattern, const Json& value) {
      config.alpha_pattern.emplace_back(pattern,
                                        number(shown_pattern("alpha_pattern", pattern), value));
    });
    const Json& base = find("base_model_name_or_path");
    if (base.is_string()) config.base_model = base.get<std::string>();
    return config;
  }

 private:
  [[noreturn]] void fail(const std::string& found, const std::string& expected) const {
    throw FormatError({file_, {}, found, expected, "save the adapter again"});
  }

  const Json& find(const char* name) const {
    static const Json kNothing;
    const auto at = root_.find(name);
    return at == root_.end() ? kNothing : *at;
  }

  const Json& require(const char* name) const {
    const Json& value = find(name);
    if (value.is_null()) fail(std::string("no ") + name, "a number, which scales the adapter");
    return value;
  }

  std::int64_t rank(const std::string& name, const Json& value) const {
    const bool is_rank = value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 &&
                         value.get<std::uint64_t>() <= kMaxRank;
    if (!is_rank)
      fail(name + " is " + printable(value.dump()),
           "a whole number from 1 to " + std::to_string(kMaxRank));
    return value.get<std::int64_t>();
  }

  double number(const std::string& name, const Json& value) const {
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      fail(name + " is " + printable(value.dump()), "a finite number");
    return value.get<double>();
  }

  bool flag(const char* name) const {
    const Json& value = find(name);
    if (value.is_null()) return false;
    if (!value.is_boolean())
      fail(std::string(name) + " is " + printable(value.dump()), "true or false");
    return value.get<bool>();
  }

  template <class Add>
  void each_pattern(const char* name, Add add) const {
    const Json& patterns = find(name);
    if (patterns.is_null() || patterns.empty()) return;
    if (!patterns.is_object())
      fail(std::string(name) + " is no object", "patterns of module names");
    if (patterns.size() > kMaxPatterns)
      fail(std::to_string(patterns.size()) + " patterns in " + name,
           "at most " + std::to_string(kMaxPatterns));
    for (const std::string& pattern : keys_.at(name)) add(pattern, patterns.at(pattern));
  }

  void refuse_other_kinds() const {
    const Json& kind = find("peft_type");
    if (kind == "LORA") return;
    if (!kind.is_string()) fail("no peft_type", "an adapter_config.json of PEFT");
    throw UsageError({file_,
                      {},
                      "a PEFT adapter of type " + printable(kind.get<std::string>()),
                      "LORA, which is a sum with the base's weights",
                      kMergeRemedy});
  }

  void refuse_settings() const {
    for (const Refused& refused : kRefused) {
      if (!is_set(find(refused.setting))) continue;
      throw UsageError({file_,
                        {},
                        std::string(refused.setting) + " is set: " + refused.meaning,
                        "plain LoRA, rsLoRA, rank and alpha patterns, modules to save",
                        refused.remedy});
    }
  }

  void refuse_altered_base() const {
    const Json& beginning = find("init_lora_weights");
    if (beginning.is_null() || beginning.is_boolean()) return;
    if (!beginning.is_string())
      fail("init_lora_weights is " + printable(beginning.dump()), "true, false or a name");
    const auto name = beginning.get<std::string>();
    if (std::find(kPlainBeginnings.begin(), kPlainBeginnings.end(), name) != kPlainBeginnings.end())
      return;
    throw UsageError({file_,
                      {},
                      "init_lora_weights is '" + printable(name) +
                          "': the adapter is relative to a base altered when it began",
                      "one relative to the base as published",
                      "save it with path_initial_model_for_weight_conversion, which converts it"});
  }

  const Json& root_;
  std::map<std::string, std::vector<std::string>> keys_;
  const std::string& file_;
};

// As PEFT matches: at the name's end, on whole parts of the name or any part that the pattern
// spans.
template <class T>
std::vector<Pattern> compile(const PatternTable<T>& table, const char* name,
                             const std::string& file) {
  std::vector<Pattern> patterns;
  for (const auto& [text, unused] : table) {
    try {
      patterns.emplace_back("\\A(.*\\.)?(" + text + ")$");
    } catch (const UsageError&) {
      throw FormatError({file,
                         {},
                         shown_pattern(name, text),
                         "a regular expression of module names",
                         "save the adapter again"});
    }
  }
  return patterns;
}

}  // namespace

AdapterConfig parse_adapter_config(const std::string& text, const std::string& file) {
  const Json root = format::parse_json(text, file);
  if (!root.is_object())
    throw FormatError({file, {}, "JSON that is no object", "an adapter_config.json of PEFT", {}});
  return ConfigReader(root, text, file).read();
}

std::string read_adapter_config(const std::filesystem::path& file) {
  return format::read_small_file(file, kMaxConfigBytes);
}

ModuleScales::ModuleScales(const AdapterConfig& config, const std::string& file)
    : config_(config),
      file_(file),
      ranks_{"rank_pattern", config.rank_pattern,
             compile(config.rank_pattern, "rank_pattern", file)},
      alphas_{"alpha_pattern", config.alpha_pattern,
              compile(config.alpha_pattern, "alpha_pattern", file)} {}

template <class T>
T ModuleScales::first_match(const Table<T>& table, const std::string& module, T otherwise) const {
  for (std::size_t i = 0; i < table.patterns.size(); ++i) {
    try {
      if (table.patterns[i].found_in(module)) return table.entries[i].second;
    } catch (const UsageError&) {
      throw FormatError({file_,
                         {},
                         shown_pattern(table.name, table.entries[i].first) +
                             ", which takes too long on " + printable(module),
                         "one without nested repetition",
                         "save the adapter again"});
    }
  }
  return otherwise;
}

std::int64_t ModuleScales::rank_of(const std::string& module) const {
  return first_match(ranks_, module, config_.rank);
}

double ModuleScales::scale_of(const std::string& module) const {
  const double alpha = first_match(alphas_, module, config_.alpha);
  const auto rank = static_cast<double>(rank_of(module));
  return alpha / (config_.rslora ? std::sqrt(rank) : rank);
}

}  // namespace suture::lora
