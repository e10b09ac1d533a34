// `suture report` and `--html`, run as their users run them.

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/model_family.h"
#include "support/thrown.h"

namespace suture {
namespace {

using nlohmann::json;
using test::ended_with;
using test::holds;
using test::Outcome;
using test::read_file;
using test::write_file;

class Report : public test::ModelFamily {
 protected:
  Report() { make_vector(); }

  static json data_of(const std::string& html) {
    const std::string mark = "id=\"data\">";
    const std::size_t begin = html.find(mark) + mark.size();
    return json::parse(html.substr(begin, html.find("</script>", begin) - begin));
  }

  void expect_refused(const std::vector<std::string>& arguments, const std::string& word) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << outcome.out;
    EXPECT_TRUE(holds(outcome.err, word));
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
  }
};

TEST_F(Report, OfAnAnalysisHoldsItsJson) {
  EXPECT_TRUE(
      ended_with(run({"analyze", "v.safetensors", "--json", "a.json", "--html", "a.html"}), 0));
  const json data = data_of(read_file(dir_ / "a.html"));
  const json result = json::parse(read_file(dir_ / "a.json"));
  EXPECT_EQ(data["results"][0]["result"], result);
  EXPECT_EQ(data["command"],
            json({"suture", "analyze", "v.safetensors", "--json", "a.json", "--html", "a.html"}));
  EXPECT_EQ(data["inputs"][0]["name"], "v.safetensors");
  EXPECT_EQ(data["inputs"][0]["digest"].get<std::string>().size(), 32u);
  EXPECT_EQ(data["inputs"][0]["files"][0]["bytes"],
            std::filesystem::file_size(dir_ / "v.safetensors"));
  // From the file the same page but for where it came from.
  EXPECT_TRUE(ended_with(run({"report", "a.json", "--html", "b.html"}), 0));
  EXPECT_EQ(data_of(read_file(dir_ / "b.html"))["results"][0]["result"], result);
}

TEST_F(Report, TakesSeveralResults) {
  run({"analyze", "v.safetensors", "--json", "a.json", "-q"});
  run({"analyze", "tuned", "base", "--json", "b.json", "-q"});
  const Outcome outcome = run({"report", "a.json", "b.json", "--html", "-"});
  EXPECT_TRUE(ended_with(outcome, 0));
  const json data = data_of(outcome.out);
  EXPECT_EQ(data["results"].size(), 2u);
  EXPECT_EQ(data["results"][1]["source"], "b.json");
}

TEST_F(Report, TellsWhatRoundingLeavesInATarget) {
  EXPECT_TRUE(ended_with(
      run({"analyze", "v.safetensors", "--target", "target", "--html", "a.html", "-q"}), 0));
  const json vector = data_of(read_file(dir_ / "a.html"))["results"][0]["result"]["vectors"][0];
  const json injected =
      json::parse(run({"inject", "target", "v.safetensors", "-o", "out", "--json", "-"}).out);
  EXPECT_EQ(vector["total"]["realised"], injected["realised"]["total"]);
  for (const json& layer : injected["realised"]["layers"])
    EXPECT_EQ(vector["layers"][layer["layer"].get<std::size_t>()]["realised"]["cosine"],
              layer["cosine"]);
}

TEST_F(Report, RefusesWhatItCannotShowOrWrite) {
  run({"analyze", "v.safetensors", "--json", "a.json", "-q"});
  expect_refused({"report", "a.json"}, "--html");
  expect_refused({"report", "nowhere.json", "--html", "p.html"}, "nowhere.json");
  expect_refused({"report", "v.safetensors", "--html", "p.html"}, "v.safetensors");
  expect_refused({"report", "tuned/config.json", "--html", "p.html"}, "suture.analyze/1");
  write_file(dir_ / "deep.json", std::string(100'000, '['));
  expect_refused({"report", "deep.json", "--html", "p.html"}, "deep.json");
  expect_refused({"report", "a.json", "--html", "a.json"}, "a.json");
  write_file(dir_ / "mine.txt", "mine");
  expect_refused({"report", "a.json", "--html", "mine.txt"}, "mine.txt");
  expect_refused({"analyze", "v.safetensors", "--json", "x.json", "--html", "x.json"}, "x.json");
  expect_refused({"analyze", "v.safetensors", "--html", "tuned/model.safetensors"},
                 "model.safetensors");
  expect_refused({"analyze", "v.safetensors", "--target", "v.safetensors", "--html", "p.html"},
                 "vector");
  EXPECT_EQ(read_file(dir_ / "mine.txt"), "mine");
  EXPECT_FALSE(std::filesystem::exists(dir_ / "p.html"));
}

}  // namespace
}  // namespace suture
