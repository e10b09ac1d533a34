#include "suture/task.h"

#include <fstream>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/temp_dir.h"

namespace suture {
namespace {

class TaskFile : public ::testing::Test {
 protected:
  Task read(const std::string& content) {
    std::ofstream(path_) << content;
    return Task::open(path_.string());
  }

  // The fault of a file: the place and what was found.
  std::string fault(const std::string& content) {
    try {
      read(content);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "no fault";
  }

  test::TempDir dir_;
  std::filesystem::path path_ = dir_ / "quiz.jsonl";
};

TEST_F(TaskFile, ReadsChoices) {
  const Task task = read(
      "{\"context\": \"Capital of France:\", \"continuations\": [\" Rome\", \" Paris\"], "
      "\"gold\": 1}\n\n{\"context\": \"x\", \"choices\": [\"a\", \"b\"], \"gold\": 0}\n");
  EXPECT_EQ(task.kind(), TaskKind::kChoice);
  EXPECT_EQ(task.name(), "quiz");
  ASSERT_EQ(task.records().size(), 2U);
  EXPECT_EQ(task.records()[0].choices[1], "Paris");
  EXPECT_EQ(task.records()[1].continuations[0], " a");
  EXPECT_EQ(task.records()[1].line, 3U);
}

TEST_F(TaskFile, TheHeaderSetsThePrompt) {
  const Task task = read(
      "{\"task\": {\"name\": \"sums\", \"description\": \"Add.\\n\\n\", \"num_fewshot\": 1, "
      "\"fewshot\": [{\"prompt\": \"1+1=\", \"target\": \"2\"}, {\"prompt\": \"2+2=\", "
      "\"target\": \"4\"}], \"until\": \"\\n\"}}\n{\"prompt\": \"3+3=\", \"target\": \"6\"}\n");
  EXPECT_EQ(task.name(), "sums");
  EXPECT_EQ(task.preamble(), "Add.\n\n1+1= 2\n\n");
  EXPECT_EQ(task.records()[0].until, std::vector<std::string>{"\n"});
  ASSERT_EQ(task.settings().filters.size(), 1U);
  EXPECT_EQ(task.settings().filters[0].name, "none");
}

TEST_F(TaskFile, AHeaderMayLieBesideIt) {
  std::ofstream(dir_ / "quiz.task.json") << R"({"task": {"name": "other"}})";
  EXPECT_EQ(read("{\"text\": \"a\"}").name(), "other");
}

TEST_F(TaskFile, ARecordMayHaveAMemberCalledTask) {
  const Task task = read("{\"task\": \"sums\", \"prompt\": \"1+1=\"}\n{\"prompt\": \"2\"}\n");
  EXPECT_EQ(task.records().size(), 2U);
  EXPECT_EQ(task.name(), "quiz");
}

TEST_F(TaskFile, TheDigestFollowsTheContent) {
  const std::string first = read("{\"text\": \"a\"}").digest();
  EXPECT_EQ(read("{\"text\": \"a\"}").digest(), first);
  EXPECT_NE(read("{\"text\": \"b\"}").digest(), first);
}

TEST_F(TaskFile, RefusesWhatItCannotScore) {
  const std::string choice =
      "{\"context\": \"x\", \"continuations\": [\"a\", \"b\"], \"gold\": 0}\n";
  const std::vector<std::pair<std::string, std::string>> faults{
      {"", "no record"},
      {"\n\n", "no record"},
      {"{\"task\": {}}\n", "no record"},
      {"[1]\n", "quiz.jsonl:1"},
      {choice + "{\"text\": \"a\"}", "quiz.jsonl:2: a record for texts"},
      {"{\"text\": \"a\", \"prompt\": \"b\"}", "several kinds"},
      {"{\"context\": \"a\"}", "no known kind"},
      {"{\"text\": 3}", "'text' is of type number"},
      {"{\"text\": \"\"}", "'text' is empty"},
      {"{\"text\": \"a\", \"text\": \"b\"}", "quiz.jsonl:1"},
      {"{\"context\": \"x\", \"continuations\": [\"a\"], \"gold\": 0}", "1 continuations"},
      {"{\"context\": \"x\", \"continuations\": [], \"gold\": 0}", "0 continuations"},
      {"{\"context\": \"x\", \"continuations\": [\"a\", \"\"], \"gold\": 0}", "is empty"},
      {"{\"context\": \"x\", \"continuations\": [\"a\", \" \"], \"gold\": 0}", "is empty"},
      {"{\"context\": \"x\", \"continuations\": [\"a\", 4], \"gold\": 0}", "holds a number"},
      {"{\"context\": \"x\", \"continuations\": [\"a\", \"b\"], \"gold\": 2}", "'gold' is 2"},
      {"{\"context\": \"x\", \"continuations\": [\"a\", \"b\"], \"gold\": -1}", "'gold' is -1"},
      {"{\"context\": \"x\", \"continuations\": [\"a\", \"b\"], \"gold\": 0.5}", "'gold' is 0.5"},
      {"{\"context\": \"x\", \"continuations\": [\"a\", \"b\"]}", "no 'gold'"},
      {"{\"prompt\": \"x\", \"target\": \"y\", \"regex\": \"(\"}", "regular expression"},
      {"{\"task\": {\"metrics\": 1}}\n" + choice, "'metrics', which is not known"},
      {"{\"task\": {\"name\": \"../x\"}}\n" + choice, "the task's name"},
      {"{\"task\": {\"max_new_tokens\": 0}}\n" + choice, "'max_new_tokens' is 0"},
      {"{\"task\": {\"num_fewshot\": 2}}\n" + choice, "'num_fewshot' is 2"},
      {"{\"task\": {\"regexes_to_ignore\": [\"(\"]}}\n" + choice, "regular expression"},
      {choice + "{\"task\": {}}\n", "quiz.jsonl:2: a header behind records"},
      {"{\"task\": {\"filters\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}}\n" + choice,
       "two filters"},
  };
  for (const auto& [content, expected] : faults)
    EXPECT_NE(fault(content).find(expected), std::string::npos) << content << "\n"
                                                                << fault(content);
}

}  // namespace
}  // namespace suture
