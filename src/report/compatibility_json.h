#pragma once

#include <nlohmann/json.hpp>

#include "suture/compatibility.h"

namespace suture::report {

/// `fit`, `findings[]`, `kinship[]`, and `names[]` where some were read as others.
nlohmann::ordered_json describe(const Compatibility& compatibility);

}  // namespace suture::report
