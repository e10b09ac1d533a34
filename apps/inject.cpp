#include "suture/error.h"
#include "suture/surgery.h"

#include "common/command.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "report/json_report.h"
#include "report/text_report.h"
#include "surgery/vector_metadata.h"

namespace suture::apps {
namespace {

InjectOptions options_from(const Arguments& arguments) {
  InjectOptions options;
  options.dtype = arguments.dtype;
  if (arguments.stochastic) options.stochastic_seed = arguments.seed.value_or(0);
  options.max_shard_bytes = arguments.max_shard_bytes;
  options.replace_existing = arguments.force;
  options.dry_run = arguments.dry_run;
  options.check = arguments.check;
  options.run = with_terminal(arguments);
  return options;
}

int run(const Arguments& arguments) {
  const Checkpoint target = Checkpoint::open(arguments.positional[0]);
  // Its metadata would go on claiming what is then no longer true.
  require_model(target, "the model to inject into",
                "name several vectors behind the target to add them up");
  say_warnings(arguments, {target});
  const InjectReport report = inject(target, arguments.scale * sum_of_vectors(arguments),
                                     require_output(arguments), options_from(arguments));
  say_findings(arguments, report.compatibility);
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

const Command& inject_command() {
  static const Command command{
      {"inject",
       "inject TARGET VECTOR[@SCALE]... -o OUT",
       "write TARGET + the sum of SCALE * VECTOR; a negative scale takes the skill away",
       "Each VECTOR is a file that `suture extract` wrote, a PEFT LoRA adapter, or a difference of "
       "two models\n"
       "in quotes: 'TUNED - BASE'; an adapter that stores tensors whole needs 'ADAPTER - BASE'. "
       "Several are added in the order written, each output element is rounded "
       "once. The\n"
       "output folder loads in transformers: the target's config, tokenizer and other files come "
       "along.",
       {"suture inject models/instruct reasoning.safetensors@0.8 -o instruct-reasoning",
        "suture inject models/instruct 'models/grpo - models/sft'@-1 -o instruct-without"},
       {"output", "only", "except", "scale", "dtype", "round", "seed", "vocab", "head", "allow",
        "max-shard-size", "device", "threads", "memory", "json", "quiet", "dry-run", "explain",
        "force"},
       2},
      run};
  return command;
}

}  // namespace suture::apps
