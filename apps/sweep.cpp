#include "common/command.h"
#include "common/experiment.h"

namespace suture::apps {
namespace {

int run(const Arguments& arguments) {
  return run_experiment(arguments, [&](const TaskVector& vector) {
    ControlOptions controls = arguments.plan.controls;
    controls.first_seed = arguments.seed.value_or(0);
    return sweep_arms(vector, arguments.scales, controls);
  });
}

}  // namespace

const Command& sweep_command() {
  static const Command command{sweep_spec(), run};
  return command;
}

}  // namespace suture::apps
