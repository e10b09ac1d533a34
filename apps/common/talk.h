#pragma once

#include <optional>
#include <string>
#include <vector>

#include "suture/plan.h"

#include "common/arguments.h"

namespace suture::apps {

/// Says on stderr what was odd about opened models, unless asked to be quiet.
void say_warnings(const Arguments& arguments, const std::vector<Checkpoint>& models);

/// The model that vectors are added to. Says what was odd about it; throws UsageError for a vector.
Checkpoint open_target(const Arguments& arguments, const std::string& location);

/// Says warnings of a compatibility check that did not stop the work.
void say_findings(const Arguments& arguments, const Compatibility& compatibility);

/// `wrote OUT: ` or `would write OUT: `.
std::string headline(const Arguments& arguments);

/// The tensors of a dry run's plan that --explain names. Throws UsageError for one that is not
/// there.
std::vector<PlannedTensor> explained_tensors(const Arguments& arguments,
                                             const std::optional<Plan>& plan);

/// Writes the plan of a dry run to stdout, unless JSON goes there; nothing after a real run.
void show_plan(const Arguments& arguments, const std::optional<Plan>& plan,
               const std::vector<PlannedTensor>& explained);

/// The output path; throws UsageError when there is none.
const std::string& require_output(const Arguments& arguments);

/// True when the argument names a stored vector rather than a model.
bool is_stored_vector(const std::string& location);

}  // namespace suture::apps
