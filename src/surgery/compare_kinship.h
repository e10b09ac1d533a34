#pragma once

#include "names/name_mapping.h"
#include "surgery/comparison.h"
#include "surgery/kinship.h"

namespace suture {

/// Whether both come from one start, by samples of their weights; of projections that are joined or
/// cut, each by itself.
void compare_kinship(Comparison& comparison);

/// Whether projections that `names` joins or cuts are those of the reference: rows in another order
/// than the mapping takes them to be in are unlike. Both samples have the mapping's new names, and
/// its old or new ones are those that the other's vector knows. Projections that it leaves out do
/// not matter.
enum class OwnNames { kOld, kNew };
void compare_parts(Comparison& comparison, const WeightSample& other, const WeightSample& reference,
                   const NameMapping& names, OwnNames own);

}  // namespace suture
