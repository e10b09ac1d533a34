#include "common/model_program.h"
#include "eval_spec.h"

namespace suture::apps {

const Command& eval_command() {
  static const Command command{eval_spec(), run_model_program};
  return command;
}

}  // namespace suture::apps
