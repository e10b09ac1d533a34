#include "report/explore_json.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "surgery/realised_change.h"

namespace suture::report {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no other numbers than finite ones.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json describe(const EditScore& score) {
  Json json{{"task", score.task},
            {"metric", score.metric},
            {"filter", score.filter},
            {"is_share", score.is_share},
            {"higher_is_better", score.higher_is_better},
            {"value", number(score.value)},
            {"reference_value", number(score.reference_value)},
            {"difference", number(score.difference)},
            {"interval_95", nullptr},
            {"records", score.records}};
  if (score.low && score.high) json["interval_95"] = {number(*score.low), number(*score.high)};
  return json;
}

}  // namespace

Json describe(const EditOutcome& outcome) {
  Json json{
      {"realised", suture::describe(outcome.realised)}, {"score", nullptr}, {"sample", nullptr}};
  if (outcome.score) json["score"] = describe(*outcome.score);
  if (outcome.sample)
    json["sample"] = {{"prompt", outcome.sample->prompt},
                      {"answer", outcome.sample->answer},
                      {"reference_answer", outcome.sample->reference_answer}};
  return json;
}

}  // namespace suture::report
