#pragma once

#include <cstddef>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "suture/spectrum.h"

namespace suture::report {

/// Puts spectra into the JSON of an analysis of the same vectors: `spectrum` (or, for a tensor
/// that has none, `spectrum_reason`) into the tensors of every vector, `spectrum` into those of
/// every pair, and rank, seed and what was left out at the top. docs/command-line.md lists the
/// fields.
void add_spectra(nlohmann::ordered_json& analysis, const SpectrumReport& report);

}  // namespace suture::report
