// Trains a family of small Qwen2 models from nothing and writes it as Hugging Face folders: base,
// sft and grpo (both on sums with worked steps), instruct (which answers in a chat, mostly without
// steps), shift (a second skill), and the task files that measure them.
//
// usage: miniature FOLDER [--seed N]
//
// A model whose folder is already there is not trained again: what is made of it is the same as if
// it had been.

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>

#include <ATen/Parallel.h>

#include "suture/state_dict.h"
#include "suture/tokenizer.h"

#include "data_sets.h"
#include "grpo.h"
#include "model_folder.h"
#include "random.h"
#include "tasks.h"
#include "training.h"
#include "transformer.h"

namespace {

namespace fs = std::filesystem;
using namespace miniature;

const Schedule kBase{.steps = 1400, .learning_rate = 3e-3};
const Schedule kSft{.steps = 150, .learning_rate = 3e-4};
const Schedule kInstruct{.steps = 300, .learning_rate = 3e-4};
const Schedule kShift{.steps = 100, .learning_rate = 3e-4};
const GrpoSchedule kGrpo{.steps = 100, .learning_rate = 1e-4};

struct Arguments {
  fs::path folder;
  std::uint64_t seed = 0;
};

class Family {
 public:
  explicit Family(const Arguments& arguments)
      : folder_(arguments.folder), seed_(arguments.seed), tokenizer_(written_tokenizer()) {
    shape_.vocab_size = tokenizer_.vocab_size();
  }

  void make() {
    const auto random_start = [&] {
      return random_weights(shape_, Random(seed_, "initialisation").bits());
    };
    const auto base = [&] { return read_model(folder_ / "base"); };
    stage("base", random_start, supervised(base_example, kBase));
    stage("sft", base, supervised(sft_example, kSft));
    stage(
        "grpo", [&] { return read_model(folder_ / "sft"); },
        [&](const suture::StateDict& weights, Random& random) {
          const Transformer reference(shape_, weights.clone());
          reinforce(Transformer(shape_, weights), reference, tokenizer_, sum_or_reversal, random,
                    kGrpo);
        });
    stage("instruct", base, supervised(instruct_example, kInstruct));
    stage("shift", base, supervised(shift_example, kShift));
    write_tasks(folder_ / "tasks");
  }

 private:
  using Trainer = std::function<void(const suture::StateDict&, Random&)>;

  suture::Tokenizer written_tokenizer() const {
    const fs::path folder = folder_ / "tokenizer";
    write_tokenizer(folder);
    return suture::Tokenizer::open(folder.string());
  }

  Trainer supervised(DataSet data_set, const Schedule& schedule) const {
    return [this, data_set, schedule](const suture::StateDict& weights, Random& random) {
      train(Transformer(shape_, weights), tokenizer_, data_set, random, schedule);
    };
  }

  void stage(const std::string& name, const std::function<suture::StateDict()>& start,
             const Trainer& trainer) const {
    if (is_written(folder_ / name)) return;
    const auto begin = std::chrono::steady_clock::now();
    std::printf("%s\n", name.c_str());
    const suture::StateDict weights = start();
    Random random(seed_, name);
    trainer(weights, random);
    write_model(folder_ / name, shape_, weights);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("  %.0f s\n", seconds.count());
    std::fflush(stdout);
  }

  fs::path folder_;
  std::uint64_t seed_;
  suture::Tokenizer tokenizer_;
  Shape shape_;
};

bool parse(int argc, char** argv, Arguments& arguments) {
  if (argc != 2 && argc != 4) return false;
  arguments.folder = argv[1];
  if (argc == 2) return true;
  const std::string_view option = argv[2], seed = argv[3];
  const char* end = seed.data() + seed.size();
  const auto [stopped, error] = std::from_chars(seed.data(), end, arguments.seed);
  return option == "--seed" && error == std::errc() && stopped == end;
}

}  // namespace

int main(int argc, char** argv) try {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(stderr, "usage: miniature FOLDER [--seed N]\n");
    return 2;
  }
  // With one thread, sums have one order: the same seed gives the same bytes.
  at::set_num_threads(1);
  Family(arguments).make();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "miniature: %s\n", error.what());
  return 2;
}
