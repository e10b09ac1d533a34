#pragma once

#include "suture/analysis.h"
#include "suture/name_mapping.h"

#include "surgery/form.h"

namespace suture {

/// What a vector is compared with, under the vector's names: the base given, or the one it was
/// formed with, which of one difference is its subtrahend; null where there is neither.
SourcePtr base_of(const AnalyzedVector& analyzed);

/// How the names of the base given are read as the vector's. Empty without one.
NameMapping mapping_from_base(const AnalyzedVector& analyzed);

}  // namespace suture
