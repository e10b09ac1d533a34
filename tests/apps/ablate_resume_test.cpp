// Runs of `suture ablate` that are stopped at any moment and gone on with.

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/fault.h"
#include "support/language_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::ended_with;
using test::Fault;
using test::holds;
using test::Invocation;
using test::joined;
using test::Outcome;
using test::run_program;
using test::RunningProgram;
using test::same_tree;
using test::tree_of;
using test::was_refused;

using Words = std::vector<std::string>;

class AblateResume : public test::LanguageFamily {
 protected:
  // Scores the vector and four arms without a part of it.
  static Words into(const std::string& folder, const Words& more = {}) {
    return joined({"ablate", "target", "v.safetensors", "--task", "choice.jsonl", "--no-controls",
                   "-o", folder},
                  more);
  }
  static constexpr int kArms = 5;

  Invocation with(const Fault& fault, const Words& arguments) const {
    Invocation call = invocation(arguments);
    fault.into(call, dir_ / "out");
    return call;
  }

  std::map<std::string, std::string> whole() const {
    EXPECT_TRUE(ended_with(run(into("whole", {"--quiet"})), 0));
    return tree_of(dir_ / "whole");
  }

  void begin_in_an_empty_folder() const {
    fs::remove_all(dir_ / "out");
    fs::create_directory(dir_ / "out");
  }
};

TEST_F(AblateResume, AfterAKillAtAnyWriteGivesTheSameFiles) {
  const auto expected = whole();
  for (const int at : {1, 2, 4, kArms + 1}) {
    begin_in_an_empty_folder();
    const Outcome killed = run_program(with({"write", std::to_string(at), "kill"}, into("out")));
    EXPECT_EQ(killed.signal, SIGKILL) << at;
    const Outcome outcome = run(into("out"));
    EXPECT_TRUE(ended_with(outcome, 0)) << at;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'),
              kArms - std::max(at - 2, 0) + 1)
        << "scored anew: " << outcome.err;
    EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), expected)) << at;
  }
}

// A kill leaves some beginning of the file.
TEST_F(AblateResume, FromAnyBeginningOfTheJournalGivesTheSameFiles) {
  const auto expected = whole();
  const std::string& journal = expected.at("arms.jsonl");
  const std::size_t first_line = journal.find('\n') + 1;
  for (const std::size_t bytes :
       {first_line / 2, first_line, journal.size() / 2, journal.size() - 1}) {
    begin_in_an_empty_folder();
    test::write_file(dir_ / "out/arms.jsonl", journal.substr(0, bytes));
    EXPECT_TRUE(ended_with(run(into("out", {"--quiet"})), 0)) << bytes;
    EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), expected)) << bytes;
  }
}

TEST_F(AblateResume, AfterKillsAtRandomTimesGivesTheSameFiles) {
  const auto expected = whole();
  for (const useconds_t microseconds : {350'000, 450'000}) {
    RunningProgram running(invocation(into("out")));
    ::usleep(microseconds);
    running.send(SIGKILL);
    running.wait();
  }
  ASSERT_TRUE(ended_with(run(into("out")), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), expected));
}

TEST_F(AblateResume, AfterAnInterruptionGivesTheSameFiles) {
  const auto expected = whole();
  begin_in_an_empty_folder();
  for (const auto& [signal, status] : {std::pair{"int", 130}, std::pair{"term", 143}}) {
    const Outcome outcome = run_program(with({"write", "2", signal}, into("out")));
    EXPECT_TRUE(ended_with(outcome, status));
    EXPECT_TRUE(holds(outcome.err, "interrupted"));
    EXPECT_EQ(outcome.out, "");
    EXPECT_FALSE(fs::exists(dir_ / "out/results.json"));
  }
  ASSERT_TRUE(ended_with(run(into("out")), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), expected));
}

TEST_F(AblateResume, AfterADiskErrorGivesTheSameFiles) {
  const auto expected = whole();
  const std::string full = std::to_string(ENOSPC), broken = std::to_string(EIO);
  begin_in_an_empty_folder();
  for (const Fault& fault : {Fault{"write", "3", full}, Fault{"fdatasync", "2", broken},
                             Fault{"pwrite", "1", full}, Fault{"rename", "2", full}}) {
    const Outcome outcome = run_program(with(fault, into("out", {"--quiet"})));
    EXPECT_TRUE(was_refused(outcome, "out/")) << fault.call;
  }
  Invocation halves = with({"write", "1,2", "short"}, into("out", {"--quiet"}));
  EXPECT_TRUE(ended_with(run_program(halves), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), expected));
}

TEST_F(AblateResume, OfAFinishedRunScoresNothingAndGivesTheSame) {
  const auto expected = whole();
  for (const Words& named :
       {Words{"target", "v.safetensors"}, Words{"./target/", "./v.safetensors"}}) {
    const Outcome again = run(joined({"ablate", named[0], named[1], "--task", "./choice.jsonl"},
                                     {"--no-controls", "-o", "whole/"}));
    ASSERT_TRUE(ended_with(again, 0));
    EXPECT_EQ(again.err, "wrote whole/results.json\n");
    EXPECT_EQ(tree_of(dir_ / "whole").at("arms.jsonl"), expected.at("arms.jsonl"));
  }
}

TEST_F(AblateResume, OfAnotherRunIsRefusedAndForceBeginsAnew) {
  const auto before = whole();
  EXPECT_TRUE(was_refused(run(into("whole", {"--limit", "2"})), "another run"));
  EXPECT_TRUE(was_refused(run(into("whole", {"--scale", "2"})), "another run"));
  EXPECT_TRUE(was_refused(run(into("whole", {"--only", "layer=0-1"})), "another run"));
  Words other = into("whole");
  other[2] = "v.safetensors@2";
  EXPECT_TRUE(was_refused(run(other), "another run"));
  other[2] = "tuned - base";  // another way to the same vector, with other bytes to read
  EXPECT_TRUE(was_refused(run(other), "another run"));
  test::write_file(dir_ / "choice.jsonl", test::read_file(dir_ / "choice.jsonl") + "\n");
  EXPECT_TRUE(was_refused(run(into("whole")), "another run"));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "whole"), before));

  EXPECT_TRUE(ended_with(run(into("whole", {"--limit", "2", "--force", "--quiet"})), 0));
  EXPECT_NE(tree_of(dir_ / "whole").at("results.json"), before.at("results.json"));
}

// Results of the run before would pass for those of the run that was begun.
TEST_F(AblateResume, ForceLeavesNoOldResultsBesideNewArms) {
  ASSERT_TRUE(ended_with(run(into("out", {"--quiet"})), 0));
  const Outcome killed =
      run_program(with({"write", "3", "kill"}, into("out", {"--limit", "2", "--force"})));
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_EQ(test::entries_of(dir_ / "out"), (Words{"arms.jsonl"}));
}

TEST_F(AblateResume, BesideARunThatIsAtItIsRefused) {
  const auto expected = whole();
  begin_in_an_empty_folder();
  RunningProgram first(with({"write", "3", "stop"}, into("out")));
  ASSERT_TRUE(first.wait_until_stopped());
  EXPECT_TRUE(was_refused(run(into("out", {"--quiet"})), "another process"));
  EXPECT_TRUE(was_refused(run(into("out", {"--quiet", "--force"})), "another process"));
  first.send(SIGCONT);
  EXPECT_TRUE(ended_with(first.wait(), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "out"), expected));
}

TEST_F(AblateResume, RefusesAJournalThatIsNone) {
  for (const char* journal : {"hello\n", "{}\n", "[1]\n", "{\"schema\": \"suture.arms/1\"}\n"}) {
    test::write_file(dir_ / "out/arms.jsonl", journal);
    EXPECT_TRUE(was_refused(run(into("out", {"--quiet"})), "out/arms.jsonl")) << journal;
    EXPECT_EQ(test::read_file(dir_ / "out/arms.jsonl"), journal);
  }
}

}  // namespace
}  // namespace suture
