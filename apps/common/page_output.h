#pragma once

#include <string>
#include <vector>

#include "suture/analysis.h"
#include "suture/checkpoint.h"
#include "suture/compatibility.h"
#include "suture/run_options.h"
#include "suture/task_vector.h"

#include "common/arguments.h"
#include "report/page.h"

namespace suture::apps {

/// A model as a page tells of it.
report::PageInput page_input(const std::string& role, const std::string& name,
                             const Checkpoint& model);

/// A vector, with the digest of all that it is read from (`content_digest`).
report::PageInput page_input(const std::string& name, const TaskVector& vector,
                             const std::string& digest);

/// The vectors' analysis as it stands on a page beside other results: with attention heads, and
/// what rounding leaves of each vector in `target`. Passes over the vectors.
report::PageResult analysis_result(const std::vector<AnalyzedVector>& vectors,
                                   const Checkpoint& target, const std::string& target_name,
                                   VocabularyPolicy vocabulary, const RunOptions& options);

/// Writes the page to --html, with the command line on it.
void write_page(const Arguments& arguments, report::Page page);

}  // namespace suture::apps
