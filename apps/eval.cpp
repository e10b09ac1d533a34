#include <chrono>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <unistd.h>

#include "suture/error.h"
#include "suture/language_model.h"

#include "common/command.h"
#include "common/evaluation_setup.h"
#include "common/model_options.h"
#include "common/terminal.h"
#include "format/staged_output.h"
#include "report/evaluation_report.h"

namespace suture::apps {
namespace {

using Clock = std::chrono::system_clock;

// The terminal's progress line, told in requests instead of bytes.
void show_progress(EvaluationOptions& options, const RunOptions& run, const std::string& task) {
  if (!run.on_progress) return;
  options.run.on_progress = [&run, task](std::size_t done, std::size_t total) {
    Progress progress;
    progress.stage = task.c_str();
    progress.bytes_done = done;
    progress.bytes_total = total;
    progress.unit = "requests";
    run.on_progress(progress);
  };
}

// `2026-01-31T12-00-00.123456`, the harness's way.
std::string time_stamp(Clock::time_point time) {
  const std::time_t seconds = Clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char date[32], text[64];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H-%M-%S", &parts);
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  std::snprintf(text, sizeof text, "%s.%06lld", date, static_cast<long long>(micros % 1'000'000));
  return text;
}

void write_new_file(const std::filesystem::path& path, const std::string& text) {
  format::StagedOutput stage(path, format::OutputKind::kFile, format::Existing::kRefuse);
  format::write_small_file(stage.path_of({}), text);
  stage.commit();
}

std::filesystem::path make_folder(const Arguments& arguments) {
  const std::filesystem::path folder = std::filesystem::path(arguments.output) /
                                       report::sanitized_model_name(arguments.positional.front());
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK) != 0)
    error = std::error_code(errno, std::generic_category());
  if (error) throw IoError({folder.string(), {}, "cannot be written: " + error.message(), {}, {}});
  return folder;
}

// Results last: where they are, the samples are too.
std::filesystem::path write_files(const Arguments& arguments,
                                  const report::EvaluationProtocol& protocol,
                                  const std::vector<report::TaskEvaluation>& tasks,
                                  Clock::time_point time) {
  const std::filesystem::path folder = make_folder(arguments);
  const std::string stamp = time_stamp(time);
  for (const report::TaskEvaluation& scored : tasks) {
    const std::string tail = scored.task.name() + "_" + stamp + ".jsonl";
    write_new_file(folder / ("samples_" + tail), report::harness_samples(protocol, scored));
    if (arguments.write_completions && scored.task.kind() == TaskKind::kGeneration)
      write_new_file(folder / ("completions_" + tail), report::completion_lines(scored));
  }
  std::filesystem::path results = folder / ("results_" + stamp + ".json");
  write_new_file(results, report::harness_results(protocol, tasks));
  return results;
}

void say_truncation(const Arguments& arguments, const report::TaskEvaluation& scored) {
  const std::size_t cut = scored.evaluation.truncated_records;
  if (cut > 0 && !arguments.quiet)
    say("note: " + scored.task.name() + ": " + std::to_string(cut) +
        " prompts were longer than the model takes and lost their beginning\n");
}

int run(const Arguments& arguments) {
  const Clock::time_point start = Clock::now();
  const std::vector<Task> tasks = open_tasks(arguments);
  if (arguments.write_completions && arguments.output.empty())
    throw UsageError({{}, {}, "--write-completions without -o", "both", {}});
  if (!arguments.output.empty()) make_folder(arguments);  // told before the work
  const RunOptions terminal = with_terminal(arguments);
  const Tokenizer tokenizer = Tokenizer::open(arguments.positional.front());
  LanguageModel model =
      LanguageModel::open(arguments.positional.front(), model_options(arguments, terminal));

  report::EvaluationProtocol protocol = protocol_of(arguments, model, tokenizer);
  protocol.options = evaluation_options(arguments, terminal, model);
  std::vector<report::TaskEvaluation> scored;
  for (const Task& task : tasks) {
    EvaluationOptions options = protocol.options;
    show_progress(options, terminal, task.name());
    scored.push_back({task, evaluate(model, tokenizer, task, options)});
    say_truncation(arguments, scored.back());
  }
  protocol.start_time = std::chrono::duration<double>(start.time_since_epoch()).count();
  protocol.seconds = std::chrono::duration<double>(Clock::now() - start).count();

  // Shown first: what cannot be written can still be read.
  if (arguments.json != "-" && !arguments.quiet) write_stdout(report::to_text(scored));
  if (!arguments.json.empty())
    write_result(arguments.json, ".json", report::to_json(protocol, scored));
  std::filesystem::path results;
  if (!arguments.output.empty()) results = write_files(arguments, protocol, scored, Clock::now());
  if (!results.empty() && !arguments.quiet) say("wrote " + results.string() + "\n");
  return kDone;
}

}  // namespace

const Command& eval_command() {
  static const Command command{eval_spec(), run};
  return command;
}

}  // namespace suture::apps
