#include "surgery/compare_kinship.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "suture/error.h"

namespace suture {
namespace {

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, share < 0.1 ? "%.2f %%" : "%.0f %%", 100 * share);
  return text;
}

// A part is unlike the other's where it points elsewhere than a fine-tuning would: of rows that are
// not its own, the cosine is about 0. Kin that have moved far apart differ more from part to part,
// and nothing is told by parts of next to nothing.
constexpr double kUnlikeCosine = 0.3, kUnlikeDrop = 0.4, kLeastRms = 0.1;
constexpr std::size_t kEnoughWeights = 16;

const WeightSample& reference_sample(const Comparison& c) {
  return c.other.reference_sample.empty() ? c.reference.sample : c.other.reference_sample;
}

void compare_wholes(Comparison& c) {
  const Kinship kinship =
      kinship_of_others(c.other.sample, reference_sample(c), c.other.sample_names);
  if (kinship.compared == 0) return;
  if (!std::isfinite(kinship.relative_distance)) {
    return c.report(Severity::kWarning, "kinship",
                    "every sampled weight of " + c.reference.name + " is zero",
                    "nothing shows whether " + c.other.name + " comes from the same start", "");
  }
  // An adapter's base is measured, not what it adds.
  const std::string name = (c.other.adapter != nullptr ? "the base of " : "") + c.other.name;
  c.result.kinship.push_back({name, c.reference.name, kinship.relative_distance, kinship.cosine});
  const std::string distance = name + " is " + percent(kinship.relative_distance) +
                               " of its norm away from " + c.reference.name;
  if (kinship.relative_distance >= kStrangerDistance) {
    c.report(Severity::kBlocker, "kinship", distance,
             "these look like two trainings from different starts: a difference between them is no "
             "skill, and does not transfer",
             "use models fine-tuned from one start, or --allow kinship");
  } else if (kinship.relative_distance == 0 && !c.other.is_vector && !c.reference.is_vector &&
             !c.other.is_base) {
    c.report(Severity::kNote, "kinship",
             "no difference found between " + c.other.name + " and " + c.reference.name + " in " +
                 std::to_string(kinship.compared) + " sampled weights",
             "they may be the same model, and their difference zero", "");
  }
}

}  // namespace

void compare_kinship(Comparison& c) {
  if (c.reference.sample.empty() || c.other.sample.empty()) return;
  compare_wholes(c);
  compare_parts(c, c.other.sample, reference_sample(c), c.other.sample_names,
                c.other.own_sample_names ? OwnNames::kNew : OwnNames::kOld);
}

void compare_parts(Comparison& c, const WeightSample& other, const WeightSample& reference,
                   const NameMapping& names, OwnNames own) {
  const Kinship whole = kinship_of_others(other, reference, names);
  if (whole.relative_distance >= kStrangerDistance) return;
  const double least = std::min(kUnlikeCosine, whole.cosine - kUnlikeDrop);
  std::vector<std::string> unlike;
  for (const PartKinship& part : kinship_of_parts(other, reference, names)) {
    const bool is_telling =
        part.kinship.compared >= kEnoughWeights && part.kinship.rms >= kLeastRms * whole.rms;
    if (is_telling && part.kinship.cosine < least &&
        c.other.reaches(own == OwnNames::kOld ? part.old_name : part.new_name))
      unlike.push_back(printable(part.name));
  }
  if (unlike.empty()) return;
  c.report(Severity::kBlocker, "kinship",
           "read under one name with those of " + c.reference.name + ", these parts of " +
               c.other.name + " are unlike theirs: " + list_some(unlike),
           "rows of a joined projection that are not queries, keys, values (or gate, up) in this "
           "order would be added to others",
           "bring the rows into this order, use models with the same names, or --allow kinship");
}

}  // namespace suture
