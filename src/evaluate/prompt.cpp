#include "evaluate/prompt.h"

#include <vector>

#include "evaluate/python_text.h"

namespace suture::evaluation {
namespace {

// The system instruction and the description, parted by the delimiter unless white space parts
// them.
std::string system_message(const Task& task, const std::string& instruction) {
  const std::string& description = task.settings().description;
  if (instruction.empty() || description.empty()) return instruction + description;
  const bool parted = right_stripped(instruction).size() != instruction.size() ||
                      stripped(description).data() != description.data();
  return instruction + (parted ? "" : task.settings().fewshot_delimiter) + description;
}

}  // namespace

std::string prompt_of(const Task& task, const std::string& own, const EvaluationOptions& options) {
  if (!options.chat) return task.preamble() + own;
  std::vector<ChatMessage> messages;
  const std::string system = system_message(task, options.system_instruction);
  if (!system.empty()) messages.push_back({"system", system});
  messages.push_back({"user", task.examples() + own});
  return options.chat->render(messages, true);
}

const std::string& continuation_of(const TaskRecord& record, std::size_t index,
                                   const EvaluationOptions& options) {
  return options.chat ? record.choices[index] : record.continuations[index];
}

}  // namespace suture::evaluation
