#include "serve/explore_endpoint.h"

#include <atomic>
#include <chrono>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

namespace suture::serve {
namespace {

using Json = nlohmann::ordered_json;

// An endpoint over a model that is a few numbers: what was asked, one at a time, until interrupted.
class ExploreEndpointTest : public testing::Test {
 protected:
  ExploreEndpointTest() {
    ExploreActions actions;
    actions.page = "<html>the page</html>";
    actions.vectors = 2;
    actions.apply = [this](const ModelEdit& edit) -> Json {
      EXPECT_EQ(++at_work_, 1) << "two edits at once";
      begun_ = true;
      while (waits_ && !stop_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      --at_work_;
      if (stop_) throw Interrupted();
      if (edit.scales[0] == 13) throw Error({"model", {}, "is odd", {}, {}});
      done_.push_back(edit.scales[0]);
      return {{"sum", edit.scales[0] + edit.scales[1]}, {"prompt_was", edit.prompt}};
    };
    actions.write = [this](const ModelEdit&, const std::string& name) -> Json {
      written_.push_back(name);
      return {{"written", name}};
    };
    endpoint_ = std::make_unique<ExploreEndpoint>("secret", std::move(actions), stop_);
  }

  HttpResponse ask(const std::string& path, const std::string& body,
                   const std::string& method = "POST") {
    return (*endpoint_)({method, path, {}, {}, body});
  }
  HttpResponse edit(const std::string& body) { return ask("/secret/api/edit", body); }

  std::atomic<bool> stop_{false}, waits_{false}, begun_{false};
  std::atomic<int> at_work_{0};
  std::vector<double> done_;
  std::vector<std::string> written_;
  std::unique_ptr<ExploreEndpoint> endpoint_;
};

TEST_F(ExploreEndpointTest, GivesThePageBehindItsTokenAlone) {
  EXPECT_EQ(ask("/secret/", "", "GET").body, "<html>the page</html>");
  EXPECT_EQ(ask("/secret/", "", "GET").headers.at("Referrer-Policy"), "no-referrer");
  for (const char* path : {"/", "", "/secret", "/secre/", "/secrets/", "/Secret/", "//", "/ecret/",
                           "/secret/api/../", "/secret/other", "/secretsecret/"})
    EXPECT_EQ(ask(path, "", "GET").status, 404) << path;
  EXPECT_EQ(ask("/wrong/api/edit", R"({"scales": [1, 2]})").status, 404);
  EXPECT_EQ(ask("/wrong/api/export", R"({"scales": [1, 2], "output": "a"})").status, 404);
  EXPECT_EQ(ask("/secret/api/edit", R"({"scales": [1, 2]})", "GET").status, 404);
  EXPECT_TRUE(done_.empty());
  EXPECT_TRUE(written_.empty());
}

TEST_F(ExploreEndpointTest, TokensAreLongAndDiffer) {
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) {
    const std::string token = random_token();
    EXPECT_EQ(token.size(), 32u);
    EXPECT_EQ(token.find_first_not_of("0123456789abcdef"), std::string::npos);
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), 100u);
}

TEST_F(ExploreEndpointTest, AnswersAnEdit) {
  const HttpResponse response = edit(
      R"({"edit": 7, "scales": [0.5, -2], "only": "layer=0-3&module=q_proj", "prompt": "hi"})");
  EXPECT_EQ(response.status, 200);
  const Json json = Json::parse(response.body);
  EXPECT_EQ(json["edit"], 7);
  EXPECT_EQ(json["sum"], -1.5);
  EXPECT_EQ(json["prompt_was"], "hi");
  EXPECT_EQ(json["scales"], Json::parse("[0.5, -2.0]"));
  EXPECT_EQ(json["only"], Selection::parse("layer=0-3 & module=q_proj").to_string());
  EXPECT_GE(json["seconds"], 0);
}

TEST_F(ExploreEndpointTest, RefusesWhatItDoesNotUnderstand) {
  for (const char* body :
       {"", "[]", "{", "null", R"({"scales": [1]})", R"({"scales": [1, 2, 3]})",
        R"({"scales": [1, "2"]})", R"({"scales": [1, null]})", R"({"scales": 1})",
        R"({"scales": [1, 2], "only": "layer=x"})", R"({"scales": [1, 2], "only": 3})",
        R"({"scales": [1, 2], "prompt": {}})", R"({"scales": [1e999, 2]})"}) {
    const HttpResponse response = edit(body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_TRUE(Json::parse(response.body)["error"].is_string()) << body;
  }
  EXPECT_EQ(edit(std::string(100'000, ' ')).status, 400);
  EXPECT_TRUE(done_.empty());
  EXPECT_EQ(edit(R"({"scales": [13, 0]})").status, 400);
  EXPECT_EQ(edit(R"({"scales": [1, 0]})").status, 200);
}

TEST_F(ExploreEndpointTest, WritesToPlainNamesAlone) {
  const auto body = [](const std::string& name) {
    return Json{{"scales", {1, 2}}, {"output", name}}.dump();
  };
  for (const std::string name : {"", ".", "..", "a/b", "/etc", "-o", ".hidden", "a\\b"})
    EXPECT_EQ(ask("/secret/api/export", body(name)).status, 400) << name;
  EXPECT_EQ(ask("/secret/api/export", body(std::string("a\0b", 3))).status, 400);
  EXPECT_TRUE(written_.empty());
  EXPECT_EQ(ask("/secret/api/export", body("layers 0 to 3")).status, 200);
  EXPECT_EQ(written_, std::vector<std::string>{"layers 0 to 3"});
}

TEST_F(ExploreEndpointTest, TheNewestOfOverlappingEditsIsCarriedOut) {
  waits_ = true;
  auto first =
      std::async(std::launch::async, [&] { return edit(R"({"edit": 1, "scales": [1, 0]})"); });
  while (!begun_) std::this_thread::yield();
  // What is refused does not disturb the edit under way.
  EXPECT_EQ(edit(R"({"scales": [1]})").status, 400);
  EXPECT_FALSE(stop_);
  std::vector<std::future<HttpResponse>> later;
  begun_ = false;
  for (int i = 2; i <= 8; ++i)
    later.push_back(std::async(std::launch::async, [&, i] {
      return edit(R"({"edit": )" + std::to_string(i) + R"(, "scales": [)" + std::to_string(i) +
                  ", 0]}");
    }));
  EXPECT_EQ(first.get().status, 409);
  waits_ = false;
  std::size_t carried_out = 0;
  for (auto& response : later) {
    const HttpResponse got = response.get();
    EXPECT_TRUE(got.status == 200 || got.status == 409) << got.status;
    if (got.status == 409) {
      EXPECT_EQ(Json::parse(got.body)["superseded"], true);
    }
    carried_out += got.status == 200 ? 1 : 0;
  }
  EXPECT_EQ(done_.size(), carried_out);
  EXPECT_GE(carried_out, 1u) << "the newest was passed over, too";
  EXPECT_FALSE(stop_);
}

TEST_F(ExploreEndpointTest, NothingIsCarriedOutOnceItIsClosed) {
  waits_ = true;
  auto first = std::async(std::launch::async, [&] { return edit(R"({"scales": [1, 0]})"); });
  while (!begun_) std::this_thread::yield();
  endpoint_->close();
  EXPECT_EQ(first.get().status, 409);
  EXPECT_EQ(edit(R"({"scales": [2, 0]})").status, 409);
  EXPECT_TRUE(done_.empty());
}

}  // namespace
}  // namespace suture::serve
