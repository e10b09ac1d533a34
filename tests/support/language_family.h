#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/state_dict.h"

#include "support/folder_tree.h"
#include "support/run_program.h"
#include "support/temp_dir.h"
#include "support/tiny_decoder.h"
#include "support/tiny_model.h"
#include "tokenizer/byte_level.h"

namespace suture::test {

/// A tokenizer.json with a token for each byte, and an end: fewer than the models have rows.
inline nlohmann::json byte_tokenizer() {
  using nlohmann::json;
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string token;
    append_byte_level(std::string(1, static_cast<char>(byte)), token);
    vocab[token] = byte;
  }
  return {{"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"added_tokens",
           {{{"id", 256}, {"content", "<end>"}, {"special", true}, {"normalized", false}}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}};
}

/// Writes weights of `tiny_weights`, with any number of rows, as a model folder that can be scored.
/// What stood there goes.
inline void write_language_model(const std::filesystem::path& folder, const StateDict& weights) {
  std::filesystem::remove_all(folder);
  save(weights, folder.string());
  std::string config = testing_support::tiny_config(R"(, "architectures": ["Qwen2ForCausalLM"])");
  config.replace(config.find("61"), 2,
                 std::to_string(weights.at("model.embed_tokens.weight").size(0)));
  write_file(folder / "config.json", config);
  write_file(folder / "tokenizer.json", byte_tokenizer().dump());
  write_file(folder / "tokenizer_config.json", R"({"eos_token": "<end>"})");
}

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
  static constexpr std::int64_t kVocab = 300;

  LanguageFamily() {
    write_family();
    write_tasks(dir_.path());
  }

  /// The relatives, with weights of this dtype, and the vector between them.
  void write_family(at::ScalarType type = at::kFloat) {
    const StateDict base = testing_support::tiny_weights(type, kVocab);
    write_language_model(dir_ / "base", base);
    write_language_model(dir_ / "tuned", make_relative(base, 2, 0.05));
    write_language_model(dir_ / "target", make_relative(base, 3, 0.05));
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
