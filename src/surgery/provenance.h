#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "suture/compatibility.h"
#include "suture/realised_change.h"

#include "surgery/form.h"

namespace suture {

/// How an edited model was made.
struct Provenance {
  std::string formula;
  std::string target;
  std::vector<SourcePtr> sources;
  std::optional<Dtype> dtype;
  std::size_t mapped_rows = 0, computed_tensors = 0, copied_tensors = 0;
  std::vector<std::string> left_out;
  std::optional<std::uint64_t> stochastic_seed;
  const RealisedChanges* realised = nullptr;
  const Compatibility* compatibility = nullptr;
};

/// The content of `suture.json`: no clock, no path, so that the same inputs give the same bytes.
std::string to_json_text(const Provenance& provenance);

/// A model's `config.json` with the dtype changed, in whichever spelling it uses, and nothing else.
std::string config_with_dtype(const std::filesystem::path& folder, Dtype dtype);

}  // namespace suture
