#include "suture/error.h"
#include "suture/surgery.h"

#include "common/command.h"
#include "common/model_program.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "report/json_report.h"
#include "report/text_report.h"

namespace suture::apps {
namespace {

ExtractOptions options_from(const Arguments& arguments) {
  ExtractOptions options;
  options.dtype = arguments.dtype;
  options.sparse = arguments.sparse;
  options.only = arguments.only;
  if (arguments.max_shard_bytes) options.max_shard_bytes = *arguments.max_shard_bytes;
  options.replace_existing = arguments.force;
  options.dry_run = arguments.dry_run;
  options.check = arguments.check;
  options.run = with_terminal(arguments);
  return options;
}

int run(const Arguments& arguments) {
  const Checkpoint tuned = Checkpoint::open(arguments.positional[0]);
  const Checkpoint base = Checkpoint::open(arguments.positional[1]);
  say_warnings(arguments, {tuned, base});
  const ExtractReport report =
      extract(tuned, base, require_output(arguments), options_from(arguments));
  say_findings(arguments, report.compatibility);
  if (!arguments.quiet && !arguments.dry_run && report.changed_elements == 0)
    say("warning: the vector is zero: TUNED and BASE hold the same weights\n");
  const std::vector<PlannedTensor> explained = explained_tensors(arguments, report.plan);
  if (!arguments.json.empty()) {
    write_result(arguments.json, ".json",
                 report::to_json(report, arguments.explain.empty() ? nullptr : &explained));
  }
  if (!arguments.quiet) say(headline(arguments) + report::to_text(report));
  show_plan(arguments, report.plan, explained);
  return kDone;
}

}  // namespace

const Command& extract_command() {
  static const Command command{
      extract_spec(), [](const Arguments& arguments) {
        return arguments.lora || arguments.energy ? run_model_program(arguments) : run(arguments);
      }};
  return command;
}

}  // namespace suture::apps
