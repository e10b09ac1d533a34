#include "ablation/arm_order.h"

#include <algorithm>
#include <map>

namespace suture::ablation {
namespace {

void walk(const std::vector<StageWeights>& arms, const std::vector<std::size_t>& members,
          std::size_t stage, std::vector<std::size_t>& order) {
  if (members.size() == 1 || stage == arms[members.front()].size()) {
    order.push_back(members.front());  // the others have the same weights
    return;
  }
  std::vector<std::vector<std::size_t>> branches;
  std::map<std::string, std::size_t> known;
  for (const std::size_t arm : members) {
    const auto [at, is_new] = known.emplace(arms[arm][stage], branches.size());
    if (is_new) branches.emplace_back();
    branches[at->second].push_back(arm);
  }
  std::stable_sort(branches.begin(), branches.end(),
                   [](const auto& a, const auto& b) { return a.size() < b.size(); });
  for (const auto& branch : branches) walk(arms, branch, stage + 1, order);
}

// Of the layers at which later turns leave this one's trunk, that which spares them the most; 0 for
// none above `resume`. `shared` are those of each turn with the turn after it.
std::size_t layer_to_keep(const std::vector<std::size_t>& shared, std::size_t turn,
                          std::size_t resume) {
  std::size_t keep = 0, most = 0, common = shared[turn];
  for (std::size_t later = turn + 1; later < shared.size() && common > resume; ++later) {
    const std::size_t spared = (common - resume) * (later - turn);
    if (spared > most) keep = common;
    most = std::max(most, spared);
    common = std::min(common, shared[later]);
  }
  return keep;
}

}  // namespace

std::size_t shared_layers(const StageWeights& a, const StageWeights& b) {
  std::size_t stage = 0;
  while (stage + 1 < a.size() && a[stage] == b[stage]) ++stage;
  return stage > 0 ? stage - 1 : 0;
}

std::vector<std::size_t> order_arms(const std::vector<StageWeights>& arms) {
  std::vector<std::size_t> all(arms.size()), order;
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  if (!arms.empty()) walk(arms, all, 0, order);
  return order;
}

std::vector<ArmTurn> plan_turns(const std::vector<StageWeights>& arms,
                                const std::vector<std::size_t>& order) {
  std::vector<std::size_t> shared(order.size());  // with the turn after it
  for (std::size_t i = 0; i + 1 < order.size(); ++i)
    shared[i] = shared_layers(arms[order[i]], arms[order[i + 1]]);
  std::vector<ArmTurn> turns;
  std::vector<std::size_t> held;  // layers whose inputs are held, upwards
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t before = i > 0 ? shared[i - 1] : 0;
    while (!held.empty() && held.back() > before) held.pop_back();
    ArmTurn turn;
    turn.arm = order[i];
    turn.resume = held.empty() ? 0 : held.back();
    turn.keep = layer_to_keep(shared, i, turn.resume);
    // A later turn goes on from here when it leaves the trunk below what is kept now.
    turn.last_use = turn.resume > 0;
    std::size_t common = shared[i];
    for (std::size_t later = i + 1; later < order.size() && turn.last_use; ++later) {
      if (common < turn.resume) break;
      if (turn.keep == 0 || common < turn.keep) turn.last_use = false;
      common = std::min(common, shared[later]);
    }
    if (turn.last_use) held.pop_back();
    if (turn.keep > 0) held.push_back(turn.keep);
    turns.push_back(turn);
  }
  return turns;
}

double layers_computed(const std::vector<ArmTurn>& turns, std::size_t layers) {
  double sum = 0;
  for (const ArmTurn& turn : turns) sum += static_cast<double>(layers - turn.resume);
  return layers > 0 ? sum / static_cast<double>(layers) : 0;
}

}  // namespace suture::ablation
