// Every system call that touches a file fails in turn. Whatever happens, the output is there whole
// or not at all, the inputs are as they were, and the next run succeeds.

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "suture/checkpoint.h"

#include "support/fault.h"
#include "support/model_family.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::ended_with;
using test::Fault;
using test::Invocation;
using test::Outcome;
using test::run_program;
using test::same_tree;
using test::TempDir;
using test::tree_of;

using Tree = std::map<std::string, std::string>;

// As few tensors and files as still take every path: a copied and computed tensors, two shards.
StateDict few_tensors(std::uint64_t seed, double step) {
  StateDict weights;
  const at::Tensor ids = at::arange(6, at::kLong);
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  at::Generator moved = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (const char* name : {"model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"}) {
    const at::Tensor values = at::randn({6, 4}, generator, at::kFloat);
    weights.set(name, (values + step * at::randn({6, 4}, moved, at::kFloat)).to(at::kBFloat16));
  }
  weights.set("model.position_ids", ids);
  return weights;
}

// What a fault makes of a run.
enum class End { kSurvived, kRefused };

class IoFaults : public testing::Test {
 protected:
  IoFaults() {
    test::TinyModel model;
    model.vocab = 6;
    write("base", 1, 0, 5'000'000'000);
    write("tuned", 2, 0.01, 64);
    write("target", 3, 0.01, 64);
    inputs_ = {"base", "tuned", "target"};
    run_well({"extract", "tuned", "base", "-o", "v.safetensors"});
    inputs_.push_back("v.safetensors");
    for (const std::string& input : inputs_) before_[input] = tree_of(work() / input);
  }

  fs::path work() const { return dir_ / "work"; }

  void write(const std::string& name, std::uint64_t seed, double step, std::uint64_t shard) const {
    SaveOptions options;
    options.max_shard_bytes = shard;
    fs::create_directories(work());
    save(few_tensors(seed, step), (work() / name).string(), options);
    test::write_file(work() / name / "config.json",
                     R"({"architectures":["Tiny"],"hidden_size":4,"vocab_size":6})");
  }

  Invocation invocation(std::vector<std::string> arguments) const {
    Invocation call;
    call.folder = work();
    arguments.insert(arguments.end(), {"--threads", "1", "--quiet"});
    call.arguments = std::move(arguments);
    return call;
  }
  void run_well(std::vector<std::string> arguments) const {
    ASSERT_TRUE(ended_with(run_program(invocation(std::move(arguments))), 0));
  }

  // What `arguments` write to `output` when nothing goes wrong; the output is gone afterwards.
  Tree good_output(const std::vector<std::string>& arguments, const std::string& output) const {
    run_well(arguments);
    Tree good = tree_of(work() / output);
    fs::remove_all(work() / output);
    return good;
  }

  // Nothing stands beside the inputs but `output`, which is `good`, or `old` (none when empty).
  testing::AssertionResult is_whole(const std::string& output, const Tree& good,
                                    const Tree& old) const {
    std::vector<std::string> allowed = inputs_;
    allowed.push_back(output);
    for (const std::string& name : test::entries_of(work())) {
      if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
        return testing::AssertionFailure() << name << " was left behind";
    }
    for (const auto& [name, tree] : before_) {
      if (tree_of(work() / name) != tree) return testing::AssertionFailure() << name << " changed";
    }
    const Tree now = tree_of(work() / output);
    if (now == good || now == old) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "half an output of " << now.size() << " files";
  }

  // Fails the calls of one kind one by one, until a run passes without reaching the fault. Each is
  // survived or ends the run, as `end` says. Returns how many there were.
  int fail_each(const std::string& call, const std::string& action, End end,
                const std::vector<std::string>& arguments, const std::string& output,
                const Tree& old = {}) {
    std::vector<std::string> with_force = arguments;
    if (!old.empty()) with_force.push_back("--force");
    const Tree good = good_output(arguments, output);
    const auto put_old = [&] {
      fs::remove_all(work() / output);
      if (!old.empty()) run_well(old_arguments_);
    };
    for (int at = 1; at < 500; ++at) {
      if (tree_of(work() / output) != old) put_old();
      const fs::path mark = dir_ / "reached";
      fs::remove(mark);
      Invocation run = invocation(with_force);
      Fault{call, std::to_string(at), action}.into(run, work(), mark);
      const Outcome outcome = run_program(run);
      const std::string where = call + " " + std::to_string(at) + ", " + action;
      EXPECT_TRUE(is_whole(output, good, old)) << where << ": " << outcome.err;
      const bool reached = fs::exists(mark);
      if (end == End::kRefused && reached) {
        EXPECT_TRUE(test::was_refused(outcome, "")) << where;
      } else {
        EXPECT_TRUE(ended_with(outcome, 0)) << where;
        EXPECT_TRUE(same_tree(tree_of(work() / output), good)) << where;
      }
      if (HasFailure()) return at;
      if (!reached) return at - 1;
    }
    ADD_FAILURE() << "no end of calls to " << call;
    return 0;
  }

  // A run that is killed leaves its stage; the next one clears it and succeeds.
  int kill_each(const std::string& call, const std::vector<std::string>& arguments,
                const std::string& output) {
    const Tree good = good_output(arguments, output);
    for (int at = 1; at < 500; ++at) {
      fs::remove_all(work() / output);
      Invocation run = invocation(arguments);
      Fault{call, std::to_string(at), "kill"}.into(run, work());
      const Outcome outcome = run_program(run);
      if (outcome.signal == 0) {
        EXPECT_TRUE(ended_with(outcome, 0));
        return at - 1;
      }
      EXPECT_EQ(outcome.signal, SIGKILL);
      const Tree left = tree_of(work() / output);
      EXPECT_TRUE(left.empty() || left == good) << "killed at " << call << " " << at;
      if (left.empty()) run_well(arguments);
      EXPECT_TRUE(is_whole(output, good, good)) << "after a kill at " << call << " " << at;
      if (HasFailure()) return at;
    }
    ADD_FAILURE() << "no end of calls to " << call;
    return 0;
  }

  const TempDir dir_;
  std::vector<std::string> inputs_;
  std::map<std::string, Tree> before_;
  const std::vector<std::string> extract_{"extract", "tuned", "base", "-o", "out"};
  const std::vector<std::string> inject_{"inject", "target", "v.safetensors", "-o", "out"};
  const std::vector<std::string> old_arguments_{"inject", "target", "v.safetensors@-1", "-o",
                                                "out"};
};

const std::string kEio = std::to_string(EIO);
const std::string kEnospc = std::to_string(ENOSPC);
const std::string kEintr = std::to_string(EINTR);
const std::string kEopnotsupp = std::to_string(EOPNOTSUPP);
const std::string kEmfile = std::to_string(EMFILE);
const std::string kExdev = std::to_string(EXDEV);

TEST_F(IoFaults, OpenInExtract) {
  EXPECT_GT(fail_each("open", kEio, End::kRefused, extract_, "out"), 5);
}
TEST_F(IoFaults, OpenInInject) {
  EXPECT_GT(fail_each("open", kEmfile, End::kRefused, inject_, "out"), 5);
}

TEST_F(IoFaults, ReadInExtract) {
  EXPECT_GT(fail_each("pread", kEio, End::kRefused, extract_, "out"), 10);
}
TEST_F(IoFaults, ReadInInject) {
  EXPECT_GT(fail_each("pread", kEio, End::kRefused, inject_, "out"), 10);
}
TEST_F(IoFaults, ShortReadInExtract) {
  EXPECT_GT(fail_each("pread", "short", End::kSurvived, extract_, "out"), 10);
}
TEST_F(IoFaults, InterruptedReadInInject) {
  EXPECT_GT(fail_each("pread", kEintr, End::kSurvived, inject_, "out"), 10);
}

TEST_F(IoFaults, WriteInExtract) {
  EXPECT_GT(fail_each("pwrite", kEnospc, End::kRefused, extract_, "out"), 2);
}
TEST_F(IoFaults, WriteInInject) {
  EXPECT_GT(fail_each("pwrite", kEio, End::kRefused, inject_, "out"), 4);
}
TEST_F(IoFaults, ShortWriteInInject) {
  EXPECT_GT(fail_each("pwrite", "short", End::kSurvived, inject_, "out"), 4);
}
TEST_F(IoFaults, InterruptedWriteInExtract) {
  EXPECT_GT(fail_each("pwrite", kEintr, End::kSurvived, extract_, "out"), 2);
}

TEST_F(IoFaults, SyncInExtract) {
  EXPECT_GT(fail_each("fsync", kEio, End::kRefused, extract_, "out"), 2);
}
TEST_F(IoFaults, SyncInInject) {
  EXPECT_GT(fail_each("fsync", kEio, End::kRefused, inject_, "out"), 5);
}

TEST_F(IoFaults, Reservation) {
  EXPECT_GT(fail_each("fallocate", kEnospc, End::kRefused, inject_, "out"), 3);
  fs::remove_all(work() / "out");
  EXPECT_GT(fail_each("fallocate", kEintr, End::kSurvived, extract_, "out"), 0);
  fs::remove_all(work() / "out");
  EXPECT_GT(fail_each("fallocate", kEopnotsupp, End::kSurvived, inject_, "out"), 3);
}

TEST_F(IoFaults, CopyInsideTheKernel) {
  for (const std::string& action : {kEio, kExdev, std::string("short"), kEintr}) {
    EXPECT_GT(fail_each("copy", action, End::kSurvived, inject_, "out"), 1);
    fs::remove_all(work() / "out");
  }
}

TEST_F(IoFaults, CloseAfterWriting) {
  EXPECT_GT(fail_each("close", kEio, End::kRefused, inject_, "out"), 3);
}

TEST_F(IoFaults, RenameAndFolder) {
  EXPECT_EQ(fail_each("rename", kEio, End::kRefused, inject_, "out"), 1);
  fs::remove_all(work() / "out");
  EXPECT_EQ(fail_each("rename", std::to_string(EINVAL), End::kSurvived, inject_, "out"), 1);
  fs::remove_all(work() / "out");
  EXPECT_GE(fail_each("mkdir", kEnospc, End::kRefused, inject_, "out"), 1);
}

TEST_F(IoFaults, WithForceTheOldOutputStaysOrTheNewIsWhole) {
  const Tree old = good_output(old_arguments_, "out");
  const auto fail_over_old = [&](const char* call, const std::string& action, End end) {
    fs::remove_all(work() / "out");
    EXPECT_GT(fail_each(call, action, end, inject_, "out", old), 0);
  };
  fail_over_old("rename", kEio, End::kRefused);
  fail_over_old("rename", std::to_string(EINVAL), End::kSurvived);
  fail_over_old("fsync", kEio, End::kRefused);
  fail_over_old("pwrite", kEnospc, End::kRefused);
}

// A file system that cannot exchange two names: the old output is moved aside first. When the new
// one then cannot be moved into its place, the old one must come back.
TEST_F(IoFaults, WithForceTheOldOutputComesBackWhereNamesCannotBeExchanged) {
  const Tree good = good_output(inject_, "out");
  const Tree old = good_output(old_arguments_, "out");
  std::vector<std::string> with_force = inject_;
  with_force.push_back("--force");
  for (const std::string at : {"1,2", "1,3"}) {
    fs::remove_all(work() / "out");
    run_well(old_arguments_);
    Invocation run = invocation(with_force);
    Fault{"rename", at, std::to_string(EINVAL)}.into(run, work());
    EXPECT_TRUE(test::was_refused(run_program(run), "cannot be renamed into place")) << at;
    EXPECT_TRUE(is_whole("out", old, old)) << at;
    run_well(with_force);
    EXPECT_TRUE(is_whole("out", good, good)) << at;
  }
}

TEST_F(IoFaults, WithForceTheOldFileStaysOrTheNewIsWhole) {
  const std::vector<std::string> file{"inject", "target", "v.safetensors", "-o", "out.safetensors"};
  const std::vector<std::string> old_file{"inject", "target", "v.safetensors@-1", "-o",
                                          "out.safetensors"};
  const Tree good = good_output(file, "out.safetensors");
  const Tree old = good_output(old_file, "out.safetensors");
  for (const std::string call : {"rename", "fsync", "close", "fallocate"}) {
    std::vector<std::string> with_force = file;
    with_force.push_back("--force");
    bool reached = true;
    for (int at = 1; reached && at < 100; ++at) {
      fs::remove_all(work() / "out.safetensors");
      fs::remove(dir_ / "reached");
      run_well(old_file);
      Invocation run = invocation(with_force);
      Fault{call, std::to_string(at), kEio}.into(run, work(), dir_ / "reached");
      const Outcome outcome = run_program(run);
      reached = fs::exists(dir_ / "reached");
      EXPECT_TRUE(is_whole("out.safetensors", good, old)) << call << " " << at << outcome.err;
      EXPECT_TRUE(ended_with(outcome, reached ? 2 : 0)) << call << " " << at;
    }
    EXPECT_FALSE(reached);
  }
}

TEST_F(IoFaults, KillAtEveryWrite) {
  EXPECT_GT(kill_each("pwrite", inject_, "out"), 4);
  fs::remove_all(work() / "out");
  EXPECT_GT(kill_each("pwrite", extract_, "out"), 2);
}

TEST_F(IoFaults, KillAtEverySyncAndRename) {
  EXPECT_GT(kill_each("fsync", inject_, "out"), 5);
  fs::remove_all(work() / "out");
  EXPECT_EQ(kill_each("rename", inject_, "out"), 1);
}

}  // namespace
}  // namespace suture
