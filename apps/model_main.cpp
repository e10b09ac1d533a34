#include "common/program.h"
#include "common/terminal.h"

using namespace suture::apps;

// The commands that run a model, and so need LibTorch. `suture` starts this program for them.
int main(int argc, char** argv) {
  reserve_standard_streams();
  install_signal_handlers();
  return run_program({&eval_command(), &serve_command(), &sweep_command(), &ablate_command()}, argc,
                     argv);
}
