#pragma once

#include <vector>

namespace suture::report {

/// The files of src/report/page, which the build puts into the program: the template, the style
/// sheets and the scripts, each in the order in which they are joined.
const std::vector<const char*>& page_template();
const std::vector<const char*>& page_styles();
const std::vector<const char*>& page_scripts();

}  // namespace suture::report
