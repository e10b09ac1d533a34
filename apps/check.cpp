#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "suture/error.h"
#include "suture/task_vector.h"

#include "common/command.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "lora/adapter_source.h"
#include "report/json_report.h"
#include "report/text_report.h"

namespace suture::apps {
namespace {

// An adapter, a difference, or anything with a scale; a stored vector goes as a model does.
bool names_vector(const std::string& argument) {
  const VectorArgument vector = parse_vector_argument(argument);
  std::error_code error;
  const bool has_scale =
      vector.minuend != argument && std::filesystem::exists(vector.minuend, error);
  return has_scale || !vector.subtrahend.empty() || lora::is_adapter(vector.minuend);
}

// Models are compared among each other, and each adapter or difference with the first of them.
Compatibility check_named(const Arguments& arguments) {
  std::vector<Checkpoint> models;
  std::vector<std::string> vectors;
  for (const std::string& argument : arguments.positional) {
    // First comes a model; whoever opens it says what else it is.
    const bool is_first = models.empty() && parse_vector_argument(argument).subtrahend.empty();
    if (!is_first && names_vector(argument)) {
      if (models.empty())
        throw UsageError({argument,
                          {},
                          "a difference",
                          "a model first, which the others are compared with",
                          {}});
      vectors.push_back(argument);
    } else {
      models.push_back(Checkpoint::open(argument));
    }
  }
  say_warnings(arguments, models);
  Compatibility result = models.size() > 1 ? check(models, arguments.check) : Compatibility{};
  for (const std::string& argument : vectors) {
    const TaskVector vector = open_vector(parse_vector_argument(argument));
    result.append(check(models.front(), vector, arguments.check));
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
       "check A B [C... | VECTOR...]",
       "are these models fit for surgery? every difference at once",
       "Compares every model with the first: architecture, layers, tensor names and shapes, "
       "dtypes, tied\n"
       "embeddings, vocabulary, tokenizer by content, rope and norm settings, quantisation, and "
       "kinship:\n"
       "how far the models are from each other, which tells two fine-tunings of one start from "
       "two\n"
       "strangers. A LoRA adapter or 'TUNED - BASE' behind the first model is compared with that. "
       "Reads\n"
       "headers and some thousand weights. Exit status 1 when they are not fit.",
       {"suture check models/grpo models/sft models/instruct",
        "suture check A B --json report.json"},
       {"vocab", "head", "allow", "json", "device", "seed", "quiet"},
       2},
      run};
  return command;
}

}  // namespace suture::apps
