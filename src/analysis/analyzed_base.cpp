#include "analysis/analyzed_base.h"

#include <utility>

#include "names/mapped_source.h"
#include "names/name_mapping.h"
#include "surgery/renamed_vector.h"
#include "surgery/sparse_source.h"

namespace suture {

NameMapping mapping_from_base(const AnalyzedVector& analyzed) {
  if (!analyzed.base) return {};
  const NameMapping onto = mapping_between(analyzed.vector, *analyzed.base);
  if (onto.empty()) return onto;  // with what stands in the way
  NameMapping from = inverse_of(onto, analyzed.base->tensors());
  // The rules of the way back, where it can be told by itself; of a part of a model those there.
  NameMapping shown = mapping_between(analyzed.base->tensors(), tensors_of(analyzed.vector));
  from.rules = shown.empty() ? onto.rules : std::move(shown.rules);
  return from;
}

SourcePtr base_of(const AnalyzedVector& analyzed) {
  if (analyzed.base) {
    const SourcePtr base = open_source(*analyzed.base);
    const NameMapping mapping = mapping_from_base(analyzed);
    return mapping.empty() ? base : rename_source(base, mapping);
  }
  const auto& terms = analyzed.vector.form().terms;
  return terms.size() == 1 ? terms.front().subtrahend : nullptr;
}

}  // namespace suture
