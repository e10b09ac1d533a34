#include "suture/error.h"
#include "suture/surgery.h"

#include "common/command.h"
#include "common/model_program.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "lora/adapter_source.h"
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

ExtractReport extract_named(const Arguments& arguments) {
  const std::string& tuned_name = arguments.positional[0];
  const Checkpoint base = Checkpoint::open(arguments.positional[1]);
  const ExtractOptions options = options_from(arguments);
  if (lora::is_adapter(tuned_name)) {
    say_warnings(arguments, {base});
    return extract(tuned_name, base, require_output(arguments), options);
  }
  const Checkpoint tuned = Checkpoint::open(tuned_name);
  say_warnings(arguments, {tuned, base});
  return extract(tuned, base, require_output(arguments), options);
}

int run(const Arguments& arguments) {
  const ExtractReport report = extract_named(arguments);
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
