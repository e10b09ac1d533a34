#include <vector>

#include "suture/error.h"
#include "suture/lora.h"

#include "common/command.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "lora/adapter_source.h"
#include "report/lora_report.h"

namespace suture::apps {
namespace {

LoraOptions options_from(const Arguments& arguments) {
  LoraOptions options;
  options.rank = arguments.lora;
  options.energy = arguments.energy;
  options.dtype = arguments.dtype.value_or(options.dtype);
  options.low_rank_embeddings = arguments.low_rank_embeddings;
  options.only = arguments.only;
  options.seed = arguments.seed.value_or(0);
  options.device = at::Device(arguments.device);
  options.replace_existing = arguments.force;
  options.dry_run = arguments.dry_run;
  options.check = arguments.check;
  options.run = with_terminal(arguments);
  return options;
}

// TUNED is a model, a stored vector or an adapter.
LoraReport write_adapter(const Arguments& arguments) {
  const std::string &first = arguments.positional[0], &output = require_output(arguments);
  const Checkpoint base = open_target(arguments, arguments.positional[1]);
  const LoraOptions options = options_from(arguments);
  if (is_stored_vector(first)) {
    const VectorArgument argument = parse_vector_argument(first);
    const TaskVector vector = lora::is_adapter(argument.minuend)
                                  ? TaskVector::open(argument.minuend, base)
                                  : open_vector(argument);
    return extract_lora(argument.scale * vector, base, output, options);
  }
  const Checkpoint tuned = Checkpoint::open(first);
  say_warnings(arguments, {tuned});
  return extract_lora(tuned, base, output, options);
}

int run(const Arguments& arguments) {
  const LoraReport report = write_adapter(arguments);
  say_findings(arguments, report.compatibility);
  if (!arguments.json.empty()) write_result(arguments.json, ".json", report::to_json(report));
  if (!arguments.quiet) say(headline(arguments) + report::to_text(report));
  return kDone;
}

}  // namespace

const Command& extract_command() {
  static const Command command{extract_spec(), run};
  return command;
}

}  // namespace suture::apps
