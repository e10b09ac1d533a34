#pragma once

#include <string>

#include "suture/checkpoint.h"
#include "suture/run_options.h"
#include "suture/task_vector.h"

#include "common/arguments.h"
#include "report/page.h"

namespace suture::apps {

/// A model as a page tells of it.
report::PageInput page_input(const std::string& role, const std::string& name,
                             const Checkpoint& model);

/// A vector, with the digest of all that it is read from: a pass over its sources.
report::PageInput page_input(const std::string& name, const TaskVector& vector,
                             const RunOptions& options);

/// Writes the page to --html, with the command line on it.
void write_page(const Arguments& arguments, report::Page page);

}  // namespace suture::apps
