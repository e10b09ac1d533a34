#pragma once

#include <nlohmann/json_fwd.hpp>

#include "suture/explorer.h"

namespace suture::report {

/// What came of an edit, as the explorer's page reads it: `realised`, `score`, `sample`.
nlohmann::ordered_json describe(const EditOutcome& outcome);

}  // namespace suture::report
