#include "common/talk.h"

#include "suture/error.h"

#include "common/terminal.h"
#include "lora/adapter_source.h"
#include "report/plan_text.h"
#include "surgery/vector_metadata.h"

namespace suture::apps {

void say_warnings(const Arguments& arguments, const std::vector<Checkpoint>& models) {
  if (arguments.quiet) return;
  for (const Checkpoint& model : models) {
    for (const std::string& warning : model.warnings()) {
      say("warning: " + printable(model.location()) + ": " + warning + "\n");
    }
  }
}

Checkpoint open_target(const Arguments& arguments, const std::string& location) {
  Checkpoint target = Checkpoint::open(location);
  require_model(target, "the model that the vector is added to",
                "name the target first, then the vectors");
  say_warnings(arguments, {target});
  return target;
}

void say_findings(const Arguments& arguments, const Compatibility& compatibility) {
  if (arguments.quiet) return;
  for (const Finding& finding : compatibility.findings) {
    if (finding.severity == Severity::kNote) continue;
    say("warning: " + finding.topic + ": " + finding.found + "; " + finding.meaning + "\n");
  }
}

std::string headline(const Arguments& arguments) {
  return (arguments.dry_run ? "would write " : "wrote ") + printable(arguments.output) + ": ";
}

std::vector<PlannedTensor> explained_tensors(const Arguments& arguments,
                                             const std::optional<Plan>& plan) {
  if (!plan || arguments.explain.empty()) return {};
  return explain(*plan, arguments.explain);
}

void show_plan(const Arguments& arguments, const std::optional<Plan>& plan,
               const std::vector<PlannedTensor>& explained) {
  if (!plan || arguments.json == "-") return;
  write_stdout(report::to_text(*plan) + report::explanation_text(explained));
}

const std::string& require_output(const Arguments& arguments) {
  if (arguments.output.empty()) {
    throw UsageError(
        {{}, {}, "no output", "-o PATH", "NAME.safetensors for one file, else a folder"});
  }
  return arguments.output;
}

bool is_stored_vector(const std::string& location) {
  const std::string path = parse_vector_argument(location).minuend;
  return lora::is_adapter(path) || is_vector(Checkpoint::open(path));
}

}  // namespace suture::apps
