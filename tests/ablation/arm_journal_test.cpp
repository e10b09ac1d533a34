#include "ablation/arm_journal.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/in_child.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace suture::ablation {
namespace {

using test::holds;
using test::is_one_plain_line;
using test::read_file;
using test::thrown_by;
using test::write_file;
using Limits = std::numeric_limits<double>;

std::vector<double> odd_numbers() {
  return {0.0,
          -0.0,
          1.0 / 3,
          0.1 + 0.2,
          -123456789.123456789,
          Limits::min(),
          Limits::max(),
          Limits::lowest(),
          Limits::epsilon(),
          Limits::denorm_min(),
          -2.5e-310,
          Limits::infinity(),
          -Limits::infinity(),
          Limits::quiet_NaN(),
          std::nextafter(1.0, 2.0),
          1e22,
          9007199254740993.0,
          -1.7976931348623155e308};
}

bool same_double(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

ScoredArm scored(double shift = 0) {
  ScoredArm made;
  ArmMetric share;
  share.task = "t\xC3\xA4sk \"1\"\n";
  share.name = "acc";
  share.filter = "none";
  share.is_share = true;
  share.records = {1, 0, 1};
  share.value = 2.0 / 3 + shift;
  ArmMetric loss = share;
  loss.name = "nll";
  loss.is_share = loss.higher_is_better = false;
  loss.records = odd_numbers();
  loss.value = Limits::quiet_NaN();
  made.metrics = {share, loss};
  made.realised = RealisedChange{~std::uint64_t{0}, 7, 3, 1.0 / 3, Limits::infinity(), -0.0};
  return made;
}

void expect_same(const ScoredArm& found, const ScoredArm& expected) {
  ASSERT_EQ(found.metrics.size(), expected.metrics.size());
  for (std::size_t m = 0; m < found.metrics.size(); ++m) {
    const ArmMetric &a = found.metrics[m], &b = expected.metrics[m];
    EXPECT_EQ(a.task, b.task);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.filter, b.filter);
    EXPECT_EQ(a.is_share, b.is_share);
    EXPECT_EQ(a.higher_is_better, b.higher_is_better);
    EXPECT_TRUE(same_double(a.value, b.value));
    ASSERT_EQ(a.records.size(), b.records.size());
    for (std::size_t i = 0; i < a.records.size(); ++i)
      EXPECT_TRUE(same_double(a.records[i], b.records[i])) << a.records[i] << " " << b.records[i];
  }
  ASSERT_EQ(found.realised.has_value(), expected.realised.has_value());
  if (!found.realised) return;
  EXPECT_EQ(found.realised->elements, expected.realised->elements);
  EXPECT_EQ(found.realised->changed, expected.realised->changed);
  EXPECT_EQ(found.realised->non_finite, expected.realised->non_finite);
  EXPECT_TRUE(same_double(found.realised->wanted_norm, expected.realised->wanted_norm));
  EXPECT_TRUE(same_double(found.realised->realised_norm, expected.realised->realised_norm));
  EXPECT_TRUE(same_double(found.realised->cosine, expected.realised->cosine));
}

class Journal : public testing::Test {
 protected:
  // The bytes of a journal of three arms.
  std::string written() const {
    {
      ArmJournal journal(path_, "run", true);
      journal.add("target", {});
      journal.add("vector", scored());
      journal.add("without 'x'", scored(1));
    }
    return read_file(path_);
  }

  std::string refusal(const std::string& content) const {
    write_file(path_, content);
    const std::string message = thrown_by([&] { ArmJournal(path_, "run", false); });
    EXPECT_TRUE(is_one_plain_line(message));
    EXPECT_EQ(read_file(path_), content) << "a file that was refused has changed";
    return message;
  }

  test::TempDir dir_;
  std::filesystem::path path_ = dir_ / "arms.jsonl";
};

TEST_F(Journal, GivesBackWhatWasAddedToTheBit) {
  written();
  const ArmJournal journal(path_, "run", false);
  EXPECT_EQ(journal.find("another"), nullptr);
  ASSERT_NE(journal.find("target"), nullptr);
  expect_same(*journal.find("target"), {});
  ASSERT_NE(journal.find("vector"), nullptr);
  expect_same(*journal.find("vector"), scored());
  ASSERT_NE(journal.find("without 'x'"), nullptr);
  expect_same(*journal.find("without 'x'"), scored(1));
}

TEST_F(Journal, KnowsAtOnceWhatWasAdded) {
  ArmJournal journal(path_, "run", false);
  EXPECT_EQ(journal.find("vector"), nullptr);
  journal.add("vector", scored());
  expect_same(*journal.find("vector"), scored());
}

TEST_F(Journal, IsTheSameBytesHoweverOftenItIsOpened) {
  const std::string whole = written();
  EXPECT_EQ(std::count(whole.begin(), whole.end(), '\n'), 4);
  std::filesystem::remove(path_);
  ArmJournal(path_, "run", false).add("target", {});
  ArmJournal(path_, "run", false).add("vector", scored());
  { const ArmJournal opened(path_, "run", false); }
  ArmJournal(path_, "run", false).add("without 'x'", scored(1));
  EXPECT_EQ(read_file(path_), whole);
}

// Wherever a killed process was, what is whole is known and the run ends with the same bytes.
TEST_F(Journal, DropsALineThatWasBeingWritten) {
  const std::string whole = written();
  std::size_t lines = 0;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    lines += size > 0 && whole[size - 1] == '\n' ? 1 : 0;
    write_file(path_, whole.substr(0, size));
    ArmJournal journal(path_, "run", false);
    ASSERT_EQ(journal.find("target") != nullptr, lines >= 2) << size;
    ASSERT_EQ(journal.find("vector") != nullptr, lines >= 3) << size;
    ASSERT_EQ(journal.find("without 'x'") != nullptr, lines >= 4) << size;
    if (lines < 2) journal.add("target", {});
    if (lines < 3) journal.add("vector", scored());
    if (lines < 4) journal.add("without 'x'", scored(1));
    ASSERT_EQ(read_file(path_), whole) << size;
  }
}

TEST_F(Journal, RefusesAnotherRunsUnlessToldToBeginAnew) {
  const std::string whole = written();
  const std::string message = thrown_by<UsageError>([&] { ArmJournal(path_, "other", false); });
  EXPECT_TRUE(holds(message, path_.string()));
  EXPECT_TRUE(holds(message, "another run"));
  EXPECT_EQ(read_file(path_), whole);
  const ArmJournal journal(path_, "other", true);
  EXPECT_EQ(journal.find("vector"), nullptr);
  EXPECT_EQ(read_file(path_), "{\"schema\":\"suture.arms/1\",\"fingerprint\":\"other\"}\n");
}

TEST_F(Journal, IsOneProcessesAtATime) {
  const auto opens = [&](bool begin_anew) {
    return test::in_child([&] {
      try {
        ArmJournal(path_, "run", begin_anew);
        return 0;
      } catch (const UsageError& error) {
        return std::string(error.what()).find("another process") != std::string::npos ? 1 : 2;
      }
    });
  };
  {
    ArmJournal journal(path_, "run", false);
    journal.add("vector", scored());
    const std::string before = read_file(path_);
    EXPECT_EQ(opens(false), 1);
    EXPECT_EQ(opens(true), 1);
    EXPECT_EQ(read_file(path_), before);
  }
  EXPECT_EQ(opens(false), 0);
}

TEST_F(Journal, RefusesContentsThatAreNotItsOwnByLine) {
  const std::string head = "{\"schema\":\"suture.arms/1\",\"fingerprint\":\"run\"}\n";
  const std::string good = R"({"arm":"a","metrics":[],"realised":null})"
                           "\n";
  const std::string metric =
      R"({"task":"t","metric":"m","filter":"f","is_share":true,"higher_is_better":true,)";
  const auto arm = [&](const std::string& rest) {
    return head + good + R"({"arm":"b","metrics":[)" + metric + rest + R"(}],"realised":null})" +
           "\n";
  };
  const std::vector<std::pair<std::string, int>> hostile{
      {"hello\n", 1},
      {"{}\n", 1},
      {"[1]\n", 1},
      {"5\n", 1},
      {"\n", 1},
      {std::string("\0\n", 2), 1},
      {R"({"schema":"suture.arms/2"})"
       "\n",
       1},
      {head + "\n", 2},
      {head + "null\n", 2},
      {head + "{\"arm\":\"a\"\n", 2},
      {head + R"({"arm":3,"metrics":[],"realised":null})" + "\n", 2},
      {head + R"({"arm":"a","metrics":null,"realised":null})" + "\n", 2},
      {head + R"({"arm":"a","metrics":{},"realised":null})" + "\n", 2},
      {head + R"({"arm":"a","metrics":"x","realised":null})" + "\n", 2},
      {head + R"({"arm":"a","metrics":[]})" + "\n", 2},
      {head + R"({"arm":"a","metrics":[],"realised":{}})" + "\n", 2},
      {head + R"({"arm":"a","metrics":[],"realised":7})" + "\n", 2},
      {head + R"({"arm":"a","metrics":[7],"realised":null})" + "\n", 2},
      {head + good + std::string(100, '[') + "\n", 3},
      {head + good + std::string(100, '[') + std::string(100, ']') + "\n", 3},
      {arm(R"("value":1)"), 3},
      {arm(R"("value":"one","records":[])"), 3},
      {arm(R"("value":null,"records":[])"), 3},
      {arm(R"("value":1e999,"records":[])"), 3},
      {arm(R"("value":1,"records":["infinity"])"), 3},
      {arm(R"("value":1,"records":[true])"), 3},
      {arm(R"("value":1,"records":[[1]])"), 3},
      {arm(R"("value":1,"records":null)"), 3},
      {arm(R"("value":1,"records":2)"), 3},
      {arm(R"("value":1,"records":"nan")"), 3},
      {arm(R"("value":1,"records":{"a":1})"), 3},
      {arm(R"("value":1,"value":2,"records":[])"), 3}};
  for (const auto& [content, line] : hostile) {
    const std::string message = refusal(content);
    const bool is_other_run = content.find("arms/2") != std::string::npos;
    const std::string place = is_other_run ? "" : ":" + std::to_string(line);
    EXPECT_TRUE(holds(message, path_.string() + place)) << content;
  }
}

// A file without a line end may be someone's, and is not ours to shorten.
TEST_F(Journal, RefusesAFileOfAnotherKindThatHasNoLineEnd) {
  for (const char* content : {"hello", "{\"a\": 1}", "{\"schema\":\"suture.eval/1\"}"})
    EXPECT_TRUE(holds(refusal(content), path_.string()));
}

TEST_F(Journal, RefusesAPlaceThatIsNoFile) {
  EXPECT_THROW(ArmJournal(dir_.path(), "run", false), IoError);
  EXPECT_THROW(ArmJournal(dir_ / "none" / "arms.jsonl", "run", false), IoError);
}

}  // namespace
}  // namespace suture::ablation
