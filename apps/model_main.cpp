#include "common/program.h"
#include "common/terminal.h"
#include "model/freed_memory.h"

using namespace suture::apps;

// The commands that run a model or decompose matrices, and so need LibTorch. `suture` starts this
// program for them.
int main(int argc, char** argv) {
  reserve_standard_streams();
  install_signal_handlers();
  suture::model::keep_freed_memory();
  return run_program({&analyze_command(), &extract_command(), &eval_command(), &serve_command(),
                      &sweep_command(), &ablate_command(), &explore_command()},
                     argc, argv);
}
