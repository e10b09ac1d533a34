#include "common/evaluation_setup.h"

#include <string_view>

#include "suture/error.h"

#include "format/digest.h"

namespace suture::apps {
namespace {

void refuse_same_names(const std::vector<Task>& tasks) {
  for (std::size_t i = 0; i < tasks.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (tasks[i].name() == tasks[j].name())
        throw UsageError({{},
                          {},
                          "two tasks are named '" + printable(tasks[i].name()) + "'",
                          "different names",
                          "give one of them a name in its header"});
}

}  // namespace

std::string weights_digest(const StateDict& weights) {
  format::DigestStream digest;
  for (const auto& [name, tensor] : weights) {
    const at::Tensor bytes = tensor.to(at::kCPU).contiguous();
    digest.update(name);
    digest.update(std::string_view(static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()));
  }
  return format::to_hex(digest.finish());
}

std::vector<Task> open_tasks(const Arguments& arguments) {
  if (arguments.tasks.empty())
    throw UsageError({{}, {}, "there is no task", "--task FILE", "see docs/evaluation.md"});
  std::vector<Task> tasks;
  for (const std::string& path : arguments.tasks) tasks.push_back(Task::open(path));
  refuse_same_names(tasks);
  if (!arguments.system_instruction.empty() && !arguments.apply_chat_template)
    throw UsageError({{}, {}, "--system-instruction without --apply-chat-template", "both", {}});
  return tasks;
}

EvaluationOptions evaluation_options(const Arguments& arguments, const RunOptions& run,
                                     const LanguageModel& model) {
  EvaluationOptions options;
  options.limit = arguments.limit;
  options.add_bos = arguments.add_bos;
  options.max_new_tokens = arguments.max_new_tokens;
  options.score_targets = arguments.score_targets;
  if (arguments.apply_chat_template)
    options.chat = ChatTemplate::open(arguments.positional.front());
  options.system_instruction = arguments.system_instruction;
  options.end_tokens = model.info().end_tokens;
  options.run.batch_size = arguments.batch_size;
  options.run.cancel = run.cancel;
  return options;
}

report::EvaluationProtocol protocol_of(const Arguments& arguments, const LanguageModel& model,
                                       const Tokenizer& tokenizer) {
  const LanguageModelInfo info = model.info();
  report::EvaluationProtocol protocol;
  protocol.model = arguments.positional.front();
  protocol.architecture = info.architecture;
  protocol.model_digest = weights_digest(model.weights());
  protocol.tokenizer_digest = tokenizer.digest();
  protocol.dtype = name_of(info.dtype);
  protocol.device = arguments.device;
  protocol.parameters = info.parameters;
  protocol.max_length = info.max_length;
  return protocol;
}

}  // namespace suture::apps
