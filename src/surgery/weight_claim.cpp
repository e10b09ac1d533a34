#include "surgery/weight_claim.h"

#include <map>
#include <mutex>
#include <utility>

namespace suture {
namespace {

struct Claims {
  std::mutex changing;
  std::map<const void*, const WeightClaim*> holders;
};

// Never destroyed: a holder may live in a static object.
Claims& claims() {
  static Claims& all = *new Claims;
  return all;
}

}  // namespace

bool WeightClaim::is_taken(const void* weight) const {
  Claims& all = claims();
  const std::lock_guard lock(all.changing);
  const auto at = all.holders.find(weight);
  return at != all.holders.end() && at->second != this;
}

void WeightClaim::replace(std::set<const void*> weights) {
  Claims& all = claims();
  const std::lock_guard lock(all.changing);
  for (const void* weight : mine_)
    if (weights.count(weight) == 0) all.holders.erase(weight);
  std::erase_if(weights, [&](const void* weight) {
    return all.holders.emplace(weight, this).first->second != this;
  });
  mine_ = std::move(weights);
}

}  // namespace suture
