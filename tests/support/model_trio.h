#pragma once

#include <filesystem>
#include <string>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"
#include "suture/surgery.h"

#include "support/folder_tree.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace suture::test {

/// A folder of its own with three relatives in it: `base`, `tuned` and `target`.
class ModelTrio : public testing::Test {
 protected:
  /// Writes the three; what is done to a test's own weights comes before.
  void write_all(std::uint64_t max_shard_bytes = 5'000'000'000) {
    write_model(dir_ / "base", model_, base_, max_shard_bytes);
    write_model(dir_ / "tuned", model_, tuned_, max_shard_bytes);
    write_model(dir_ / "target", model_, target_, max_shard_bytes);
  }

  void make(const TinyModel& model) {
    model_ = model;
    base_ = make_weights(model, 1);
    tuned_ = make_relative(base_, 2);
    target_ = make_relative(base_, 3);
  }

  /// Writes a model into a folder in a folder.
  void write_into(const std::string& parent, const std::string& name, const StateDict& weights,
                  std::uint64_t max_shard_bytes = 5'000'000'000) {
    std::filesystem::create_directories(dir_ / parent);
    write_model(dir_ / parent / name, model_, weights, max_shard_bytes);
  }

  /// Sets one tensor in all three.
  void set_in_all(const std::string& name, at::Tensor tensor) {
    for (StateDict* weights : {&base_, &tuned_, &target_}) weights->set(name, tensor);
  }

  Checkpoint open(const std::string& name) const {
    return Checkpoint::open((dir_ / name).string());
  }
  std::string path(const std::string& name) const { return (dir_ / name).string(); }

  ModelTrio() { make({}); }

  TempDir dir_;
  TinyModel model_;
  StateDict base_, tuned_, target_;
};

}  // namespace suture::test
