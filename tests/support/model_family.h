#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/folder_tree.h"
#include "support/run_program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace suture::test {

/// A folder with three relatives, `base`, `tuned` and `target`, in which the program is run.
class ModelFamily : public testing::Test {
 protected:
  explicit ModelFamily(TinyModel model = small()) : model_(std::move(model)) {
    base_ = make_weights(model_, 1);
    write_model(dir_ / "base", model_, base_);
    write_model(dir_ / "tuned", model_, make_relative(base_, 2));
    write_model(dir_ / "target", model_, make_relative(base_, 3));
    start_ = entries_of(dir_.path());
  }

  static TinyModel small() {
    TinyModel model;
    model.layers = 2;
    model.vocab = 12;
    return model;
  }

  /// Another relative, written into the folder `name`.
  void add_model(const std::string& name, const TinyModel& model, std::uint64_t seed = 4) {
    StateDict near = base_;
    if (model.vocab != model_.vocab || model.tied != model_.tied || model.layers != model_.layers ||
        model.hidden != model_.hidden)
      near = make_weights(model, 1);
    StateDict weights;
    for (const auto& [tensor_name, tensor] : make_relative(near, seed))
      weights.set(tensor_name, tensor.to(model.dtype));
    write_model(dir_ / name, model, weights);
    start_ = entries_of(dir_.path());
  }

  /// Takes what stands in the folder now as what must be left after a refusal.
  void begin_here() { start_ = entries_of(dir_.path()); }

  Invocation invocation(std::vector<std::string> arguments) const {
    Invocation made;
    made.arguments = std::move(arguments);
    made.folder = dir_.path();
    return made;
  }
  Outcome run(std::vector<std::string> arguments) const {
    return run_program(invocation(std::move(arguments)));
  }

  /// Runs what must succeed, to prepare a test.
  void make(std::vector<std::string> arguments) {
    const Outcome outcome = run(std::move(arguments));
    if (outcome.status != 0) throw std::runtime_error("cannot prepare: " + outcome.err);
    start_ = entries_of(dir_.path());
  }
  void make_vector(const std::string& name = "v.safetensors") {
    make({"extract", "tuned", "base", "-o", name, "--quiet"});
  }

  /// Nothing has come or gone in the folder since the models were written.
  testing::AssertionResult nothing_left_behind() const {
    const std::vector<std::string> now = entries_of(dir_.path());
    if (now == start_) return testing::AssertionSuccess();
    auto failure = testing::AssertionFailure() << "the folder holds";
    for (const std::string& name : now) failure << " " << name;
    return failure;
  }

  /// `arguments` are refused with one line holding `named`, and leave nothing.
  testing::AssertionResult refuses(std::vector<std::string> arguments,
                                   const std::string& named) const {
    return refuses(invocation(std::move(arguments)), named);
  }
  testing::AssertionResult refuses(const Invocation& call, const std::string& named) const {
    if (const auto refused = was_refused(run_program(call), named); !refused) return refused;
    return nothing_left_behind();
  }

  const TempDir dir_;
  const TinyModel model_;
  StateDict base_;

 private:
  std::vector<std::string> start_;
};

}  // namespace suture::test
