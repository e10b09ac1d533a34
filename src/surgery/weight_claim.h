#pragma once

#include <set>

namespace suture {

/// The weights that one holder is editing, told to all others of this process by their addresses:
/// two that did not know of each other would undo each other's work. Claims end with the object.
/// Members are safe from any thread.
class WeightClaim {
 public:
  WeightClaim() = default;
  ~WeightClaim() { replace({}); }
  WeightClaim(const WeightClaim&) = delete;
  WeightClaim& operator=(const WeightClaim&) = delete;

  /// True when another holder claims it.
  bool is_taken(const void* weight) const;

  /// Claims these, and none that were claimed before; of what is taken nothing changes.
  void replace(std::set<const void*> weights);

 private:
  std::set<const void*> mine_;
};

}  // namespace suture
