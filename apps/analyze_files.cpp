#include "analyze.h"
#include "common/model_program.h"

namespace suture::apps {

const Command& analyze_command() {
  static const Command command{analyze_spec(), [](const Arguments& arguments) {
                                 return arguments.spectrum ? run_model_program(arguments)
                                                           : run_analyze(arguments, nullptr);
                               }};
  return command;
}

}  // namespace suture::apps
