#pragma once

#include <string>
#include <vector>

#include "suture/analysis.h"
#include "suture/attention_heads.h"
#include "suture/compatibility.h"
#include "suture/spectrum.h"
#include "suture/surgery.h"

namespace suture::report {

/// Results as JSON text with a stable schema (`schema` names it and its version), ending in a
/// newline. docs/command-line.md lists the fields.
std::string to_json(const Compatibility& compatibility);

/// What an analysis may tell besides.
struct AnalysisExtras {
  const SpectrumReport* spectra = nullptr;  ///< Of the same vectors; null for none.
  std::vector<HeadMeasures> heads;
  std::string target;                     ///< The model that `realised` is for; empty for none.
  std::vector<RealisedChanges> realised;  ///< By vector; empty for no target.
};
std::string to_json(const Analysis& analysis, const AnalysisExtras& extras = {});

/// After a dry run with its plan, and of the plan's tensors only those `explained`, if given.
std::string to_json(const ExtractReport& report,
                    const std::vector<PlannedTensor>* explained = nullptr);
std::string to_json(const InjectReport& report,
                    const std::vector<PlannedTensor>* explained = nullptr);

}  // namespace suture::report
