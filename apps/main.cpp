#include "common/program.h"
#include "common/terminal.h"

using namespace suture::apps;

// The commands that move file bytes. Those that run a model are the model program's.
int main(int argc, char** argv) {
  install_signal_handlers();
  return run_program({&check_command(), &extract_command(), &inject_command(), &analyze_command(),
                      &eval_command(), &tokenize_command()},
                     argc, argv);
}
