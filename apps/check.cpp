#include <iterator>
#include <utility>

#include "suture/task_vector.h"

#include "common/command.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "lora/adapter_source.h"
#include "report/json_report.h"
#include "report/text_report.h"

namespace suture::apps {
namespace {

// Models are compared among each other, and each adapter with the first of them.
Compatibility check_named(const Arguments& arguments) {
  std::vector<Checkpoint> models;
  std::vector<std::string> adapters;
  for (const std::string& location : arguments.positional) {
    if (!models.empty() && lora::is_adapter(location)) {
      adapters.push_back(location);
    } else {
      models.push_back(Checkpoint::open(location));
    }
  }
  say_warnings(arguments, models);
  Compatibility result = models.size() > 1 ? check(models, arguments.check) : Compatibility{};
  for (const std::string& location : adapters) {
    Compatibility one = check(models.front(), TaskVector::open(location), arguments.check);
    std::move(one.findings.begin(), one.findings.end(), std::back_inserter(result.findings));
  }
  return result;
}

int run(const Arguments& arguments) {
  const Compatibility compatibility = check_named(arguments);
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
       "strangers. A LoRA adapter behind the first model is compared with that. Reads headers and "
       "some thousand weights. Exit status 1 when they are not fit.",
       {"suture check models/grpo models/sft models/instruct",
        "suture check A B --json report.json"},
       {"vocab", "head", "allow", "json", "device", "seed", "quiet"},
       2},
      run};
  return command;
}

}  // namespace suture::apps
