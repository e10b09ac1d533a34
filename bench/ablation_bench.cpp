// Times leaving one layer out at a time on request, so that another engine can be timed in turn
// with it.
//
//   ablation_bench TARGET TUNED BASE TASK [THREADS]
//
// Each line of stdin asks for one measurement, answered by its seconds on a line of stdout:
//   full    one evaluation of the target
//   naive   for each layer: the vector without it is applied, the task evaluated, the vector taken
//           off
//   ours    `ablate` with the same arms
//   digest  no time: a number that is the same when `naive` and `ours` last gave the same bits

#include <chrono>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "suture/ablation.h"
#include "suture/error.h"
#include "suture/live_weights.h"

#include "model/freed_memory.h"

namespace {

using Clock = std::chrono::steady_clock;

class Bench {
 public:
  Bench(char** arguments, const suture::LanguageModelOptions& options)
      : target_(suture::Checkpoint::open(arguments[1])),
        tokenizer_(suture::Tokenizer::open(arguments[1])),
        model_(suture::LanguageModel::open(arguments[1], options)),
        vector_(suture::Checkpoint::open(arguments[2]) - suture::Checkpoint::open(arguments[3])),
        tasks_{suture::Task::open(arguments[4])} {
    suture::AblationPlan plan;
    plan.controls.enabled = false;
    for (suture::Arm& arm : suture::ablation_arms(vector_, plan))
      if (arm.kind == suture::ArmKind::kWithout && arm.part.rfind("layer=", 0) == 0)
        arms_.push_back(std::move(arm));
    for (suture::Arm& arm : arms_) arm.reference.clear();
  }

  void answer(const std::string& line) {
    const auto begin = Clock::now();
    if (line == "full") suture::evaluate(model_, tokenizer_, tasks_[0]);
    if (line == "naive") score_one_by_one();
    if (line == "ours") score_together();
    const std::chrono::duration<double> seconds = Clock::now() - begin;
    if (line == "digest")
      std::cout << (naive_ == ours_ ? "same" : "different") << std::endl;
    else
      std::cout << seconds.count() << std::endl;
  }

 private:
  void score_one_by_one() {
    naive_.clear();
    suture::LiveWeights live(model_.weights());
    for (const suture::Arm& arm : arms_) {
      const suture::LiveEdit applied = live.apply(vector_.only(arm.selection), arm.scale);
      for (const auto& record : suture::evaluate(model_, tokenizer_, tasks_[0]).records)
        naive_.push_back(*record.margin);
    }
  }

  void score_together() {
    ours_.clear();
    suture::AblationOptions options;
    const auto done = suture::ablate(target_, model_, tokenizer_, vector_, arms_, tasks_, options);
    for (const suture::ArmResult& result : done.arms)
      for (const suture::ArmMetric& metric : result.metrics)
        if (metric.name == "margin")
          ours_.insert(ours_.end(), metric.records.begin(), metric.records.end());
  }

  suture::Checkpoint target_;
  suture::Tokenizer tokenizer_;
  suture::LanguageModel model_;
  suture::TaskVector vector_;
  std::vector<suture::Task> tasks_;
  std::vector<suture::Arm> arms_;
  std::vector<double> naive_, ours_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  suture::model::keep_freed_memory();  // as the program does
  try {
    suture::LanguageModelOptions options;
    if (argc > 5) options.run.threads = static_cast<unsigned>(std::stoul(argv[5]));
    Bench bench(argv, options);
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) bench.answer(line);
  } catch (const suture::Error& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
