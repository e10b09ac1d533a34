#include "common/model_program.h"
#include "common/program.h"
#include "common/terminal.h"

using namespace suture::apps;

// The commands that move file bytes. Those that run a model are the model program's.
int main(int argc, char** argv) {
  reserve_standard_streams();
  install_signal_handlers();
  const Command eval{eval_spec(), run_model_program}, serve{serve_spec(), run_model_program};
  const Command sweep{sweep_spec(), run_model_program}, ablate{ablate_spec(), run_model_program};
  const Command explore{explore_spec(), run_model_program};
  return run_program(
      {&check_command(), &extract_command(), &inject_command(), &analyze_command(), &eval, &sweep,
       &ablate, &report_command(), &explore, &serve, &tokenize_command()},
      argc, argv);
}
