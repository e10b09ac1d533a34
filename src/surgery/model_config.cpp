#include "surgery/model_config.h"

#include <array>
#include <system_error>

#include "suture/error.h"

#include "format/json.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using format::Json;

constexpr std::uint64_t kMaxConfigBytes = 16 << 20;

constexpr std::array kCounts{"hidden_size",         "num_hidden_layers", "num_attention_heads",
                             "num_key_value_heads", "intermediate_size", "head_dim",
                             "num_experts",         "num_local_experts", "vocab_size"};

constexpr std::array kStructure{"model_type",          "hidden_size",       "num_attention_heads",
                                "num_key_value_heads", "intermediate_size", "head_dim",
                                "num_experts",         "num_local_experts", "num_experts_per_tok"};

// With the value that a model has when its config is silent.
struct Setting {
  const char* name;
  const char* silent;
};
constexpr std::array kMeaning{Setting{"hidden_act", ""},
                              Setting{"rms_norm_eps", ""},
                              Setting{"layer_norm_eps", ""},
                              Setting{"sliding_window", "null"},
                              Setting{"use_sliding_window", "false"},
                              Setting{"partial_rotary_factor", ""},
                              Setting{"attn_logit_softcapping", "null"},
                              Setting{"final_logit_softcapping", "null"},
                              Setting{"query_pre_attn_scalar", ""}};

class ConfigReader {
 public:
  ConfigReader(const Json& root, std::string file) : root_(root), file_(std::move(file)) {
    if (!root.is_object()) fail("not an object", "an object");
    const auto text = root.find("text_config");
    model_ = text != root.end() && text->is_object() ? &*text : &root_;
  }

  ModelConfig read() const {
    require_sane_counts();
    ModelConfig config;
    config.architecture = architecture();
    config.vocab_size = count("vocab_size");
    config.layers = count("num_hidden_layers");
    config.tied_embeddings = flag("tie_word_embeddings");
    config.quantization = quantization();
    for (const char* name : kStructure) {
      if (const Json* value = find(name)) config.structure[name] = value->dump();
    }
    config.meaning = meaning();
    return config;
  }

 private:
  [[noreturn]] void fail(const std::string& found, const std::string& expected) const {
    throw FormatError({file_, {}, found, expected, {}});
  }

  const Json* find(const char* name) const {
    for (const Json* object : {model_, &root_}) {
      const auto at = object->find(name);
      if (at != object->end()) return &*at;
    }
    return nullptr;
  }

  void require_sane_counts() const {
    for (const char* name : kCounts) {
      const Json* value = find(name);
      if (value == nullptr || value->is_null()) continue;
      if (!value->is_number_unsigned() || value->get<std::uint64_t>() == 0 ||
          value->get<std::uint64_t>() > 1'000'000'000) {
        fail(std::string(name) + " is " + printable(value->dump()), "a whole number from 1 on");
      }
    }
  }

  std::optional<std::int64_t> count(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr || value->is_null()) return std::nullopt;
    return value->get<std::int64_t>();
  }

  bool flag(const char* name) const {
    // A composite model states it at the top; there the nested value may be a default.
    const auto at = root_.find(name);
    const Json* value = at != root_.end() ? &*at : find(name);
    return value != nullptr && value->is_boolean() && value->get<bool>();
  }

  std::string architecture() const {
    const auto list = root_.find("architectures");
    if (list == root_.end() || !list->is_array() || list->empty() || !list->front().is_string())
      return {};
    return list->front().get<std::string>();
  }

  std::string quantization() const {
    const Json* settings = find("quantization_config");
    if (settings == nullptr || settings->is_null()) return {};
    const auto method = settings->is_object() ? settings->find("quant_method") : settings->end();
    return settings->is_object() && method != settings->end() && method->is_string()
               ? method->get<std::string>()
               : "unknown";
  }

  std::map<std::string, std::string> meaning() const {
    std::map<std::string, std::string> settings;
    for (const Setting& setting : kMeaning) {
      const Json* value = find(setting.name);
      const std::string text = value != nullptr ? value->dump() : setting.silent;
      if (!text.empty()) settings[setting.name] = text;
    }
    // Qwen2 states a window that its layers do not use.
    if (const auto at = settings.find("use_sliding_window");
        find("use_sliding_window") != nullptr && at->second == "false") {
      settings["sliding_window"] = "null";
    }
    settings.erase("use_sliding_window");
    read_rope(settings);
    return settings;
  }

  // transformers 4: `rope_theta` and `rope_scaling`; 5: both inside `rope_parameters`.
  void read_rope(std::map<std::string, std::string>& settings) const {
    Json scaling = Json::object();
    if (const Json* value = find("rope_scaling"); value != nullptr && value->is_object())
      scaling = *value;
    if (const Json* value = find("rope_parameters"); value != nullptr && value->is_object())
      scaling = *value;
    if (const Json* theta = find("rope_theta"); theta != nullptr && !scaling.contains("rope_theta"))
      scaling["rope_theta"] = *theta;
    // Where neither says so, transformers takes 10000.
    if (!scaling.contains("rope_theta") || scaling["rope_theta"].is_null())
      scaling["rope_theta"] = 10000.0;
    if (scaling.contains("type") && !scaling.contains("rope_type"))
      scaling["rope_type"] = scaling["type"];
    scaling.erase("type");
    if (scaling.value("rope_type", Json("default")) == "default") scaling.erase("rope_type");
    for (const auto& [name, value] : scaling.items()) {
      // 10000 and 10000.0 are one theta.
      settings[name == "rope_theta" ? name : "rope_" + name] =
          value.is_number() ? Json(value.get<double>()).dump() : value.dump();
    }
  }

  const Json& root_;
  const Json* model_;
  std::string file_;
};

}  // namespace

std::optional<ModelConfig> read_model_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  std::error_code error;
  if (folder.empty() || !fs::exists(fs::symlink_status(path, error))) return std::nullopt;
  const Json root = format::read_json_file(path, kMaxConfigBytes);
  return ConfigReader(root, path.string()).read();
}

}  // namespace suture
