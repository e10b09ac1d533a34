// Reads a JSON list of comparisons and of lists of p values from standard input and prints what the
// paired statistics make of them: what tests/parity compares. Numbers go as texts, since JSON has
// neither infinities nor NaN.
//   {"arm": [...], "reference": [...], "kind": "share" | "mean", "family": N} | {"holm": [...]}
#include <cstdlib>
#include <exception>
#include <iostream>

#include <nlohmann/json.hpp>

#include "evaluate/paired_effect.h"

namespace {

using Json = nlohmann::json;
using namespace suture::evaluation;

std::vector<double> numbers(const Json& texts) {
  std::vector<double> values;
  for (const Json& text : texts)
    values.push_back(std::strtod(text.get<std::string>().c_str(), nullptr));
  return values;
}

Json number_or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json compare(const Json& request) {
  const EffectKind kind = request.at("kind") == "share" ? EffectKind::kShare : EffectKind::kMean;
  const PairedEffect effect =
      paired_effect(numbers(request.at("arm")), numbers(request.at("reference")), kind,
                    request.at("family").get<std::size_t>());
  return {
      {"n", effect.n},
      {"mean_arm", effect.mean_arm},
      {"mean_reference", effect.mean_reference},
      {"difference", effect.difference},
      {"standard_error", number_or_null(effect.standard_error)},
      {"interval", effect.interval ? Json{effect.interval->low, effect.interval->high} : Json()},
      {"p_value", number_or_null(effect.p_value)},
      {"smallest_detectable", number_or_null(effect.smallest_detectable)},
      {"gained", effect.gained},
      {"lost", effect.lost},
      {"non_finite", effect.non_finite}};
}

}  // namespace

int main() try {
  Json answers = Json::array();
  for (const Json& request : Json::parse(std::cin))
    answers.push_back(request.contains("holm") ? Json(holm(numbers(request["holm"])))
                                               : compare(request));
  std::cout << answers << "\n";
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
