#include "format/staged_output.h"

#include <csignal>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/in_child.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::in_child;
using test::read_file;
using test::TempDir;
using test::thrown_by;
using test::write_file;

// What stands in the folder, hidden files too, sorted and with a space after each.
std::string listing(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) text += name + " ";
  return text;
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

std::string refusal(const fs::path& destination, OutputKind kind, Existing existing) {
  return thrown_by<UsageError>([&] { StagedOutput(destination, kind, existing); });
}

// --- Appearing whole or not at all
// -------------------------------------------------------------------

TEST(StagedFile, AppearsOnlyOnCommit) {
  const TempDir dir;
  {
    StagedOutput output(dir / "out", OutputKind::kFile, Existing::kRefuse);
    write_small_file(output.path_of("ignored"), "content");
    EXPECT_FALSE(fs::exists(dir / "out"));
    output.commit();
    EXPECT_EQ(read_file(dir / "out"), "content");
  }
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedFile, LeavesNothingWithoutCommit) {
  const TempDir dir;
  {
    StagedOutput output(dir / "out", OutputKind::kFile, Existing::kRefuse);
    write_small_file(output.path_of({}), "content");
    EXPECT_NE(listing(dir.path()), "");
  }
  EXPECT_EQ(listing(dir.path()), "");
}

TEST(StagedFile, ReplacesOnlyOnCommit) {
  const TempDir dir;
  write_file(dir / "out", "old");
  {
    StagedOutput output(dir / "out", OutputKind::kFile, Existing::kReplace);
    write_small_file(output.path_of({}), "new");
    EXPECT_EQ(read_file(dir / "out"), "old");
  }
  EXPECT_EQ(read_file(dir / "out"), "old");
  {
    StagedOutput output(dir / "out", OutputKind::kFile, Existing::kReplace);
    write_small_file(output.path_of({}), "new");
    output.commit();
  }
  EXPECT_EQ(read_file(dir / "out"), "new");
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedFile, MayBeReplacedWhereThereIsNone) {
  const TempDir dir;
  StagedOutput output(dir / "out", OutputKind::kFile, Existing::kReplace);
  write_small_file(output.path_of({}), "new");
  output.commit();
  EXPECT_EQ(read_file(dir / "out"), "new");
}

TEST(StagedFile, KeepsTheModeOfWhatItReplaces) {
  const TempDir dir;
  write_file(dir / "out", "old");
  fs::permissions(dir / "out", fs::perms(0640));
  StagedOutput output(dir / "out", OutputKind::kFile, Existing::kReplace);
  write_small_file(output.path_of({}), "new");
  output.commit();
  EXPECT_EQ(mode_of(dir / "out"), 0640u);
}

TEST(StagedFile, HasTheModeThatTheUmaskAllows) {
  const TempDir dir;
  const mode_t before = ::umask(027);
  StagedOutput output(dir / "out", OutputKind::kFile, Existing::kRefuse);
  write_small_file(output.path_of({}), "new");
  output.commit();
  ::umask(before);
  EXPECT_EQ(mode_of(dir / "out"), 0640u);
}

TEST(StagedFile, DoesNotReplaceWhatAppearedMeanwhile) {
  const TempDir dir;
  {
    StagedOutput output(dir / "out", OutputKind::kFile, Existing::kRefuse);
    write_small_file(output.path_of({}), "mine");
    write_file(dir / "out", "theirs");
    EXPECT_TRUE(holds(thrown_by<IoError>([&] { output.commit(); }), "File exists"));
  }
  EXPECT_EQ(read_file(dir / "out"), "theirs");
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedFolder, AppearsOnlyOnCommit) {
  const TempDir dir;
  {
    StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kRefuse);
    write_small_file(output.path_of("a"), "1");
    write_small_file(output.path_of("b"), "2");
    EXPECT_FALSE(fs::exists(dir / "out"));
    output.commit();
    EXPECT_EQ(listing(dir / "out"), "a b ");
  }
  EXPECT_EQ(read_file(dir / "out/b"), "2");
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedFolder, LeavesNothingWithoutCommit) {
  const TempDir dir;
  {
    StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kRefuse);
    write_small_file(output.path_of("a"), "1");
  }
  EXPECT_EQ(listing(dir.path()), "");
}

TEST(StagedFolder, ReplacesTheWholeFolder) {
  const TempDir dir;
  write_file(dir / "out/model.safetensors", "{}");
  write_file(dir / "out/old", "old");
  {
    StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kReplace);
    write_small_file(output.path_of("new"), "new");
    EXPECT_EQ(listing(dir / "out"), "model.safetensors old ");
    output.commit();
  }
  EXPECT_EQ(listing(dir / "out"), "new ");
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedFolder, KeepsTheOldOneWithoutCommit) {
  const TempDir dir;
  write_file(dir / "out/model.safetensors", "{}");
  {
    StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kReplace);
    write_small_file(output.path_of("new"), "new");
  }
  EXPECT_EQ(listing(dir / "out"), "model.safetensors ");
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedFolder, DoesNotReplaceWhatAppearedMeanwhile) {
  const TempDir dir;
  {
    StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kRefuse);
    write_small_file(output.path_of("mine"), "1");
    write_file(dir / "out/theirs", "2");
    EXPECT_TRUE(holds(thrown_by<IoError>([&] { output.commit(); }), "File exists"));
  }
  EXPECT_EQ(listing(dir / "out"), "theirs ");
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedFolder, HasTheModeThatTheUmaskAllows) {
  const TempDir dir;
  const mode_t before = ::umask(027);
  StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kRefuse);
  output.commit();
  ::umask(before);
  EXPECT_EQ(mode_of(dir / "out"), 0750u);
}

TEST(StagedOutput, ToleratesATrailingSlash) {
  const TempDir dir;
  {
    StagedOutput output((dir / "out").string() + "/", OutputKind::kFolder, Existing::kRefuse);
    write_small_file(output.path_of("a"), "1");
    output.commit();
  }
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedOutput, TellsTheFreeSpace) {
  const TempDir dir;
  const StagedOutput output(dir / "out", OutputKind::kFile, Existing::kRefuse);
  EXPECT_GT(output.free_bytes(), 0u);
  EXPECT_LT(output.free_bytes(), fs::space(dir.path()).capacity);
}

// --- What may not be replaced
// --------------------------------------------------------------------------

TEST(StagedOutputRefuses, WhatExistsUnlessForced) {
  const TempDir dir;
  write_file(dir / "file", "old");
  write_file(dir / "folder/config.json", "{}");
  fs::create_directory(dir / "empty");
  fs::create_symlink("gone", dir / "dangling");
  for (const char* name : {"file", "folder", "empty", "dangling"}) {
    const OutputKind kind =
        name[0] == 'f' && name[1] == 'i' ? OutputKind::kFile : OutputKind::kFolder;
    const std::string said = refusal(dir / name, kind, Existing::kRefuse);
    EXPECT_TRUE(holds(said, (dir / name).string() + ": the output exists already")) << name;
    EXPECT_TRUE(holds(said, "--force"));
  }
  EXPECT_EQ(listing(dir.path()), "dangling empty file folder ");
}

TEST(StagedOutputRefuses, AMissingParent) {
  const TempDir dir;
  for (const Existing existing : {Existing::kRefuse, Existing::kReplace}) {
    EXPECT_TRUE(holds(refusal(dir / "none/out", OutputKind::kFile, existing),
                      (dir / "none").string() + ": no such folder"));
  }
}

TEST(StagedOutputRefuses, ToReplaceALink) {
  const TempDir dir;
  write_file(dir / "file", "old");
  fs::create_symlink("file", dir / "link");
  fs::create_symlink("gone", dir / "dangling");
  for (const char* name : {"link", "dangling"}) {
    EXPECT_TRUE(
        holds(refusal(dir / name, OutputKind::kFile, Existing::kReplace), "the output is a link"));
  }
}

TEST(StagedOutputRefuses, ToReplaceAFolderByAFile) {
  const TempDir dir;
  write_file(dir / "out/model.safetensors", "{}");
  EXPECT_TRUE(holds(refusal(dir / "out", OutputKind::kFile, Existing::kReplace),
                    "the output is a folder, not a file"));
}

TEST(StagedOutputRefuses, ToReplaceAFileByAFolder) {
  const TempDir dir;
  write_file(dir / "out", "old");
  EXPECT_TRUE(holds(refusal(dir / "out", OutputKind::kFolder, Existing::kReplace),
                    "the output is a file, not a folder"));
}

TEST(StagedOutputRefuses, ToReplaceADevice) {
  const TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "out").c_str(), 0600), 0);
  EXPECT_TRUE(
      holds(refusal(dir / "out", OutputKind::kFile, Existing::kReplace), "not a regular file"));
}

TEST(StagedOutputRefuses, ToReplaceAFolderThatHoldsNoModel) {
  const TempDir dir;
  write_file(dir / "out/thesis.tex", "years of work");
  write_file(dir / "out/config.json", "{}");  // many programs have one
  EXPECT_TRUE(holds(refusal(dir / "out", OutputKind::kFolder, Existing::kReplace),
                    "a folder without a model in it"));
  EXPECT_EQ(listing(dir / "out"), "config.json thesis.tex ");
}

TEST(StagedOutputRefuses, ToReplaceTheCurrentFolder) {
  const TempDir dir;
  write_file(dir / "out/model.safetensors", "{}");
  fs::create_directory(dir / "out/inner");
  const fs::path before = fs::current_path();
  for (const char* folder : {"out", "out/inner"}) {
    fs::current_path(dir / folder);
    EXPECT_TRUE(holds(refusal(dir / "out", OutputKind::kFolder, Existing::kReplace),
                      "the output holds the current folder"));
    fs::current_path(before);
  }
}

TEST(StagedFolder, ReplacesModelsVectorsAndEmptyFolders) {
  for (const char* file : {"suture.json", "model.safetensors", "x.bin", "x.pt", ""}) {
    const TempDir dir;
    fs::create_directory(dir / "out");
    if (*file != '\0') write_file(dir / "out" / file, "");
    StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kReplace);
    write_small_file(output.path_of("new"), "");
    output.commit();
    EXPECT_EQ(listing(dir / "out"), "new ") << file;
  }
}

// --- One at a time, also after a crash
// -----------------------------------------------------------------

TEST(StagedOutputLock, KeepsASecondOneOut) {
  const TempDir dir;
  {
    StagedOutput first(dir / "out", OutputKind::kFile, Existing::kRefuse);
    write_small_file(first.path_of({}), "first");
    const std::string said = thrown_by<IoError>(
        [&] { StagedOutput(dir / "out", OutputKind::kFile, Existing::kRefuse); });
    EXPECT_TRUE(holds(said, (dir / "out").string() + ": another process is writing this output"));
    EXPECT_EQ(in_child([&] {
                try {
                  StagedOutput second(dir / "out", OutputKind::kFile, Existing::kRefuse);
                } catch (const IoError&) {
                  return 7;
                }
                return 0;
              }),
              7);
    first.commit();  // what was written is still there
  }
  EXPECT_EQ(read_file(dir / "out"), "first");
  EXPECT_NO_THROW(StagedOutput(dir / "out", OutputKind::kFile, Existing::kReplace));
}

TEST(StagedOutputLock, IsPerOutput) {
  const TempDir dir;
  StagedOutput first(dir / "1", OutputKind::kFile, Existing::kRefuse);
  EXPECT_NO_THROW(StagedOutput(dir / "2", OutputKind::kFile, Existing::kRefuse));
}

TEST(StagedOutputLock, DiesWithItsProcessAndTheRestIsCleared) {
  const TempDir dir;
  EXPECT_EQ(in_child([&] {
              StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kRefuse);
              write_small_file(output.path_of("left-over"), "half");
              fs::create_directory(output.path_of("sub"));
              write_small_file(output.path_of("sub/deep"), "half");
              std::raise(SIGKILL);
              return 0;
            }),
            -1);
  ASSERT_NE(listing(dir.path()), "");
  {
    StagedOutput output(dir / "out", OutputKind::kFolder, Existing::kRefuse);
    EXPECT_FALSE(fs::exists(output.path_of("left-over")));
    write_small_file(output.path_of("new"), "whole");
    output.commit();
  }
  EXPECT_EQ(listing(dir / "out"), "new ");
  EXPECT_EQ(listing(dir.path()), "out ");
}

TEST(StagedOutputLock, DoesNotFollowALinkInTheStagesPlace) {
  const TempDir dir;
  write_file(dir / "precious/file", "precious");
  fs::create_directory_symlink("precious", dir / ".out.suture-partial");
  EXPECT_TRUE(holds(thrown_by<IoError>(
                        [&] { StagedOutput(dir / "out", OutputKind::kFolder, Existing::kRefuse); }),
                    "cannot be opened"));
  EXPECT_EQ(listing(dir / "precious"), "file ");
}

// --- Outputs that would harm an input
// --------------------------------------------------------------------

struct Places {
  Places() {
    write_file(dir / "model/model.safetensors", "weights");
    write_file(dir / "file.safetensors", "weights");
    fs::create_directory_symlink("model", dir / "model-link");
    fs::create_symlink("file.safetensors", dir / "file-link");
    fs::create_hard_link(dir / "file.safetensors", dir / "file-hard");
  }
  void expect_refused(const std::string& output, const std::string& input,
                      const std::string& reason) const {
    const std::string said =
        thrown_by<UsageError>([&] { refuse_output_on_input(dir / output, dir / input); });
    EXPECT_TRUE(holds(said, reason + " " + (dir / input).string())) << output << " on " << input;
  }
  const TempDir dir;
};

TEST(RefuseOutputOnInput, ForTheSamePlace) {
  const Places places;
  for (const char* output :
       {"model", "model/", "model/.", "./model", "model/../model", "model-link", "model-link/"}) {
    places.expect_refused(output, "model", "the output is the input");
  }
  places.expect_refused("model", "model-link", "the output is the input");
  places.expect_refused("file.safetensors", "file.safetensors", "the output is the input");
}

TEST(RefuseOutputOnInput, ForALinkToIt) {
  const Places places;
  places.expect_refused("file-link", "file.safetensors", "the output is the input");
  places.expect_refused("file.safetensors", "file-link", "the output is the input");
  places.expect_refused("file-hard", "file.safetensors", "the output is the input");
  places.expect_refused("file.safetensors", "file-hard", "the output is the input");
}

TEST(RefuseOutputOnInput, ForTheFolderThatHoldsIt) {
  const Places places;
  places.expect_refused("model", "model/model.safetensors",
                        "the output would replace the folder of the input");
  places.expect_refused("model-link", "model/model.safetensors",
                        "the output would replace the folder of the input");
  places.expect_refused("", "model", "the output would replace the folder of the input");
}

TEST(RefuseOutputOnInput, ForAPlaceInsideIt) {
  const Places places;
  for (const char* output : {"model/out", "model/deep/out", "model-link/out", "model/out/"}) {
    places.expect_refused(output, "model", "the output lies inside the input");
  }
}

TEST(RefuseOutputOnInput, ForARelativePath) {
  const Places places;
  const fs::path before = fs::current_path();
  fs::current_path(places.dir.path());
  EXPECT_TRUE(
      holds(thrown_by<UsageError>([&] { refuse_output_on_input("model", places.dir / "model"); }),
            "the output is the input"));
  EXPECT_TRUE(holds(
      thrown_by<UsageError>([&] { refuse_output_on_input(places.dir / "model/out", "model"); }),
      "the output lies inside the input"));
  fs::current_path(before);
}

TEST(RefuseOutputOnInput, ButNotForNeighbours) {
  const Places places;
  const auto allow = [&](const char* output, const char* input) {
    EXPECT_NO_THROW(refuse_output_on_input(places.dir / output, places.dir / input))
        << output << " on " << input;
  };
  allow("out", "model");
  allow("model-2", "model");
  allow("mod", "model");
  allow("out", "file.safetensors");
  allow("model/out.safetensors", "model/model.safetensors");
  allow("model", "file.safetensors");
}

}  // namespace
}  // namespace suture::format
