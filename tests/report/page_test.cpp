#include "report/page.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "suture/error.h"

#include "report/json_report.h"
#include "support/sample_analysis.h"
#include "support/thrown.h"

namespace suture::report {
namespace {

using format::Json;
using test::holds;
using test::thrown_by;

constexpr const char* kAblation = R"({"schema": "suture.ablation/1", "arms": [
  {"name": "vector", "kind": "vector", "family": "controls", "part": null, "metrics": [
    {"task": "t", "metric": "acc", "value": 0.25, "effect": null, "records": [0, 1, 0, 0]}]}]})";

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const std::size_t from = text.find(begin) + begin.size();
  return text.substr(from, text.find(end, from) - from);
}

Json data_of(const std::string& html) {
  return Json::parse(between(html, "id=\"data\">", "</script>"));
}

Page page_of(const std::string& json) {
  Page page;
  page.title = "a title";
  page.results.push_back({"source", parse_result(json, "file.json")});
  return page;
}

TEST(Page, HoldsTheNumbersOfTheResult) {
  const std::string json = to_json(test::sample_analysis());
  const Json data = data_of(to_html(page_of(json)));
  EXPECT_EQ(data["results"][0]["result"], Json::parse(json));
  EXPECT_EQ(data["results"][0]["source"], "source");
  EXPECT_EQ(data["title"], "a title");
  EXPECT_TRUE(data["explore"].is_null());
}

TEST(Page, LeavesOutScoresOfSingleRecords) {
  const Json data = data_of(to_html(page_of(kAblation)));
  const Json& metric = data["results"][0]["result"]["arms"][0]["metrics"][0];
  EXPECT_FALSE(metric.contains("records"));
  EXPECT_EQ(metric["value"], 0.25);
}

TEST(Page, ShowsHostileNamesAsData) {
  Analysis analysis = test::sample_analysis();
  const std::string hostile =
      "</script><script>alert(1)</script><!-- {{data}} {{script}} \xe2\x80\xae\xe2\x80\xa8\n\xff";
  analysis.tensors[0].name = hostile;
  Page page = page_of(to_json(analysis));
  page.title = hostile;
  page.command = {"suture", hostile};
  const std::string html = to_html(page);
  EXPECT_EQ(html.find("alert(1)</script>"), std::string::npos);
  const std::string data = between(html, "id=\"data\">", "</script>");
  EXPECT_EQ(data.find_first_of("<>&"), std::string::npos);
  for (const char c : data) EXPECT_LT(static_cast<unsigned char>(c), 0x7f);
  EXPECT_TRUE(holds(data_of(html)["title"].get<std::string>(), "</script><script>alert(1)"));
}

// That the hashes are the right ones a browser tells, which would run nothing else (tests/browser).
TEST(Page, AllowsItsOwnPartsAlone) {
  const std::string html = to_html(page_of(kAblation));
  const std::string policy = between(html, "Content-Security-Policy\" content=\"", "\"");
  EXPECT_TRUE(holds(policy, "default-src 'none'"));
  EXPECT_TRUE(holds(policy, "script-src 'sha256-"));
  EXPECT_EQ(policy.find("connect-src"), std::string::npos);
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  const std::string hash = between(policy, "script-src 'sha256-", "'");
  EXPECT_EQ(hash.size(), 44u);
  EXPECT_EQ(hash.back(), '=');
  Page live = page_of(kAblation);
  live.explore = {{"api", "/token/api"}};
  EXPECT_TRUE(holds(to_html(live), "connect-src 'self'"));
}

TEST(Page, LoadsNothing) {
  const std::string html = to_html(page_of(to_json(test::sample_analysis())));
  for (const char* outside : {"src=\"http", "src='http", "href=\"http", "url(http", "@import"})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
}

TEST(Page, RefusesWhatIsNoResult) {
  for (const char* text : {"[]", "1", "{}", R"({"schema": 3})", R"({"schema": "suture.eval/1"})",
                           R"({"schema": "suture.analyze/1"})",
                           R"({"schema": "suture.analyze/1", "vectors": [], "pairs": []})",
                           R"({"schema": "suture.analyze/1", "vectors": [1], "pairs": []})",
                           R"({"schema": "suture.analyze/1", "vectors": [{"name": "a", "total": {},
                               "layers": [], "blocks": [], "modules": [], "tensors": [{}]}],
                               "pairs": []})",
                           R"({"schema": "suture.ablation/1", "arms": [{"name": "a"}]})",
                           R"({"schema": "suture.ablation/1", "arms": [], "tasks": "text"})",
                           R"({"schema": "suture.ablation/1", "arms": [], "tasks": [null]})",
                           R"({"schema": "suture.ablation/1", "arms": [{"name": "a", "kind": "b",
                               "family": "c", "metrics": [{"task": "t", "metric": "m"}]}]})"}) {
    const std::string error = thrown_by<FormatError>([&] { parse_result(text, "odd.json"); });
    EXPECT_TRUE(holds(error, "odd.json")) << text << ": " << error;
  }
  Json analysis = Json::parse(to_json(test::sample_analysis()));
  const auto refuses = [&](const char* place, const char* value) {
    Json changed = analysis;
    changed[Json::json_pointer(place)] = Json::parse(value);
    return !thrown_by<FormatError>([&] { parse_result(changed.dump(), "f"); }).empty();
  };
  for (const char* histogram :
       {"1", "[]", R"({"counts": [1]})", R"({"first_exponent": 0})",
        R"({"first_exponent": 1000000000, "counts": [1]})",
        R"({"first_exponent": 0.5, "counts": [1]})", R"({"first_exponent": 0, "counts": [null]})",
        R"({"first_exponent": 0, "counts": [-1]})"}) {
    EXPECT_TRUE(refuses("/vectors/0/total/histogram", histogram)) << histogram;
    EXPECT_TRUE(refuses("/vectors/0/tensors/0/histogram", histogram)) << histogram;
  }
  EXPECT_TRUE(refuses("/vectors/0/tensors/0/module", R"({"toString": 1})"));
  EXPECT_TRUE(refuses("/vectors/0/tensors/0/spectrum", "[]"));
  EXPECT_TRUE(refuses("/vectors/0/tensors/0/spectrum", R"({"singular_values": ["a"]})"));
  EXPECT_TRUE(refuses("/pairs/0/tensors/0/spectrum", R"({"left_cosines": "text"})"));
  EXPECT_TRUE(holds(thrown_by<FormatError>([&] { parse_result(R"({"schema": "other/1"})", "f"); }),
                    "suture.analyze/1"));
}

}  // namespace
}  // namespace suture::report
