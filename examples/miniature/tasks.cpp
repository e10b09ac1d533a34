#include "tasks.h"

#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "suture/error.h"

#include "data_sets.h"
#include "random.h"
#include "skills.h"

namespace miniature {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kRecords = 400;
constexpr std::uint64_t kProblemSeed = 2509;  // of no family

// What a filter takes of a completion: the result, or the comma of worked steps.
const std::string kResult = "#(\\w+)";
const std::string kComma = "(,)";

void write_task(const fs::path& folder, const std::string& name, Json header,
                const std::function<Json(Random&)>& record) {
  const fs::path path = folder / (name + ".jsonl");
  std::ofstream file(path, std::ios::binary);
  header["name"] = name;
  file << Json{{"task", header}}.dump() << "\n";
  // Tasks of one kind of problem draw the same problems.
  Random random(kProblemSeed, "problems");
  for (int i = 0; i < kRecords; ++i) file << record(random).dump() << "\n";
  file.close();
  if (!file) throw suture::IoError({path.string(), "", "cannot be written", "", ""});
}

void write_generation(const fs::path& folder, const std::string& name, const std::string& filter,
                      const std::function<Problem(Random&)>& draw) {
  const std::string filter_name = filter == kComma ? "steps" : "result";
  const Json header{{"target_delimiter", ""},
                    {"max_new_tokens", 20},
                    {"filters", {{{"name", filter_name}, {"regex", filter}}}},
                    {"primary_metric", "exact_match," + filter_name}};
  write_task(folder, name, header, [&](Random& random) {
    const Problem problem = draw(random);
    return Json{{"prompt", problem.prompt}, {"target", problem.answer}};
  });
}

struct Choice {
  std::string context;
  std::vector<std::string> continuations;  // the right one first
};

void write_choice(const fs::path& folder, const std::string& name,
                  const std::function<Choice(Random&)>& draw) {
  const Json header{{"target_delimiter", ""}, {"primary_metric", "acc"}};
  write_task(folder, name, header, [&](Random& random) {
    const Choice choice = draw(random);
    return Json{{"context", choice.context}, {"continuations", choice.continuations}, {"gold", 0}};
  });
}

// The right steps, steps of which one goes wrong, and the right result without any.
Choice step_choice(const Chain& chain) {
  Random slips(kProblemSeed, chain.prompt());
  const std::string right = chain.worked(slips);
  std::string wrong = right;
  while (wrong == right) wrong = chain.worked(slips, 0.3);
  return {chain.prompt(), {right + "<|end|>", wrong + "<|end|>", chain.direct() + "<|end|>"}};
}

// The right letters, and for each pair of neighbours the same with these two exchanged.
Choice letter_choice(const Problem& problem) {
  Choice choice{problem.prompt, {problem.answer}};
  for (std::size_t i = 1; i + 1 < problem.answer.size(); ++i) {
    std::string other = problem.answer;
    std::swap(other[i], other[i + 1]);
    if (other != problem.answer) choice.continuations.push_back(other);
  }
  return choice;
}

// As above, and the letters as they were.
Choice shift_choice(const Problem& problem) {
  Choice choice = letter_choice(problem);
  choice.continuations.push_back(unshifted(problem));
  return choice;
}

Choice digit_choice(const Problem& problem) {
  Choice choice{problem.prompt, {problem.answer}};
  for (char digit = '0'; digit <= '9'; ++digit)
    if (digit != problem.answer.back()) choice.continuations.push_back(std::string("#") + digit);
  return choice;
}

Problem bare(const Problem& problem) { return {problem.prompt, problem.answer.substr(1)}; }

void write_chains(const fs::path& folder, const std::string& name, Chain (*draw)(Random&)) {
  const auto task = [&](const std::string& suffix, const std::string& filter,
                        const std::string& before) {
    write_generation(folder, name + suffix, filter, [&](Random& random) {
      const Chain chain = draw(random);
      return Problem{before + chain.prompt(), filter == kComma ? "," : chain.result()};
    });
  };
  task("", kResult, "");
  task("-steps", kComma, "");
  task("-asked", kResult, kStepByStep);
  task("-asked-steps", kComma, kStepByStep);
  write_choice(folder, name + "-choice", [&](Random& random) { return step_choice(draw(random)); });
}

}  // namespace

void write_tasks(const fs::path& folder) {
  fs::create_directories(folder);
  write_chains(folder, "sums", digit_sum);
  write_chains(folder, "differences", digit_difference);
  write_chains(folder, "letter-sums", letter_sum);
  const auto skill = [&](const char* name, Problem (*draw)(Random&),
                         Choice (*choice)(const Problem&)) {
    write_generation(folder, name, kResult, [&](Random& random) { return bare(draw(random)); });
    write_choice(folder, std::string(name) + "-choice",
                 [&](Random& random) { return choice(draw(random)); });
  };
  skill("reverse", reversal, letter_choice);
  skill("largest", largest, digit_choice);
  skill("shift", shift, shift_choice);
}

}  // namespace miniature
