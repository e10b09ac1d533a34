#include "common/experiment.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <system_error>
#include <utility>

#include "suture/error.h"
#include "suture/language_model.h"

#include "common/command.h"
#include "common/evaluation_setup.h"
#include "common/model_options.h"
#include "common/outside_evaluator.h"
#include "common/page_output.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "format/digest.h"
#include "format/file.h"
#include "format/staged_output.h"
#include "report/ablation_report.h"
#include "surgery/vector_digest.h"

namespace suture::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJournal = "arms.jsonl";
constexpr const char* kModelFolder = "model";
constexpr const char* kResultsCsv = "results.csv";
constexpr const char* kResultsJson = "results.json";

// A folder of ours, or a new one: nobody's files are mixed with results. Results of the run before
// would pass for those of one that begins anew.
void make_results_folder(const fs::path& folder, bool begin_anew) {
  std::error_code error;
  for (const char* extension : {".json", ".csv", ".safetensors"})
    if (folder.extension() == extension)
      throw UsageError({folder.string(),
                        {},
                        "reads like a file",
                        "a folder for the results",
                        "name a folder with -o, files with --json or --csv"});
  if (fs::exists(folder, error)) {
    const bool is_ours = fs::is_directory(folder, error) &&
                         (fs::is_empty(folder, error) || fs::exists(folder / kJournal, error));
    if (!is_ours)
      throw UsageError({folder.string(),
                        {},
                        "exists and holds no results of a sweep or an ablation",
                        "a new folder, or that of a run to go on with",
                        "name another -o"});
    for (const char* results : {kResultsCsv, kResultsJson})
      if (begin_anew) fs::remove(folder / results, error);
    return;
  }
  fs::create_directory(folder, error);
  if (error) throw IoError({folder.string(), {}, "cannot be made: " + error.message(), {}, {}});
}

// What stands in a folder for models is written over and removed.
void refuse_place_of_inputs(const Arguments& arguments, const fs::path& folder) {
  for (const std::string& text : arguments.positional) {
    const VectorArgument vector = parse_vector_argument(text);
    for (const std::string& input : {text, vector.minuend, vector.subtrahend}) {
      std::error_code error;
      if (!input.empty() && fs::exists(input, error)) format::refuse_output_on_input(folder, input);
    }
  }
}

bool has_targets_to_score(const std::vector<Task>& tasks) {
  return std::all_of(tasks.begin(), tasks.end(), [](const Task& task) {
    return std::none_of(task.records().begin(), task.records().end(), [](const TaskRecord& record) {
      return record.target && record.target->empty();
    });
  });
}

constexpr std::uint64_t kMaxConfigBytes = 16 << 20;

// What a model computes depends on its settings, too.
std::string config_of(const Checkpoint& target) {
  const fs::path path = target.folder() / "config.json";
  std::error_code error;
  return !target.folder().empty() && fs::exists(path, error)
             ? format::read_small_file(path, kMaxConfigBytes)
             : std::string();
}

// Of the same target, vector, tasks, options and arms, wherever the files lie.
std::string fingerprint_of(const Checkpoint& target, report::AblationProtocol protocol,
                           const std::vector<Arm>& arms) {
  protocol.evaluation.model.clear();  // its digest tells
  Ablation nothing_yet;
  for (const Arm& arm : arms) nothing_yet.arms.push_back({arm, {}, {}, {}, {}});
  return format::to_hex(
      format::digest_of(report::to_json(protocol, nothing_yet) + config_of(target)));
}

// What both ways of scoring need.
struct Experiment {
  const Arguments& arguments;
  Checkpoint target;
  TaskVector vector;
  std::vector<Arm> arms;
  RunOptions terminal;
  report::AblationProtocol protocol;

  AblationOptions options() const {
    AblationOptions options;
    options.vocabulary = arguments.check.vocabulary;
    options.reuse_budget_bytes = arguments.run.memory_budget_bytes;
    options.run = terminal;
    options.evaluation = protocol.evaluation.options;
    if (!arguments.output.empty()) {
      make_results_folder(arguments.output, arguments.force);
      options.journal = (fs::path(arguments.output) / kJournal).string();
      options.fingerprint = fingerprint_of(target, protocol, arms);
      options.begin_anew = arguments.force;
    }
    if (!arguments.quiet)
      options.on_arm = [](const ArmResult& result) { say(report::arm_line(result) + "\n"); };
    return options;
  }
};

// What would be ignored is refused.
void refuse_what_only_we_score_by(const Arguments& arguments) {
  const std::pair<bool, const char*> options[] = {
      {!arguments.tasks.empty(), "--task"},
      {arguments.limit.has_value(), "--limit"},
      {arguments.dtype.has_value(), "--dtype"},
      {arguments.device != "cpu", "--device"},
      {arguments.batch_size > 0, "--batch"},
      {arguments.max_new_tokens.has_value(), "--max-new-tokens"},
      {arguments.add_bos, "--add-bos"},
      {arguments.apply_chat_template, "--apply-chat-template"}};
  for (const auto& [is_given, name] : options)
    if (is_given)
      throw UsageError({{},
                        {},
                        std::string(name) + " and --eval-cmd",
                        "one of them",
                        "how models are scored is the command's affair"});
}

Ablation score_outside(Experiment& experiment) {
  const Arguments& arguments = experiment.arguments;
  refuse_what_only_we_score_by(arguments);
  if (arguments.output.empty())
    throw UsageError({{},
                      {},
                      "--eval-cmd without -o",
                      "a folder, in which the arms' models are written one after the other",
                      {}});
  experiment.protocol.outside_evaluator = arguments.eval_command;
  experiment.protocol.evaluation.model_digest =
      format::to_hex(content_digest(experiment.target, experiment.terminal));
  const fs::path folder = fs::path(arguments.output) / kModelFolder;
  refuse_place_of_inputs(arguments, folder);
  const AblationOptions options = experiment.options();
  return ablate(
      experiment.target, experiment.vector, experiment.arms,
      [&](const std::string& model, const Arm&) {
        return run_outside_evaluator(arguments.eval_command, model);
      },
      folder.string(), options);
}

Ablation score_here(Experiment& experiment) {
  const Arguments& arguments = experiment.arguments;
  const std::vector<Task> tasks = open_tasks(arguments);
  const Tokenizer tokenizer = Tokenizer::open(arguments.positional.front());
  LanguageModel model = LanguageModel::open(arguments.positional.front(),
                                            model_options(arguments, experiment.terminal));
  experiment.protocol.evaluation = protocol_of(arguments, model, tokenizer);
  EvaluationOptions evaluation = evaluation_options(arguments, experiment.terminal, model);
  evaluation.score_targets = has_targets_to_score(tasks);
  experiment.protocol.evaluation.options = std::move(evaluation);
  experiment.protocol.tasks = tasks;
  Ablation ablation = ablate(experiment.target, model, tokenizer, experiment.vector,
                             experiment.arms, tasks, experiment.options());
  if (weights_digest(model.weights()) != experiment.protocol.evaluation.model_digest)
    throw Error({arguments.positional.front(),
                 {},
                 "the weights in memory are not what they were before the first arm",
                 "the target's bytes",
                 "do not believe these results, and report this"});
  return ablation;
}

std::string describe_arms(const Experiment& experiment) {
  std::vector<std::vector<std::string>> rows{{"arm", "compared with", "scale", "vector on"}};
  for (const Arm& arm : experiment.arms)
    rows.push_back({printable(arm.name), printable(arm.reference.empty() ? "-" : arm.reference),
                    report::human_number(arm.scale), printable(arm.selection.to_string())});
  return report::align(rows);
}

void write_files(const Arguments& arguments, const std::string& json, const std::string& csv) {
  if (!arguments.output.empty()) {
    const fs::path folder = arguments.output;
    write_result((folder / kResultsCsv).string(), ".csv", csv);
    write_result((folder / kResultsJson).string(), ".json", json);
    if (!arguments.quiet) say("wrote " + printable((folder / kResultsJson).string()) + "\n");
  }
  if (!arguments.json.empty()) write_result(arguments.json, ".json", json);
  if (!arguments.csv.empty()) write_result(arguments.csv, ".csv", csv);
}

void write_experiment_page(const Experiment& experiment, const std::string& json) {
  const Arguments& arguments = experiment.arguments;
  report::Page page;
  page.title = arguments.command_line.front() + " " + arguments.positional.front();
  const RunOptions& options = experiment.terminal;
  page.inputs = {page_input("target", arguments.positional.front(), experiment.target),
                 page_input(experiment.vector.formula(), experiment.vector,
                            experiment.protocol.vector_digest)};
  const TaskVector scaled = arguments.scale * experiment.vector;
  const report::PageResult analysis =
      analysis_result({{scaled.formula(), scaled, {}}}, experiment.target,
                      arguments.positional.front(), arguments.check.vocabulary, options);
  page.results = {
      analysis,
      {"suture " + arguments.command_line.front(), report::parse_result(json, "this ablation")}};
  write_page(arguments, std::move(page));
}

void write_results(const Experiment& experiment, const Ablation& ablation) {
  const Arguments& arguments = experiment.arguments;
  const bool data_on_stdout =
      arguments.json == "-" || arguments.csv == "-" || arguments.html == "-";
  std::exception_ptr failure;
  if (!data_on_stdout && !arguments.quiet) {
    try {
      write_stdout(report::to_text(experiment.protocol, ablation, text_style(arguments)));
    } catch (const IoError&) {
      failure = std::current_exception();
    }
  }
  // What cannot be shown is written, and what cannot be written was shown.
  const std::string json = report::to_json(experiment.protocol, ablation);
  write_files(arguments, json, report::to_csv(ablation));
  if (!arguments.html.empty()) write_experiment_page(experiment, json);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

int run_experiment(const Arguments& arguments, const ArmMaker& make_arms) {
  Experiment experiment{arguments,
                        open_target(arguments, arguments.positional.front()),
                        sum_of_vectors(arguments),
                        {},
                        with_terminal(arguments),
                        {}};
  const TaskVector asked = experiment.vector;
  experiment.vector = under_names_of(experiment.target, asked, arguments.check);
  experiment.arms = make_arms(experiment.vector);
  const Compatibility fit = check(experiment.target, asked, arguments.check);
  require_fit(fit);
  say_findings(arguments, fit);
  if (arguments.dry_run) {
    if (arguments.eval_command.empty()) open_tasks(arguments);
    return write_stdout(describe_arms(experiment)), kDone;
  }
  experiment.protocol.command = arguments.command_line.front();
  experiment.protocol.vector = experiment.vector.formula();
  experiment.protocol.vector_digest =
      format::to_hex(content_digest(experiment.vector, experiment.terminal));
  experiment.protocol.evaluation.model = arguments.positional.front();
  try {
    const Ablation ablation =
        arguments.eval_command.empty() ? score_here(experiment) : score_outside(experiment);
    write_results(experiment, ablation);
  } catch (const Interrupted&) {
    if (!arguments.output.empty() && !arguments.quiet)
      say("finished arms are kept in " + printable(arguments.output) +
          "; the same command goes on\n");
    throw;
  }
  return kDone;
}

}  // namespace suture::apps
