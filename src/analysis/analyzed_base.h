#pragma once

#include "suture/analysis.h"

#include "surgery/form.h"
#include "surgery/sparse_source.h"

namespace suture {

/// What a vector is compared with: the base given, or the one it was formed with, which of one
/// difference is its subtrahend; null where there is neither.
inline SourcePtr base_of(const AnalyzedVector& analyzed) {
  if (analyzed.base) return open_source(*analyzed.base);
  const auto& terms = analyzed.vector.form().terms;
  return terms.size() == 1 ? terms.front().subtrahend : nullptr;
}

}  // namespace suture
