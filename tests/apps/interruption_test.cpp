// Runs that are stopped in the middle: by the user, by the system, or by a second run that wants
// the same output.

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/fault.h"
#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::ended_with;
using test::Fault;
using test::holds;
using test::Invocation;
using test::Outcome;
using test::run_program;
using test::RunningProgram;
using test::same_tree;
using test::tree_of;
using test::was_refused;

class Interruption : public test::ModelFamily {
 protected:
  Interruption() { make_vector(); }

  Invocation with(const Fault& fault, std::vector<std::string> arguments) const {
    Invocation call = invocation(std::move(arguments));
    fault.into(call, dir_.path());
    return call;
  }

  const std::vector<std::string> inject_{"inject",    "target", "v.safetensors", "-o", "out",
                                         "--threads", "1",      "--quiet"};
  const std::vector<std::string> extract_{"extract",         "tuned",     "base", "-o",
                                          "new.safetensors", "--threads", "1",    "--quiet"};
};

TEST_F(Interruption, BySigintOrSigtermLeavesNothing) {
  for (const std::string signal : {"int", "term"}) {
    const int status = signal == "int" ? 130 : 143;
    for (const auto& arguments : {inject_, extract_}) {
      for (const std::string at : {"1", "2", "9"}) {
        const Outcome outcome = run_program(with({"pwrite", at, signal}, arguments));
        EXPECT_TRUE(ended_with(outcome, status)) << signal << " at write " << at;
        EXPECT_TRUE(holds(outcome.err, "interrupted"));
        EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
        EXPECT_TRUE(nothing_left_behind());
      }
    }
  }
}

TEST_F(Interruption, WhileReadingLeavesNothing) {
  const Outcome outcome = run_program(with({"pread", "40", "int"}, extract_));
  EXPECT_TRUE(ended_with(outcome, 130));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Interruption, OfAReplacementKeepsTheOldOutput) {
  make({"inject", "target", "v.safetensors@-1", "-o", "out", "--quiet"});
  const auto before = tree_of(dir_ / "out");
  std::vector<std::string> arguments = inject_;
  arguments.push_back("--force");
  EXPECT_TRUE(ended_with(run_program(with({"pwrite", "5", "term"}, arguments)), 143));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), before));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Interruption, WhileAnalyzingEndsWithItsStatus) {
  Invocation call = with({"pread", "30", "int"}, {"analyze", "tuned", "base", "--threads", "1"});
  const Outcome outcome = run_program(call);
  EXPECT_TRUE(ended_with(outcome, 130));
  EXPECT_EQ(outcome.out, "");
}

TEST_F(Interruption, BySigkillIsClearedByTheNextRun) {
  const Outcome killed = run_program(with({"pwrite", "4", "kill"}, inject_));
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_FALSE(fs::exists(dir_ / "out"));
  EXPECT_TRUE(fs::exists(dir_ / ".out.suture-partial"));
  EXPECT_TRUE(ended_with(run(inject_), 0));
  EXPECT_FALSE(fs::exists(dir_ / ".out.suture-partial"));
  std::vector<std::string> elsewhere = inject_;
  elsewhere[4] = "undisturbed";
  ASSERT_TRUE(ended_with(run(elsewhere), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), tree_of(dir_ / "undisturbed")));
}

// The first run is held in the middle of its work, so that the second meets it there.
TEST_F(Interruption, ByASecondRunForTheSameOutputIsNone) {
  for (const auto& arguments : {inject_, extract_}) {
    RunningProgram first(with({"pwrite", "3", "stop"}, arguments));
    ASSERT_TRUE(first.wait_until_stopped());
    EXPECT_TRUE(was_refused(run(arguments), "another process is writing this output"));
    first.send(SIGCONT);
    EXPECT_TRUE(ended_with(first.wait(), 0));
  }
  begin_here();
  EXPECT_EQ(tree_of(dir_.path()).count(".out.suture-partial"), 0u);
  std::vector<std::string> elsewhere = inject_;
  elsewhere[4] = "undisturbed";
  ASSERT_TRUE(ended_with(run(elsewhere), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), tree_of(dir_ / "undisturbed")));
}

TEST_F(Interruption, ByAFolderThatAppearsMeanwhileIsRefused) {
  RunningProgram first(with({"pwrite", "3", "stop"}, inject_));
  ASSERT_TRUE(first.wait_until_stopped());
  test::write_file(dir_ / "out" / "diary.txt", "dear");
  first.send(SIGCONT);
  EXPECT_TRUE(was_refused(first.wait(), "File exists"));
  EXPECT_EQ(test::read_file(dir_ / "out" / "diary.txt"), "dear");
  EXPECT_FALSE(fs::exists(dir_ / ".out.suture-partial"));
}

TEST_F(Interruption, ByAnInputThatChangesIsRefused) {
  RunningProgram first(with({"pwrite", "3", "stop"}, inject_));
  ASSERT_TRUE(first.wait_until_stopped());
  test::write_file(dir_ / "v.safetensors", test::read_file(dir_ / "v.safetensors") + "more");
  first.send(SIGCONT);
  EXPECT_TRUE(was_refused(first.wait(), "changed while it was being read"));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Interruption, ByAnInputThatShrinksIsRefused) {
  RunningProgram first(with({"pwrite", "3", "stop"}, inject_));
  ASSERT_TRUE(first.wait_until_stopped());
  fs::resize_file(dir_ / "target" / "model.safetensors", 2500);
  first.send(SIGCONT);
  EXPECT_TRUE(was_refused(first.wait(), "target/model.safetensors"));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Interruption, BySignalThatIsSentTwiceEndsAtOnce) {
  RunningProgram first(with({"pwrite", "3", "stop"}, inject_));
  ASSERT_TRUE(first.wait_until_stopped());
  first.send(SIGTERM);
  first.send(SIGINT);
  first.send(SIGCONT);
  EXPECT_EQ(first.wait().signal != 0, true);
  EXPECT_FALSE(fs::exists(dir_ / "out"));
  EXPECT_TRUE(ended_with(run(inject_), 0));
  EXPECT_FALSE(fs::exists(dir_ / ".out.suture-partial"));
}

}  // namespace
}  // namespace suture
