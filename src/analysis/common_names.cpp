#include <utility>

#include "suture/analysis.h"
#include "suture/error.h"
#include "suture/name_mapping.h"

#include "analysis/analyzed_base.h"
#include "surgery/renamed_vector.h"

namespace suture {
namespace {

// Notes how names were read; true when there is something to read.
bool note(const std::string& model, const std::string& under, const NameMapping& mapping,
          CommonNames& common) {
  for (const std::string& problem : mapping.problems)
    common.problems.push_back(model + " under the names of " + under + ": " + problem);
  if (mapping.empty()) return false;
  common.names.push_back({model, under, mapping.rules});
  return true;
}

}  // namespace

CommonNames under_common_names(std::vector<AnalyzedVector> vectors) {
  CommonNames common;
  for (AnalyzedVector& one : vectors) {
    const std::string name = printable(one.name);
    if (!common.vectors.empty()) {
      const AnalyzedVector& first = common.vectors.front();
      const NameMapping mapping = mapping_between(one.vector, tensors_of(first.vector));
      if (note(name, printable(first.name), mapping, common))
        one.vector = one.vector.renamed(mapping);
    }
    note("the base of " + name, name, mapping_from_base(one), common);
    common.vectors.push_back(std::move(one));
  }
  return common;
}

}  // namespace suture
