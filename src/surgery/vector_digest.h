#pragma once

#include "suture/run_options.h"
#include "suture/task_vector.h"

#include "format/digest.h"

namespace suture {

/// The digest of everything that a vector is read from: names, dtypes, shapes and bytes of the
/// tensors of every source, in order. Two vectors with one digest and one formula are the same.
/// Cost: a pass over the sources. Throws IoError, Interrupted.
format::Digest content_digest(const TaskVector& vector, const RunOptions& options = {});

/// The same of a model.
format::Digest content_digest(const Checkpoint& model, const RunOptions& options = {});

}  // namespace suture
