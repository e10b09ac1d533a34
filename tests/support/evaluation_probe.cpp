// Scores a task with the pseudo-model and prints the harness's files: what tests/parity compares.
//   evaluation_probe TASK COMPLETIONS MAX_LENGTH OUT [CHAT_TEMPLATE SYSTEM_INSTRUCTION]
#include <exception>
#include <iostream>

#include "format/json.h"
#include "format/staged_output.h"
#include "report/evaluation_report.h"
#include "support/pseudo_model.h"

namespace {

void run(const std::string& task_path, const std::string& completions, std::int64_t max_length,
         const std::filesystem::path& out, const std::string& chat_template,
         const std::string& system_instruction) {
  using namespace suture;
  test::PseudoModel model(max_length);
  model.completions =
      format::read_json_file(completions, 1 << 20).get<decltype(model.completions)>();
  const Task task = Task::open(task_path);
  report::EvaluationProtocol protocol;
  protocol.model = "org/pseudo";
  if (!chat_template.empty()) protocol.options.chat = ChatTemplate::recognise(chat_template, "");
  protocol.options.system_instruction = system_instruction;
  report::TaskEvaluation scored{
      task, evaluation::evaluate(model, test::byte_codec(), task, protocol.options)};
  format::write_small_file(out / "samples.jsonl", report::harness_samples(protocol, scored));
  const std::vector<report::TaskEvaluation> tasks{std::move(scored)};
  format::write_small_file(out / "results.json", report::harness_results(protocol, tasks));
  format::write_small_file(out / "report.json", report::to_json(protocol, tasks));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5 && argc != 7) return 2;
  const bool has_chat = argc == 7;
  run(argv[1], argv[2], std::stoll(argv[3]), argv[4], has_chat ? argv[5] : "",
      has_chat ? argv[6] : "");
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
