#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/state_dict.h"

#include "support/byte_model.h"
#include "support/folder_tree.h"
#include "support/run_program.h"
#include "support/temp_dir.h"
#include "support/tiny_decoder.h"
#include "support/tiny_model.h"

namespace suture::test {

/// Writes a small task of each kind: choice.jsonl, write.jsonl and text.jsonl.
inline void write_tasks(const std::filesystem::path& folder) {
  write_file(folder / "choice.jsonl",
             R"({"context": "The sky is", "choices": ["blue", "green"], "gold": 0})"
             "\n"
             R"({"context": "Grass is", "choices": ["blue", "green"], "gold": 1})"
             "\n"
             R"({"context": "Snow is", "choices": ["white", "red"], "gold": 0})"
             "\n");
  write_file(folder / "write.jsonl", R"({"task": {"until": ["\n"], "max_new_tokens": 8}})"
                                     "\n"
                                     R"({"prompt": "1+1=", "target": "2", "task_id": "sum/0"})"
                                     "\n"
                                     R"({"prompt": "2+2=", "target": "4", "task_id": "sum/1"})"
                                     "\n");
  write_file(folder / "text.jsonl", R"({"text": "some words of text"})"
                                    "\n"
                                    R"({"text": "and some more"})"
                                    "\n");
}

/// A folder with three relatives that can be scored, `base`, `tuned` and `target`, the vector
/// `v.safetensors` between the first two, and a task of each kind. The program runs in it, with one
/// thread.
class LanguageFamily : public testing::Test {
 protected:
  LanguageFamily() {
    write_family();
    write_tasks(dir_.path());
  }

  /// The relatives, with weights of this dtype, and the vector between them.
  void write_family(at::ScalarType type = at::kFloat) {
    const StateDict base = testing_support::tiny_weights(type, kByteVocab);
    write_byte_model(dir_ / "base", base);
    write_byte_model(dir_ / "tuned", make_relative(base, 2, 0.05));
    write_byte_model(dir_ / "target", make_relative(base, 3, 0.05));
    const Outcome made =
        run({"extract", "tuned", "base", "-o", "v.safetensors", "--quiet", "--force"});
    if (made.status != 0) throw std::runtime_error("cannot prepare: " + made.err);
  }

  Invocation invocation(std::vector<std::string> arguments) const {
    Invocation made;
    made.arguments = std::move(arguments);
    made.arguments.insert(made.arguments.end(), {"--threads", "1"});
    made.folder = dir_.path();
    return made;
  }
  Outcome run(std::vector<std::string> arguments) const {
    return run_program(invocation(std::move(arguments)));
  }

  /// What a run that must succeed tells as JSON on stdout.
  nlohmann::json report(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--json", "-"});
    const Outcome outcome = run(std::move(arguments));
    EXPECT_TRUE(ended_with(outcome, 0));
    return nlohmann::json::parse(outcome.out);
  }

  TempDir dir_;
};

/// `first`, then `second`.
inline std::vector<std::string> joined(std::vector<std::string> first,
                                       const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// The arm of this name in a report of `sweep` or `ablate`.
inline const nlohmann::json& arm_of(const nlohmann::json& report, const std::string& name) {
  for (const nlohmann::json& arm : report.at("arms"))
    if (arm.at("name") == name) return arm;
  throw std::out_of_range(name);
}

inline std::vector<std::string> arm_names(const nlohmann::json& report) {
  std::vector<std::string> names;
  for (const nlohmann::json& arm : report.at("arms")) names.push_back(arm.at("name"));
  return names;
}

}  // namespace suture::test
