#include "model/config_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "suture/error.h"

namespace suture::model {
namespace {

using format::Json;

constexpr std::int64_t kMaxCount = 1'000'000'000;

// Settings that say how a model was made, trained, stored or is used, not what it computes.
constexpr std::array kWithoutEffect{"_attn_implementation",
                                    "_name_or_path",
                                    "architectures",
                                    "add_cross_attention",
                                    "attention_dropout",
                                    "attn_implementation",
                                    "auto_map",
                                    "bos_token_id",
                                    "chunk_size_feed_forward",
                                    "dtype",
                                    "eos_token_id",
                                    "finetuning_task",
                                    "hidden_dropout",
                                    "id2label",
                                    "initializer_range",
                                    "is_decoder",
                                    "is_encoder_decoder",
                                    "label2id",
                                    "model_type",
                                    "output_attentions",
                                    "output_hidden_states",
                                    "pad_token_id",
                                    "pretraining_tp",
                                    "problem_type",
                                    "resid_pdrop",
                                    "return_dict",
                                    "task_specific_params",
                                    "tie_encoder_decoder",
                                    "torch_dtype",
                                    "torchscript",
                                    "transformers_version",
                                    "unk_token_id",
                                    "unsloth_fixed",
                                    "unsloth_version",
                                    "use_cache"};

bool is_without_effect(const std::string& name, const Json& value) {
  if (value.is_null()) return true;
  if ((value.is_array() || value.is_object()) && value.empty()) return true;
  return std::find(kWithoutEffect.begin(), kWithoutEffect.end(), name) != kWithoutEffect.end();
}

const Json* written_object(const Json& root, const char* name) {
  const auto at = root.find(name);
  return at != root.end() && at->is_object() && !at->empty() ? &*at : nullptr;
}

// The settings of rope in one object, whichever version of transformers wrote them.
Json rope_settings(const Json& root) {
  Json settings = Json::object();
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    if (const Json* written = written_object(root, name)) settings = *written;
  }
  const auto theta = root.find("rope_theta");
  if (theta != root.end() && !theta->is_null() && !settings.contains("rope_theta"))
    settings["rope_theta"] = *theta;
  if (const auto type = settings.find("type"); type != settings.end()) {
    const Json kind = *type;
    settings.erase(type);
    if (!settings.contains("rope_type")) settings["rope_type"] = kind;
  }
  return settings;
}

std::string shown(const char* name, const Json& value) {
  return std::string(name) + " is " + printable(value.dump());
}

// What each kind of rope may be told beside its type and theta.
const std::map<std::string, std::pair<RopeConfig::Kind, std::set<std::string>>>& rope_kinds() {
  using Kind = RopeConfig::Kind;
  static const std::map<std::string, std::pair<Kind, std::set<std::string>>> kinds{
      {"default", {Kind::kDefault, {}}},
      {"linear", {Kind::kLinear, {"factor"}}},
      {"dynamic", {Kind::kDynamic, {"factor"}}},
      {"yarn",
       {Kind::kYarn,
        {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow",
         "mscale", "mscale_all_dim", "truncate"}}},
      {"llama3",
       {Kind::kLlama3,
        {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"}}}};
  return kinds;
}

}  // namespace

ConfigReader::ConfigReader(const Json& root, std::string file)
    : root_(root), file_(std::move(file)) {
  if (!root.is_object()) fail("not an object", "an object");
}

void ConfigReader::fail(const std::string& found, const std::string& expected) const {
  throw FormatError({file_, {}, found, expected, {}});
}

void ConfigReader::not_implemented(const std::string& found, const std::string& expected) const {
  throw UsageError({file_, {}, found + ", which is not implemented", expected, {}});
}

const Json* ConfigReader::find(const char* name) {
  read_.insert(name);
  const auto at = root_.find(name);
  return at == root_.end() || at->is_null() ? nullptr : &*at;
}

std::optional<std::int64_t> ConfigReader::optional_count(const char* name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() == 0 ||
      value->get<std::uint64_t>() > kMaxCount) {
    fail(shown(name, *value), "a whole number from 1 on");
  }
  return value->get<std::int64_t>();
}

std::int64_t ConfigReader::count(const char* name, std::optional<std::int64_t> absent) {
  const auto value = optional_count(name);
  if (value) return *value;
  if (!absent) fail(std::string("no ") + name, "a whole number from 1 on");
  return *absent;
}

std::int64_t ConfigReader::index(const char* name, std::int64_t absent) {
  const Json* value = find(name);
  if (value == nullptr) return absent;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() > kMaxCount)
    fail(shown(name, *value), "a whole number from 0 on");
  return value->get<std::int64_t>();
}

double ConfigReader::positive(const char* name, double absent) {
  const Json* value = find(name);
  if (value == nullptr) return absent;
  const double number = value->is_number() ? value->get<double>() : 0;
  if (!(number > 0) || !std::isfinite(number)) fail(shown(name, *value), "a number above 0");
  return number;
}

bool ConfigReader::flag(const char* name, bool absent) {
  const Json* value = find(name);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) fail(shown(name, *value), "true or false");
  return value->get<bool>();
}

std::string ConfigReader::text(const char* name, const std::string& absent) {
  const Json* value = find(name);
  if (value == nullptr) return absent;
  if (!value->is_string()) fail(shown(name, *value), "a text");
  return value->get<std::string>();
}

std::optional<std::vector<bool>> ConfigReader::sliding_layers(std::int64_t layers) {
  const Json* value = find("layer_types");
  if (value == nullptr) return std::nullopt;
  if (!value->is_array() || static_cast<std::int64_t>(value->size()) != layers) {
    fail("layer_types of " + std::to_string(value->size()) + " entries",
         std::to_string(layers) + ", one per layer");
  }
  std::vector<bool> sliding;
  for (const Json& kind : *value) {
    if (kind != "full_attention" && kind != "sliding_attention")
      not_implemented(shown("a layer type", kind), "full_attention or sliding_attention");
    sliding.push_back(kind == "sliding_attention");
  }
  return sliding;
}

void ConfigReader::require(const char* name, const Json& only) {
  read_.insert(name);
  const auto at = root_.find(name);
  if (at != root_.end() && *at != only) not_implemented(shown(name, *at), only.dump());
}

std::optional<std::int64_t> ConfigReader::window() {
  const auto window = optional_count("sliding_window");
  return window || has("sliding_window") ? window : std::optional<std::int64_t>(4096);
}

RopeConfig ConfigReader::rope(std::int64_t max_length) {
  for (const char* name : {"rope_theta", "rope_scaling", "rope_parameters"}) read_.insert(name);
  const Json* old = written_object(root_, "rope_scaling");
  const Json* now = written_object(root_, "rope_parameters");
  if (old != nullptr && now != nullptr && *old != *now)
    fail("rope_scaling and rope_parameters that differ", "one of them");
  const Json settings = rope_settings(root_);
  ConfigReader reader(settings, file_);
  const std::string type = reader.text("rope_type", "default");
  const auto kind = rope_kinds().find(type);
  if (kind == rope_kinds().end())
    not_implemented("rope of type '" + printable(type) + "'",
                    "default, linear, dynamic, yarn or llama3");
  RopeConfig rope;
  rope.kind = kind->second.first;
  rope.theta = reader.positive("rope_theta", rope.theta);
  for (ConfigReader* place : {this, &reader}) {
    if (place->positive("partial_rotary_factor", 1) != 1)
      not_implemented("a partial_rotary_factor other than 1", "rotation of whole heads");
  }
  for (const auto& [name, value] : settings.items()) {
    const bool known = name == "rope_theta" || name == "rope_type" ||
                       name == "partial_rotary_factor" || kind->second.second.count(name) > 0;
    if (!known && !value.is_null())
      not_implemented(type + " rope with " + shown(name.c_str(), value), "none of this name");
  }
  // A length beside the rope's own settings comes before one among them.
  const auto original_length = optional_count("original_max_position_embeddings");
  if (rope.kind == RopeConfig::Kind::kDefault) return rope;

  rope.original_max_length =
      reader.positive("original_max_position_embeddings", static_cast<double>(max_length));
  if (original_length) rope.original_max_length = static_cast<double>(*original_length);
  const bool derives_factor = rope.kind == RopeConfig::Kind::kYarn;
  rope.factor = reader.positive(
      "factor", derives_factor ? static_cast<double>(max_length) / rope.original_max_length : 0);
  if (rope.factor == 0) fail(type + " rope without a factor", "a number above 0");
  rope.low_frequency_factor = reader.positive("low_freq_factor", rope.low_frequency_factor);
  rope.high_frequency_factor = reader.positive("high_freq_factor", rope.high_frequency_factor);
  if (rope.kind == RopeConfig::Kind::kLlama3 &&
      !(rope.high_frequency_factor > rope.low_frequency_factor)) {
    fail("a high_freq_factor that is not above low_freq_factor", "a band between them");
  }
  rope.beta_fast = reader.positive("beta_fast", rope.beta_fast);
  rope.beta_slow = reader.positive("beta_slow", rope.beta_slow);
  if (settings.contains("attention_factor") && !settings["attention_factor"].is_null())
    rope.attention_factor = reader.positive("attention_factor", 1);
  if (settings.contains("mscale") && !settings["mscale"].is_null())
    rope.mscale = reader.positive("mscale", 1);
  if (settings.contains("mscale_all_dim") && !settings["mscale_all_dim"].is_null())
    rope.mscale_all_dim = reader.positive("mscale_all_dim", 1);
  rope.truncate = reader.flag("truncate", true);
  return rope;
}

void ConfigReader::refuse_unknown() const {
  for (const auto& [name, value] : root_.items()) {
    if (read_.count(name) > 0 || is_without_effect(name, value)) continue;
    throw UsageError({file_,
                      {},
                      "setting '" + printable(name) + "' = " + printable(value.dump()) +
                          ", which is not known and may change the computation",
                      {},
                      "take it out if it does not, or pass --ignore-unknown-settings"});
  }
}

}  // namespace suture::model
