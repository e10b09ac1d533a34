#include "common/command.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "report/json_report.h"
#include "report/text_report.h"

namespace suture::apps {
namespace {

int run(const Arguments& arguments) {
  std::vector<Checkpoint> models;
  for (const std::string& location : arguments.positional)
    models.push_back(Checkpoint::open(location));
  say_warnings(arguments, models);
  const Compatibility compatibility = check(models, arguments.check);
  if (!arguments.json.empty())
    write_result(arguments.json, ".json", report::to_json(compatibility));
  if (arguments.json != "-" && !arguments.quiet)
    write_stdout(report::to_text(compatibility, text_style(arguments)));
  return compatibility.fit() ? kDone : kAnswerIsNo;
}

}  // namespace

const Command& check_command() {
  static const Command command{
      {"check",
       "check A B [C...]",
       "are these models fit for surgery? every difference at once",
       "Compares every model with the first: architecture, layers, tensor names and shapes, "
       "dtypes, tied\n"
       "embeddings, vocabulary, tokenizer by content, rope and norm settings, quantisation, and "
       "kinship:\n"
       "how far the models are from each other, which tells two fine-tunings of one start from "
       "two\n"
       "strangers. Reads headers and some thousand weights. Exit status 1 when they are not fit.",
       {"suture check models/grpo models/sft models/instruct",
        "suture check A B --json report.json"},
       {"vocab", "head", "allow", "json", "device", "seed", "quiet"},
       2},
      run};
  return command;
}

}  // namespace suture::apps
