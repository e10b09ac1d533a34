#include "common/page_output.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "suture/attention_heads.h"
#include "suture/surgery.h"

#include "common/terminal.h"
#include "report/json_report.h"
#include "surgery/form.h"

namespace suture::apps {
namespace {

void add_files(const Checkpoint& model, report::PageInput& input) {
  for (const std::filesystem::path& file : model.files()) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(file, error);
    input.files.emplace_back(file.string(), error ? 0 : bytes);
  }
}

}  // namespace

report::PageInput page_input(const std::string& role, const std::string& name,
                             const Checkpoint& model) {
  report::PageInput input{name, role, {}, {}, {}};
  add_files(model, input);
  return input;
}

report::PageInput page_input(const std::string& name, const TaskVector& vector,
                             const std::string& digest) {
  report::PageInput input{name, "vector", vector.formula(), digest, {}};
  for (const SourcePtr& source : sources_of(vector.form()))
    if (source->checkpoint() != nullptr) add_files(*source->checkpoint(), input);
  return input;
}

report::PageResult analysis_result(const std::vector<AnalyzedVector>& vectors,
                                   const Checkpoint& target, const std::string& target_name,
                                   VocabularyPolicy vocabulary, const RunOptions& options) {
  report::AnalysisExtras extras;
  extras.heads = measure_heads(vectors, options);
  extras.target = target_name;
  for (const AnalyzedVector& one : vectors)
    extras.realised.push_back(foresee_change(target, one.vector, vocabulary, options));
  const std::string json = report::to_json(analyze(vectors, options), extras);
  return {"suture analyze", report::parse_result(json, "the analysis")};
}

void write_page(const Arguments& arguments, report::Page page) {
  page.command = arguments.command_line;
  page.command.insert(page.command.begin(), "suture");
  write_result(arguments.html, ".html", report::to_html(page));
  if (!arguments.quiet && arguments.html != "-") say("wrote " + printable(arguments.html) + "\n");
}

}  // namespace suture::apps
