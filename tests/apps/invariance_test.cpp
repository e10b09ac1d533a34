// No number of threads, no memory budget and no sharding shows in a result.

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/checkpoint.h"

#include "support/model_family.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::ended_with;
using test::Outcome;
using test::same_tree;
using test::TinyModel;
using test::tree_of;

// Wide enough that tensors are cut into several tiles, of several pieces each.
TinyModel several_tiles() {
  TinyModel model;
  model.hidden = 96;
  model.intermediate = 2100;
  model.vocab = 7000;
  model.layers = 2;
  return model;
}

class Invariance : public test::ModelFamily {
 protected:
  Invariance() : ModelFamily(several_tiles()) {
    for (const char* name : {"base", "tuned", "target"}) split(name, std::string(name) + "5");
    make_vector();
  }

  // The same model in five shards.
  void split(const std::string& from, const std::string& to) {
    test::write_model(dir_ / to, model_, load((dir_ / from).string()), 850'000);
    begin_here();
  }

  static std::vector<std::vector<std::string>> ways() {
    std::vector<std::vector<std::string>> all;
    for (const char* threads : {"1", "2", "7"}) {
      for (const char* memory : {"4096", "3MiB", "512MiB"})
        all.push_back({"--threads", threads, "--memory", memory, "--quiet"});
    }
    return all;
  }

  Outcome run_with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = run(arguments);
    EXPECT_TRUE(ended_with(outcome, 0));
    return outcome;
  }

  // Dtype, shape and bytes of every tensor by its name, whatever file it stands in.
  std::map<std::string, std::string> tensors_of(const std::string& output) const {
    const Checkpoint checkpoint = Checkpoint::open((dir_ / output).string());
    std::map<std::string, std::string> tensors;
    for (const TensorInfo& tensor : checkpoint.tensors()) {
      std::string bytes(tensor.bytes, '\0');
      checkpoint.read(tensor, 0, bytes.size(), bytes.data());
      tensors[tensor.name] = std::string(name_of(tensor.dtype)) + to_string(tensor.shape) + bytes;
    }
    return tensors;
  }

  // Runs `arguments -o new`, in all ways, and expects the same files from each.
  void expect_same_files(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "new"});
    std::map<std::string, std::string> first;
    for (const auto& way : ways()) {
      fs::remove_all(dir_ / "new");
      run_with(arguments, way);
      const auto files = tree_of(dir_ / "new");
      EXPECT_FALSE(files.empty());
      if (first.empty()) first = files;
      EXPECT_TRUE(same_tree(files, first)) << way[1] << " threads, " << way[3];
    }
  }

  // Runs each of `calls -o new` and expects the same tensors from each.
  void expect_same_tensors(const std::vector<std::vector<std::string>>& calls) {
    std::map<std::string, std::string> first;
    for (const auto& call : calls) {
      fs::remove_all(dir_ / "new");
      run_with(call, {"-o", "new", "--quiet"});
      const auto tensors = tensors_of("new");
      if (first.empty()) first = tensors;
      EXPECT_TRUE(same_tree(tensors, first)) << call[1] << " " << call.back();
    }
  }

  std::size_t shards_in(const std::string& folder) const {
    return Checkpoint::open((dir_ / folder).string()).files().size();
  }
};

TEST_F(Invariance, TheModelsAreWhatTheTestsNeed) {
  EXPECT_EQ(shards_in("target"), 1u);
  EXPECT_EQ(shards_in("target5"), 5u);
  std::uint64_t largest = 0;
  for (const auto& [name, tensor] : base_)
    largest = std::max(largest, static_cast<std::uint64_t>(tensor.numel()));
  EXPECT_GT(largest, 8u * 65536u);
}

TEST_F(Invariance, OfInjectedDifferences) {
  expect_same_files({"inject", "target", "tuned - base@0.3"});
  expect_same_files({"inject", "target5", "tuned5 - base5@0.3"});
}

TEST_F(Invariance, OfInjectedVectors) {
  expect_same_files({"inject", "target", "v.safetensors@0.3"});
  expect_same_files({"inject", "target", "v.safetensors@-1", "--max-shard-size", "500KB"});
}

TEST_F(Invariance, OfExtractedVectors) {
  expect_same_files({"extract", "tuned", "base"});
  expect_same_files({"extract", "tuned5", "base5", "--max-shard-size", "1MB"});
}

TEST_F(Invariance, OfOutputsInOneFileAndInSeveral) {
  expect_same_tensors({{"inject", "target", "tuned - base@0.3"},
                       {"inject", "target5", "tuned - base@0.3"},
                       {"inject", "target", "tuned5 - base5@0.3"},
                       {"inject", "target", "v.safetensors@0.3"},
                       {"inject", "target5", "v.safetensors@0.3", "--max-shard-size", "9GB"},
                       {"inject", "target", "v.safetensors@0.3", "--max-shard-size", "850KB"}});
  EXPECT_EQ(shards_in("new"), 5u);
  expect_same_tensors({{"extract", "tuned", "base"},
                       {"extract", "tuned5", "base5"},
                       {"extract", "tuned", "base", "--max-shard-size", "1700KB"}});
  EXPECT_EQ(shards_in("new"), 5u);
}

TEST_F(Invariance, OfAnalyses) {
  for (const std::vector<std::string>& vectors :
       {std::vector<std::string>{"tuned", "base"},
        std::vector<std::string>{"v.safetensors", "target - base"}}) {
    std::vector<std::string> arguments{"analyze", "--json", "-"};
    arguments.insert(arguments.begin() + 1, vectors.begin(), vectors.end());
    std::string first;
    for (const auto& way : ways()) {
      const std::string found = run_with(arguments, way).out;
      if (first.empty()) first = found;
      EXPECT_TRUE(found == first) << way[1] << " threads, " << way[3];
    }
  }
}

// Names and the order of tensors may follow the shards; numbers may not.
TEST_F(Invariance, OfAnalysesOfShards) {
  const auto analysis = [&](const std::string& tuned, const std::string& base) {
    auto json =
        nlohmann::json::parse(run_with({"analyze", tuned, base, "--json", "-"}, {"--quiet"}).out);
    auto vector = json.at("vectors").at(0);
    std::sort(vector.at("tensors").begin(), vector.at("tensors").end());
    vector.erase("name");
    return vector;
  };
  EXPECT_EQ(analysis("tuned", "base"), analysis("tuned5", "base5"));
}

}  // namespace
}  // namespace suture
