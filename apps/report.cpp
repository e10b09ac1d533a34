#include <filesystem>
#include <string>

#include "suture/error.h"

#include "common/command.h"
#include "common/page_output.h"

namespace suture::apps {
namespace {

namespace fs = std::filesystem;

report::PageInput input_of(const std::string& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return {path, "result", {}, {}, {{path, error ? 0 : bytes}}};
}

int run(const Arguments& arguments) {
  if (arguments.html.empty())
    throw UsageError({{}, {}, "no --html", "the file that the page is written to", {}});
  report::Page page;
  page.title = arguments.positional.front();
  for (const std::string& path : arguments.positional) {
    page.results.push_back({path, report::read_result(path)});
    page.inputs.push_back(input_of(path));
  }
  if (page.results.size() > 1)
    page.title += " and " + std::to_string(page.results.size() - 1) + " more";
  write_page(arguments, std::move(page));
  return kDone;
}

}  // namespace

const Command& report_command() {
  static const Command command{
      {"report",
       "report RESULT.json... --html PAGE",
       "an interactive page out of results of analyze, sweep and ablate",
       "One HTML file that works without a network: heat map of layers and modules with a switch "
       "of "
       "the\n"
       "measure, layer profiles, several vectors side by side, heads, spectra, every tensor in a "
       "table, and\n"
       "what leaving each layer out did, beside its size.",
       {"suture report analysis.json ablation/results.json --html page.html",
        "suture report results.json --html - > page.html"},
       {"html", "quiet"},
       1},
      run};
  return command;
}

}  // namespace suture::apps
