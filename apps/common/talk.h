#pragma once

#include <string>
#include <vector>

#include "common/arguments.h"

namespace suture::apps {

/// Says on stderr what was odd about opened models, unless asked to be quiet.
void say_warnings(const Arguments& arguments, const std::vector<Checkpoint>& models);

/// Says warnings of a compatibility check that did not stop the work.
void say_findings(const Arguments& arguments, const Compatibility& compatibility);

/// `wrote OUT: ` or `would write OUT: `.
std::string headline(const Arguments& arguments);

/// The output path; throws UsageError when there is none.
const std::string& require_output(const Arguments& arguments);

/// True when the argument names a stored vector rather than a model.
bool is_stored_vector(const std::string& location);

}  // namespace suture::apps
