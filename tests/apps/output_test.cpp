// Where outputs may go, what they leave alone, and what is said on which stream.

#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::ended_with;
using test::holds;
using test::Invocation;
using test::Outcome;
using test::read_file;
using test::run_program;
using test::same_tree;
using test::tree_of;
using test::was_refused;
using test::write_file;

class Output : public test::ModelFamily {
 protected:
  Output() { make_vector(); }

  std::vector<std::string> extract_to(const std::string& path,
                                      std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"extract", "tuned", "base", "-o", path};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> inject_to(const std::string& path,
                                     std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"inject", "target", "v.safetensors", "-o", path};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

// --- Existing outputs
// -----------------------------------------------------------------------------

TEST_F(Output, ExistingIsRefusedWithoutForce) {
  const std::string before = read_file(dir_ / "v.safetensors");
  EXPECT_TRUE(refuses(extract_to("v.safetensors"), "exists already"));
  EXPECT_EQ(read_file(dir_ / "v.safetensors"), before);
  fs::create_directory(dir_ / "empty");
  begin_here();
  EXPECT_TRUE(refuses(inject_to("empty"), "exists already"));
}

TEST_F(Output, ForceReplacesAVectorAndAModel) {
  make(inject_to("out"));
  make(extract_to("again.safetensors"));
  EXPECT_TRUE(
      ended_with(run(extract_to("again.safetensors", {"--only", "layer=0", "--force"})), 0));
  EXPECT_LT(fs::file_size(dir_ / "again.safetensors"), fs::file_size(dir_ / "v.safetensors"));
  EXPECT_TRUE(ended_with(run(inject_to("out", {"--scale", "-1", "--force"})), 0));
  EXPECT_TRUE(nothing_left_behind());
}

TEST_F(Output, ForceReplacesNothingElse) {
  write_file(dir_ / "letters" / "love.txt", "dear");
  write_file(dir_ / "file", "text");
  fs::create_directory(dir_ / "folder.safetensors");
  begin_here();
  EXPECT_TRUE(refuses(inject_to("letters", {"--force"}), "without a model in it"));
  EXPECT_TRUE(refuses(inject_to("file", {"--force"}), "a file, not a folder"));
  EXPECT_TRUE(refuses(extract_to("folder.safetensors", {"--force"}), "a folder, not a file"));
  EXPECT_TRUE(refuses(inject_to(".", {"--force"}), ""));
  EXPECT_TRUE(refuses(inject_to("/", {"--force"}), ""));
  EXPECT_EQ(read_file(dir_ / "letters" / "love.txt"), "dear");
}

TEST_F(Output, ForceWritesThroughNoLink) {
  write_file(dir_ / "precious.safetensors", "precious");
  fs::create_symlink("precious.safetensors", dir_ / "link.safetensors");
  fs::create_symlink("nowhere", dir_ / "dangling.safetensors");
  begin_here();
  EXPECT_TRUE(refuses(extract_to("link.safetensors", {"--force"}), "a link"));
  EXPECT_TRUE(refuses(extract_to("dangling.safetensors", {"--force"}), "a link"));
  EXPECT_TRUE(refuses(extract_to("dangling.safetensors"), "exists already"));
  EXPECT_EQ(read_file(dir_ / "precious.safetensors"), "precious");
}

// --- Outputs on inputs
// ----------------------------------------------------------------------------

TEST_F(Output, OnAnInputIsRefusedInEveryDisguise) {
  fs::create_directory_symlink("target", dir_ / "link-to-target");
  fs::create_symlink("base/model.safetensors", dir_ / "link.safetensors");
  fs::create_hard_link(dir_ / "base/model.safetensors", dir_ / "hard.safetensors");
  fs::create_directory(dir_ / "x");
  begin_here();
  const auto before = tree_of(dir_.path());
  const std::string absolute = (dir_ / "target").string();
  for (const std::string& path :
       {std::string("target"), std::string("target/"), std::string("./target/."),
        std::string("./x/../target"), std::string("link-to-target"), absolute,
        std::string("target/inside"), std::string("link-to-target/inside"),
        std::string("target/in.safetensors")}) {
    EXPECT_TRUE(refuses(inject_to(path, {"--force"}), "input")) << path;
  }
  for (const std::string path :
       {"base/model.safetensors", "./x/../base/model.safetensors", "link.safetensors",
        "hard.safetensors", "base/other.safetensors", "tuned", "base/new"}) {
    EXPECT_TRUE(refuses(extract_to(path, {"--force"}), "input")) << path;
  }
  EXPECT_TRUE(refuses({"inject", "target", "v.safetensors", "-o", "v.safetensors", "--force"},
                      "the output is the input"));
  EXPECT_TRUE(refuses({"inject", "target", "tuned - base", "-o", "tuned", "--force"}, "input"));
  EXPECT_TRUE(same_tree(tree_of(dir_.path()), before));
}

TEST_F(Output, OnAParentOfAnInputIsRefused) {
  fs::create_directory(dir_ / "family");
  for (const char* name : {"base", "tuned"}) fs::rename(dir_ / name, dir_ / "family" / name);
  write_file(dir_ / "family" / "config.json", "{}");
  begin_here();
  EXPECT_TRUE(refuses({"extract", "family/tuned", "family/base", "-o", "family", "--force"},
                      "would replace the folder of the input"));
  EXPECT_TRUE(fs::exists(dir_ / "family" / "base" / "model.safetensors"));
}

// A report must not land on a model's file either: config.json ends in .json.
TEST_F(Output, ReportsOnAnInputAreRefused) {
  const auto before = tree_of(dir_.path());
  const auto expect_refused = [&](const std::vector<std::string>& arguments) {
    EXPECT_TRUE(refuses(arguments, "input"));
    EXPECT_TRUE(same_tree(tree_of(dir_.path()), before));
  };
  expect_refused({"check", "tuned", "base", "--json", "base/config.json"});
  expect_refused({"analyze", "tuned", "base", "--json", "base/tokenizer.json"});
  expect_refused({"analyze", "tuned", "base", "--csv", "base/new.csv"});
  expect_refused(extract_to("new.safetensors", {"--json", "./x/../base/config.json"}));
  expect_refused(inject_to("new", {"--json", "target/config.json"}));
}

// --- Reports
// --------------------------------------------------------------------------------------

TEST_F(Output, ReportsReplaceOnlyReports) {
  write_file(dir_ / "thesis.tex", "\\begin");
  write_file(dir_ / "old.json", "{}");
  write_file(dir_ / "table.csv", "a,b");
  begin_here();
  EXPECT_TRUE(refuses({"check", "tuned", "base", "--json", "thesis.tex"}, "thesis.tex"));
  EXPECT_TRUE(refuses({"analyze", "v.safetensors", "--csv", "old.json"}, "old.json"));
  EXPECT_TRUE(refuses({"check", "tuned", "base", "--json", "table.csv"}, "table.csv"));
  EXPECT_EQ(read_file(dir_ / "thesis.tex"), "\\begin");
  EXPECT_EQ(read_file(dir_ / "old.json"), "{}");
  EXPECT_TRUE(ended_with(run({"check", "tuned", "base", "--json", "old.json"}), 0));
  EXPECT_TRUE(nlohmann::json::parse(read_file(dir_ / "old.json")).at("fit").get<bool>());
}

TEST_F(Output, ReportAndOutputNeedPlacesOfTheirOwn) {
  EXPECT_TRUE(refuses({"analyze", "v.safetensors", "--json", "-", "--csv", "-"}, "two places"));
  EXPECT_TRUE(refuses({"analyze", "v.safetensors", "--json", "r", "--csv", "./r"}, "two places"));
  EXPECT_TRUE(refuses(inject_to("new", {"--json", "./base/../new"}), "two places"));
}

// Told before the work, not after it.
TEST_F(Output, ReportThatCannotBeWrittenStopsTheWork) {
  write_file(dir_ / "thesis.tex", "\\begin");
  begin_here();
  EXPECT_TRUE(refuses(inject_to("new", {"--json", "thesis.tex"}), "thesis.tex"));
  EXPECT_TRUE(refuses(extract_to("new.safetensors", {"--json", "nowhere/report.json"}), "nowhere"));
}

TEST_F(Output, JsonSaysWhatTheTextSays) {
  const Outcome extracted = run(extract_to("a.safetensors", {"--json", "-"}));
  ASSERT_TRUE(ended_with(extracted, 0));
  const auto report = nlohmann::json::parse(extracted.out);
  const std::string tensors = std::to_string(report.at("tensors").get<int>()) + " tensors";
  EXPECT_TRUE(holds(extracted.err, tensors));
  const Outcome injected = run(inject_to("a", {"--json", "-"}));
  ASSERT_TRUE(ended_with(injected, 0));
  const auto made = nlohmann::json::parse(injected.out);
  EXPECT_TRUE(holds(injected.err,
                    std::to_string(made.at("computed_tensors").get<int>()) + " tensors computed"));
}

TEST_F(Output, ReportGoesToAFileAsToStdout) {
  const Outcome outcome = run({"analyze", "v.safetensors", "--json", "-"});
  ASSERT_TRUE(ended_with(outcome, 0));
  ASSERT_TRUE(ended_with(
      run({"analyze", "v.safetensors", "--json", "r.json", "--csv", "r.csv", "--quiet"}), 0));
  EXPECT_EQ(read_file(dir_ / "r.json"), outcome.out);
  EXPECT_NE(read_file(dir_ / "r.csv").find("model.embed_tokens.weight"), std::string::npos);
}

// --- Streams
// --------------------------------------------------------------------------------------

TEST_F(Output, DataGoesToStdoutAndTalkToStderr) {
  for (const auto& arguments : {extract_to("a.safetensors"), inject_to("a")}) {
    const Outcome outcome = run(arguments);
    ASSERT_TRUE(ended_with(outcome, 0));
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(holds(outcome.err, "wrote "));
  }
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"check", "tuned", "base"}, {"analyze", "v.safetensors"}}) {
    const Outcome outcome = run(arguments);
    ASSERT_TRUE(ended_with(outcome, 0));
    EXPECT_EQ(outcome.err, "");
    EXPECT_NE(outcome.out, "");
  }
}

TEST_F(Output, QuietIsSilent) {
  for (const auto& arguments : {extract_to("a.safetensors", {"--quiet"}), inject_to("a", {"-q"}),
                                std::vector<std::string>{"check", "tuned", "base", "--quiet"}}) {
    const Outcome outcome = run(arguments);
    ASSERT_TRUE(ended_with(outcome, 0));
    EXPECT_EQ(outcome.out + outcome.err, "");
  }
}

TEST_F(Output, DryRunWritesNothing) {
  const auto before = tree_of(dir_.path());
  for (const auto& arguments :
       {extract_to("a.safetensors", {"--dry-run"}), inject_to("a", {"--dry-run"}),
        inject_to("a", {"--dry-run", "--json", "-"})}) {
    const Outcome outcome = run(arguments);
    EXPECT_TRUE(ended_with(outcome, 0));
    EXPECT_TRUE(holds(outcome.err, "would write "));
    EXPECT_EQ(outcome.err.find("norm"), std::string::npos) << outcome.err;
  }
  EXPECT_TRUE(same_tree(tree_of(dir_.path()), before));
}

TEST_F(Output, DryRunTellsOfAnOutputThatCouldNotBe) {
  EXPECT_TRUE(refuses(extract_to("v.safetensors", {"--dry-run"}), "exists already"));
  EXPECT_TRUE(refuses(inject_to("nowhere/new", {"--dry-run"}), "no such folder"));
}

TEST_F(Output, WithoutATerminalHasNoEscapesAndNoCarriageReturns) {
  const std::vector<std::vector<std::string>> calls{extract_to("a.safetensors"),
                                                    inject_to("a"),
                                                    {"check", "tuned", "base", "target"},
                                                    {"analyze", "v.safetensors"},
                                                    {"analyze", "v.safetensors", "tuned - base"},
                                                    {"check", "tuned", "nowhere"},
                                                    {"--help"},
                                                    {"inject", "--help"}};
  for (const auto& arguments : calls) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ((outcome.out + outcome.err).find_first_of("\x1B\r"), std::string::npos)
        << arguments.front();
  }
}

TEST_F(Output, ClosedStdoutIsAnError) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"analyze", "v.safetensors"},
        {"check", "tuned", "base"},
        {"check", "tuned", "base", "--json", "-"},
        {"--help"},
        {"--version"}}) {
    Invocation call = invocation(arguments);
    call.closed = {1};
    EXPECT_TRUE(refuses(call, "stdout: cannot be written"));
  }
}

TEST_F(Output, FullStdoutIsAnError) {
  Invocation call = invocation({"analyze", "v.safetensors", "--csv", "-"});
  call.stdout_file = "/dev/full";
  EXPECT_TRUE(refuses(call, "No space left on device"));
}

TEST_F(Output, BrokenPipeIsAnErrorAndNoSignal) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  Invocation call = invocation({"analyze", "v.safetensors"});
  call.stdout_descriptor = ends[1];
  EXPECT_TRUE(refuses(call, "Broken pipe"));
  ::close(ends[1]);
}

TEST_F(Output, AllStandardStreamsClosedStillWritesTheOutput) {
  Invocation call = invocation(inject_to("closed"));
  call.closed = {0, 1, 2};
  EXPECT_TRUE(ended_with(run_program(call), 0));
  ASSERT_TRUE(ended_with(run(inject_to("open")), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "closed"), tree_of(dir_ / "open")));
}

// --- Places that cannot be written
// ----------------------------------------------------------------

TEST_F(Output, InAMissingFolderIsRefused) {
  EXPECT_TRUE(refuses(extract_to("nowhere/v.safetensors"), "no such folder"));
  EXPECT_TRUE(refuses(inject_to("base/config.json/new"), "config.json"));
}

TEST_F(Output, InAReadOnlyFolderIsRefused) {
  const fs::path place = dir_ / "place";
  fs::create_directory(place);
  begin_here();
  bool mounted = false;
  if (::geteuid() == 0) {
    if (::mount("none", place.c_str(), "tmpfs", MS_RDONLY, nullptr) != 0)
      GTEST_SKIP() << "root writes everywhere, and nothing can be mounted here";
    mounted = true;
  } else {
    ::chmod(place.c_str(), 0555);
  }
  EXPECT_TRUE(refuses(extract_to("place/v.safetensors"), "cannot be written to"));
  EXPECT_TRUE(refuses(inject_to("place/new"), "cannot be written to"));
  if (mounted) ::umount(place.c_str());
}

TEST_F(Output, OnAFullDiskIsRefused) {
  const fs::path disk = dir_ / "disk";
  fs::create_directory(disk);
  begin_here();
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=8k") != 0)
    GTEST_SKIP() << "nothing can be mounted here";
  EXPECT_TRUE(refuses(extract_to("disk/v.safetensors"), "free"));
  EXPECT_TRUE(refuses(inject_to("disk/new"), "free"));
  EXPECT_EQ(test::entries_of(disk).size(), 0u);
  ::umount(disk.c_str());
}

// The weights fit and the files beside them do not.
TEST_F(Output, OnADiskThatFillsUpIsRefused) {
  const fs::path disk = dir_ / "disk";
  fs::create_directory(disk);
  write_file(dir_ / "target" / "merges.txt", std::string(100'000, 'x'));
  begin_here();
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "nothing can be mounted here";
  EXPECT_TRUE(refuses(inject_to("disk/new"), "merges.txt"));
  EXPECT_EQ(test::entries_of(disk).size(), 0u);
  ::umount(disk.c_str());
}

// --- Limits and surroundings
// ----------------------------------------------------------------------

TEST_F(Output, OverTheFileSizeLimitIsRefused) {
  for (const auto& arguments : {extract_to("new.safetensors"), inject_to("new")}) {
    Invocation call = invocation(arguments);
    call.limits = {{RLIMIT_FSIZE, 2048}, {RLIMIT_CORE, 0}};
    EXPECT_TRUE(refuses(call, "File too large"));
  }
}

#ifndef SUTURE_SANITIZED
// A sanitizer takes descriptors of its own, to see whether memory can be read, and memory.
TEST_F(Output, WithFewDescriptorsItWorksOrSaysSo) {
  int refused = 0, done = 0;
  for (rlim_t descriptors = 4; descriptors <= 12; ++descriptors) {
    Invocation call = invocation(inject_to("new", {"--max-shard-size", "1000"}));
    call.limits = {{RLIMIT_NOFILE, descriptors}};
    const Outcome outcome = run_program(call);
    if (outcome.status == 127) continue;  // too few for the loader: the program has not started
    if (outcome.status == 0) {
      ++done;
      fs::remove_all(dir_ / "new");
    } else {
      ++refused;
      EXPECT_TRUE(was_refused(outcome, "oo many open files")) << descriptors;
    }
    EXPECT_TRUE(nothing_left_behind()) << descriptors;
  }
  EXPECT_GT(refused, 0);
  EXPECT_EQ(done, 0);
}

TEST_F(Output, WithLittleMemoryItWorksOrSaysSo) {
  // Just enough to start; the tokenizer then takes more than is left.
  write_file(dir_ / "tuned" / "tokenizer.json",
             std::string(96 << 20, ' ') + test::tokenizer_json(model_.vocab));
  rlim_t limit = 128 << 20;
  const auto starts = [&] {
    Invocation call = invocation({"--version"});
    call.limits = {{RLIMIT_AS, limit}, {RLIMIT_CORE, 0}};
    return run_program(call).status == 0;
  };
  while (limit < (rlim_t{8} << 30) && !starts()) limit += 32 << 20;
  Invocation call = invocation(extract_to("new.safetensors"));
  call.limits = {{RLIMIT_AS, limit + (32 << 20)}, {RLIMIT_CORE, 0}};
  EXPECT_TRUE(refuses(call, "out of memory"));
}
#endif

TEST_F(Output, IsTheSameInAnyLocale) {
  const auto analysis_in = [&](const std::string& locale) {
    Invocation call = invocation({"analyze", "v.safetensors", "--ascii"});
    call.environment = {{"LANG", locale}, {"LC_ALL", locale}, {"LC_NUMERIC", locale}};
    return run_program(call);
  };
  const Outcome german = analysis_in("de_DE.UTF-8");
  EXPECT_TRUE(ended_with(german, 0));
  EXPECT_EQ(german.out, analysis_in("C").out);
  Invocation call = invocation(inject_to("german", {"--scale", "0.5"}));
  call.environment = {{"LANG", "de_DE.UTF-8"}, {"LC_ALL", "de_DE.UTF-8"}};
  ASSERT_TRUE(ended_with(run_program(call), 0));
  ASSERT_TRUE(ended_with(run(inject_to("plain", {"--scale", "0.5"})), 0));
  EXPECT_TRUE(same_tree(tree_of(dir_ / "german"), tree_of(dir_ / "plain")));
}

TEST_F(Output, NeedsNoEnvironment) {
  Invocation call = invocation({"check", "tuned", "base"});
  call.unset = {"HOME", "LANG", "PATH", "USER", "TERM"};
  EXPECT_TRUE(ended_with(run_program(call), 0));
  call.arguments = {"check", "some/model", "base"};
  call.unset.insert(call.unset.end(), {"HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"});
  EXPECT_TRUE(refuses(call, "some/model"));
}

TEST_F(Output, IsTheSameEveryTime) {
  for (const char* threads : {"1", "3"}) {
    ASSERT_TRUE(ended_with(run(inject_to("out" + std::string(threads),
                                         {"--threads", threads, "--max-shard-size", "2000"})),
                           0));
  }
  const auto first = tree_of(dir_ / "out1");
  EXPECT_GT(first.size(), 5u);
  EXPECT_TRUE(same_tree(first, tree_of(dir_ / "out3")));
}

}  // namespace
}  // namespace suture
