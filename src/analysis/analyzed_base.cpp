#include "analysis/analyzed_base.h"

#include <utility>

#include "names/mapped_source.h"
#include "names/name_mapping.h"
#include "surgery/renamed_vector.h"
#include "surgery/sparse_source.h"

namespace suture {

namespace {

NameMapping mapping_onto_base(const AnalyzedVector& analyzed) {
  return analyzed.base ? mapping_between(analyzed.vector, *analyzed.base) : NameMapping();
}

}  // namespace

NameMapping mapping_from_base(const AnalyzedVector& analyzed) {
  const NameMapping onto = mapping_onto_base(analyzed);
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
    const NameMapping mapping = mapping_onto_base(analyzed);
    if (mapping.empty()) return base;
    return rename_source(base, inverse_of(mapping, base->tensors()));
  }
  const auto& terms = analyzed.vector.form().terms;
  return terms.size() == 1 ? terms.front().subtrahend : nullptr;
}

}  // namespace suture
