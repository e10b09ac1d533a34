#include "surgery/comparison.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "suture/error.h"

namespace suture {
namespace {

bool may_allow(std::string_view topic) { return topic != "shapes" && topic != "vocabulary"; }

}  // namespace

void Comparison::report(Severity severity, const char* topic, std::string found,
                        std::string meaning, std::string remedy) {
  if (severity == Severity::kBlocker && may_allow(topic) && options.allowed.count(topic) > 0)
    severity = Severity::kWarning;
  result.add({severity, topic, std::move(found), std::move(meaning), std::move(remedy)});
}

std::string Comparison::against(const std::string& mine, const std::string& theirs) const {
  return printable(mine) + " in " + reference.name + ", " + printable(theirs) + " in " + other.name;
}

std::string list_some(const std::vector<std::string>& items) {
  constexpr std::size_t kMaxShown = 6;
  std::string line;
  for (std::size_t i = 0; i < std::min(items.size(), kMaxShown); ++i)
    line += (i > 0 ? ", " : "") + items[i];
  return items.size() > kMaxShown
             ? line + ", and " + std::to_string(items.size() - kMaxShown) + " more"
             : line;
}

}  // namespace suture
