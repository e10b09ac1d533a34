#pragma once

#include <vector>

#include "suture/spectrum.h"

#include "common/command.h"

namespace suture::apps {

/// Spectra need LibTorch, which `suture` does without: the model program has this, `suture` hands
/// --spectrum over to it.
using MeasureSpectra = SpectrumReport (*)(const std::vector<AnalyzedVector>& vectors,
                                          const Arguments& arguments, const RunOptions& run);

/// `suture analyze`; `measure_spectra` is called for --spectrum alone.
int run_analyze(const Arguments& arguments, MeasureSpectra measure_spectra);

}  // namespace suture::apps
