#include "analysis/analyzed_base.h"

#include "names/mapped_source.h"
#include "names/name_mapping.h"
#include "surgery/sparse_source.h"

namespace suture {

NameMapping mapping_onto_base(const AnalyzedVector& analyzed) {
  return analyzed.base ? mapping_between(analyzed.vector, *analyzed.base) : NameMapping();
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
