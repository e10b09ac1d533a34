#include "common/command.h"
#include "common/experiment.h"

namespace suture::apps {
namespace {

int run(const Arguments& arguments) {
  return run_experiment(arguments, [&](const TaskVector& vector) {
    AblationPlan plan = arguments.plan;
    plan.scale = arguments.scale;
    plan.controls.first_seed = arguments.seed.value_or(0);
    return ablation_arms(vector, plan);
  });
}

}  // namespace

const Command& ablate_command() {
  static const Command command{ablate_spec(), run};
  return command;
}

}  // namespace suture::apps
