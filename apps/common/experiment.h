#pragma once

#include <functional>
#include <vector>

#include "suture/ablation.h"

#include "common/arguments.h"

namespace suture::apps {

/// Which arms a command has for a vector.
using ArmMaker = std::function<std::vector<Arm>(const TaskVector& vector)>;

/// What `sweep` and `ablate` have in common: opens target, vectors and tasks, scores all arms, and
/// shows and writes the results. Returns the exit status.
int run_experiment(const Arguments& arguments, const ArmMaker& make_arms);

}  // namespace suture::apps
