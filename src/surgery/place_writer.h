#pragma once

#include <vector>

#include "suture/run_options.h"

#include "surgery/form.h"
#include "surgery/original_weights.h"

namespace suture {

/// A place and the terms that it is to hold beside its original. The terms must outlive it.
struct PlaceWrite {
  std::size_t place;
  const std::vector<ActiveTerm>* terms;
};

/// Each place <- round(original + sum of terms), in place; its autograd version grows. On a device
/// it waits for what is queued there, before and after. When it throws, the places are undefined.
void write_places(const std::vector<PlaceWrite>& writes, const WeightPlaces& places,
                  const OriginalWeights& originals, const RunOptions& options);

}  // namespace suture
