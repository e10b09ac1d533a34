#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "suture/ablation.h"
#include "suture/control_vector.h"
#include "suture/error.h"
#include "suture/site.h"

namespace suture {
namespace {

constexpr const char* kTargetName = "target";
constexpr const char* kVectorName = "vector";
constexpr const char* kOutside = "!layer=0-";

std::string text_of(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

// What a design takes out or puts in: `layer=3`.
struct Part {
  std::string text;
  Selection selection;
};

Part parsed(const std::string& text) { return {text, Selection::parse(text)}; }

// Quoted where the name is more than a word, which hostile ones are.
std::string quoted(const std::string& name) {
  const bool is_word = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
  return is_word && !name.empty()
             ? name
             : (name.find('\'') == std::string::npos ? "'" + name + "'" : "\"" + name + "\"");
}

// A pattern of a tensor's name and no other.
std::string pattern_of(const std::string& name) {
  std::string pattern = "\\A";
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    char code[8];
    std::snprintf(code, sizeof code, "\\x{%02x}", unsigned{byte});
    pattern += std::isalnum(byte) != 0 || byte >= 0x80 ? std::string(1, c) : code;
  }
  return pattern + "\\z";
}

// A module whose name the text form of selections cannot hold is selected tensor by tensor.
Part module_part(const std::string& module, const std::vector<std::string>& names) {
  const std::string text = "module=" + quoted(module);
  const bool has_both_quotes =
      module.find('\'') != std::string::npos && module.find('"') != std::string::npos;
  if (!module.empty() && !has_both_quotes && module.find(',') == std::string::npos)
    return parsed(text);
  std::optional<Selection> tensors;
  for (const std::string& name : names) {
    if (site_of(name).module != module) continue;
    const Selection tensor = Selection::parse("re='" + pattern_of(name) + "'");
    tensors = tensors ? *tensors | tensor : tensor;
  }
  return {text, *tensors};
}

std::vector<int> layers_of(const std::vector<std::string>& names) {
  std::set<int> layers;
  for (const std::string& name : names)
    if (const auto layer = site_of(name).layer) layers.insert(*layer);
  return {layers.begin(), layers.end()};
}

bool has_outside(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return !site_of(name).layer; });
}

const char* name_of(AblationUnit unit) {
  return unit == AblationUnit::kLayer ? "layer" : unit == AblationUnit::kBlock ? "block" : "module";
}

std::vector<Part> parts_by_layer(const std::vector<std::string>& names) {
  std::vector<Part> parts;
  for (const int layer : layers_of(names))
    parts.push_back(parsed("layer=" + std::to_string(layer)));
  if (has_outside(names)) parts.push_back({"outside the layers", Selection::parse(kOutside)});
  return parts;
}

// Blocks or modules in the order in which they come first.
std::vector<Part> parts_by(AblationUnit unit, const std::vector<std::string>& names) {
  if (unit == AblationUnit::kLayer) return parts_by_layer(names);
  std::vector<std::string> values;
  for (const std::string& name : names) {
    const Site site = site_of(name);
    std::string value =
        unit == AblationUnit::kBlock ? std::string(suture::name_of(site.block)) : site.module;
    if (std::find(values.begin(), values.end(), value) == values.end())
      values.push_back(std::move(value));
  }
  std::vector<Part> parts;
  for (const std::string& value : values)
    parts.push_back(unit == AblationUnit::kBlock ? parsed("block=" + value)
                                                 : module_part(value, names));
  return parts;
}

// From the embedding up to each layer, or from each layer up to the head.
std::vector<Part> cumulative_parts(AblationDesign design, const std::vector<std::string>& names) {
  std::vector<Part> parts;
  for (const int layer : layers_of(names)) {
    const std::string number = std::to_string(layer);
    if (design == AblationDesign::kBottomUp)
      parts.push_back(
          {"layer=0-" + number, Selection::parse("block=embedding | layer=0-" + number)});
    else
      parts.push_back({"layer=" + number + "-",
                       Selection::parse("layer=" + number + "- | (!layer=0- & !block=embedding)")});
  }
  return parts;
}

Arm whole_arm(std::string name, ArmKind kind, double scale) {
  Arm arm;
  arm.name = std::move(name);
  arm.kind = kind;
  arm.family = "controls";
  arm.scale = scale;
  return arm;
}

Arm target_arm() { return whole_arm(kTargetName, ArmKind::kTarget, 0); }

Arm part_arm(ArmKind kind, const std::string& family, const Part& part, double scale) {
  Arm arm;
  arm.name = std::string(name_of(kind)) + " " + part.text;
  arm.kind = kind;
  arm.family = family;
  arm.part = part.text;
  arm.selection = kind == ArmKind::kWithout ? !part.selection : part.selection;
  arm.scale = scale;
  arm.reference = kind == ArmKind::kWithout ? kVectorName : kTargetName;
  return arm;
}

// Each layer takes the next one's place: where that can be, any other order can.
bool has_other_order(const TaskVector& vector) {
  const std::vector<int> layers = layers_of(vector.names());
  if (layers.size() < 2) return false;
  std::vector<std::size_t> order(static_cast<std::size_t>(layers.back()) + 1);
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = 0; i < layers.size(); ++i)
    order[static_cast<std::size_t>(layers[i])] =
        static_cast<std::size_t>(layers[(i + 1) % layers.size()]);
  try {
    with_layer_order(vector, order);
    return true;
  } catch (const UsageError&) {
    return false;  // layers of other shapes, or of which other tensors are left
  }
}

// What else could have moved the score: the opposite, and things of the same size that mean
// nothing.
void add_controls(const ControlOptions& options, double scale, const TaskVector& vector,
                  std::vector<Arm>& arms) {
  if (!options.enabled) return;
  arms.push_back(whole_arm("negated", ArmKind::kNegated, -scale));
  const std::size_t permutations = has_other_order(vector) ? options.permutations : 0;
  for (std::size_t i = 0; i < options.random_seeds + permutations; ++i) {
    const bool is_random = i < options.random_seeds;
    const std::uint64_t seed = options.first_seed + (is_random ? i : i - options.random_seeds);
    Arm arm = whole_arm((is_random ? "random seed=" : "permuted seed=") + std::to_string(seed),
                        is_random ? ArmKind::kRandom : ArmKind::kPermuted, scale);
    arm.seed = seed;
    arms.push_back(std::move(arm));
  }
  for (Arm& arm : arms)
    if (arm.family == "controls" && arm.kind != ArmKind::kTarget) arm.reference = kTargetName;
}

void add_design(AblationDesign design, const AblationPlan& plan,
                const std::vector<std::string>& names, std::vector<Arm>& arms) {
  const auto add_all = [&](ArmKind kind, const std::string& family,
                           const std::vector<Part>& parts) {
    for (const Part& part : parts) arms.push_back(part_arm(kind, family, part, plan.scale));
  };
  if (design == AblationDesign::kBottomUp || design == AblationDesign::kTopDown) {
    const bool is_up = design == AblationDesign::kBottomUp;
    add_all(is_up ? ArmKind::kBottomUp : ArmKind::kTopDown, is_up ? "bottom-up" : "top-down",
            cumulative_parts(design, names));
    return;
  }
  const bool leaves_out = design == AblationDesign::kLeaveOneOut;
  for (const AblationUnit unit : plan.units)
    add_all(leaves_out ? ArmKind::kWithout : ArmKind::kOnly,
            (leaves_out ? "without " : "only ") + std::string(name_of(unit)),
            parts_by(unit, names));
}

void refuse_same_names(const std::vector<Arm>& arms) {
  std::set<std::string> names;
  for (const Arm& arm : arms)
    if (!names.insert(arm.name).second)
      throw UsageError({{}, {}, "the arm '" + printable(arm.name) + "' twice", "each once", {}});
}

// An arm that only stands there to be compared with is left out where nothing is.
void drop_unused_references(const ControlOptions& controls, std::vector<Arm>& arms) {
  if (controls.enabled) return;
  std::set<std::string> used;
  for (const Arm& arm : arms) used.insert(arm.reference);
  std::erase_if(arms, [&](const Arm& arm) {
    return (arm.name == kTargetName || arm.name == kVectorName) && used.count(arm.name) == 0;
  });
}

// The whole vector is compared with the target wherever that is there.
void compare_vector_with_target(std::vector<Arm>& arms) {
  if (arms.size() > 1 && arms[0].name == kTargetName && arms[1].name == kVectorName)
    arms[1].reference = kTargetName;
}

void refuse_bad_scale(double scale) {
  if (!std::isfinite(scale))
    throw UsageError({{}, {}, "the scale " + text_of(scale), "a finite number", {}});
}

}  // namespace

const char* name_of(ArmKind kind) {
  static constexpr const char* kNames[] = {"target",   "vector",   "negated", "random",
                                           "permuted", "without",  "only",    "bottom-up",
                                           "top-down", "selection"};
  return kNames[static_cast<std::size_t>(kind)];
}

const ArmResult* Ablation::find(const std::string& arm) const {
  for (const ArmResult& result : arms)
    if (result.arm.name == arm) return &result;
  return nullptr;
}

std::vector<Arm> ablation_arms(const TaskVector& vector, const AblationPlan& plan) {
  refuse_bad_scale(plan.scale);
  const std::vector<std::string> names = vector.names();
  if (names.empty())
    throw UsageError({{}, {}, "a vector without a tensor", "something to take apart", {}});
  if (plan.scale == 0)
    throw UsageError({{}, {}, "a scale of 0", "another, since nothing would be added", {}});
  std::vector<Arm> arms{target_arm(), whole_arm(kVectorName, ArmKind::kVector, plan.scale)};
  add_controls(plan.controls, plan.scale, vector, arms);
  for (const AblationDesign design : plan.designs) add_design(design, plan, names, arms);
  for (const Selection& selection : plan.selections) {
    selection.require_matches(names);
    arms.push_back(part_arm(ArmKind::kSelection, "selections", {selection.to_string(), selection},
                            plan.scale));
  }
  drop_unused_references(plan.controls, arms);
  compare_vector_with_target(arms);
  refuse_same_names(arms);
  if (arms.size() < 2)
    throw UsageError({{}, {}, "nothing to compare", "a design, a selection or the controls", {}});
  return arms;
}

std::vector<Arm> sweep_arms(const TaskVector& vector, const std::vector<double>& scales,
                            const ControlOptions& controls) {
  if (scales.empty())
    throw UsageError({{}, {}, "no scale", "one at least", "name some with --scales"});
  std::vector<Arm> arms{target_arm()};
  double largest = 0;
  if (std::count(scales.begin(), scales.end(), 0) > 1)
    throw UsageError({{}, {}, "the scale 0 twice", "each once", {}});
  for (const double scale : scales) {
    refuse_bad_scale(scale);
    if (std::abs(scale) > std::abs(largest)) largest = scale;
    if (scale == 0) continue;  // the target
    Arm arm = whole_arm("scale=" + text_of(scale), ArmKind::kVector, scale);
    arm.family = "scales";
    arm.reference = kTargetName;
    arms.push_back(std::move(arm));
  }
  if (largest == 0) throw UsageError({{}, {}, "only the scale 0", "another besides", {}});
  add_controls(controls, largest, vector, arms);
  // The opposite may be among the scales already.
  if (std::count(scales.begin(), scales.end(), -largest) > 0)
    std::erase_if(arms, [](const Arm& arm) { return arm.kind == ArmKind::kNegated; });
  refuse_same_names(arms);
  return arms;
}

}  // namespace suture
