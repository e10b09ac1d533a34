#include "report/compatibility_json.h"

namespace suture::report {
namespace {

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::kBlocker:
      return "blocker";
    case Severity::kWarning:
      return "warning";
    default:
      return "note";
  }
}

}  // namespace

nlohmann::ordered_json describe(const Compatibility& compatibility) {
  using Json = nlohmann::ordered_json;
  Json json;
  json["fit"] = compatibility.fit();
  json["findings"] = Json::array();
  for (const Finding& finding : compatibility.findings) {
    json["findings"].push_back({{"severity", name_of(finding.severity)},
                                {"topic", finding.topic},
                                {"found", finding.found},
                                {"meaning", finding.meaning},
                                {"remedy", finding.remedy}});
  }
  for (const NamesRead& read : compatibility.names)
    json["names"].push_back({{"model", read.model}, {"under", read.under}, {"rules", read.rules}});
  json["kinship"] = Json::array();
  for (const KinshipPair& pair : compatibility.kinship) {
    json["kinship"].push_back({{"first", pair.first},
                               {"second", pair.second},
                               {"relative_distance", pair.relative_distance},
                               {"cosine", pair.cosine}});
  }
  return json;
}

}  // namespace suture::report
