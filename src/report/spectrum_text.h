#pragma once

#include <string>

#include "suture/spectrum.h"

#include "report/text.h"

namespace suture::report {

/// Spectra for people to read in a terminal: of every vector the tensors that stand out most from
/// noise, of every pair those whose subspaces are most alike. Tensor names are made printable.
std::string to_text(const SpectrumReport& report, const TextStyle& style);

}  // namespace suture::report
