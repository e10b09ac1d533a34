#include "analyze.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "suture/analysis.h"
#include "suture/attention_heads.h"
#include "suture/error.h"
#include "suture/name_mapping.h"
#include "suture/surgery.h"

#include "common/command.h"
#include "common/page_output.h"
#include "common/talk.h"
#include "common/terminal.h"
#include "format/digest.h"
#include "lora/adapter_source.h"
#include "report/csv_report.h"
#include "report/json_report.h"
#include "report/spectrum_text.h"
#include "report/text_report.h"
#include "surgery/vector_digest.h"

namespace suture::apps {
namespace {

bool is_plain_model(const std::string& argument) {
  return parse_vector_argument(argument).subtrahend.empty() && !is_stored_vector(argument);
}

bool is_lone_adapter(const std::string& argument) {
  const VectorArgument parsed = parse_vector_argument(argument);
  return parsed.subtrahend.empty() && lora::is_adapter(parsed.minuend);
}

// Two models, or an adapter and a model, are TUNED and BASE of one vector; anything else is a list
// of vectors.
std::vector<std::pair<std::string, VectorArgument>> vectors_named_by(
    const std::vector<std::string>& arguments) {
  const bool two_models = arguments.size() == 2 && is_plain_model(arguments[1]) &&
                          (is_plain_model(arguments[0]) || is_lone_adapter(arguments[0]));
  if (two_models) {
    const std::string name = arguments[0] + " - " + arguments[1];
    return {{name, {name, arguments[0], arguments[1], 1}}};
  }
  std::vector<std::pair<std::string, VectorArgument>> vectors;
  for (const std::string& text : arguments) vectors.emplace_back(text, parse_vector_argument(text));
  return vectors;
}

std::vector<AnalyzedVector> open_vectors(const Arguments& arguments) {
  std::vector<AnalyzedVector> vectors;
  std::vector<std::string> names;  // of all: one vector may lack what another has
  for (const auto& [text, argument] : vectors_named_by(arguments.positional)) {
    const TaskVector vector = argument.scale * open_vector(argument);
    for (std::string& name : vector.names()) names.push_back(std::move(name));
    vectors.push_back({text, vector.only(arguments.only), {}});
    if (!argument.subtrahend.empty() && lora::is_adapter(argument.minuend))
      vectors.back().base = Checkpoint::open(argument.subtrahend);
    if (!arguments.base.empty()) vectors.back().base = Checkpoint::open(arguments.base);
  }
  arguments.only.require_matches(names);
  return vectors;
}

// Names that were read as others are said: nothing else here would.
void say_names_of_donors(const Arguments& arguments, const std::vector<AnalyzedVector>& vectors) {
  if (arguments.quiet) return;
  for (const AnalyzedVector& one : vectors)
    for (const NameMapping& mapping : one.vector.name_mappings())
      say("warning: names: the tuned model of " + printable(one.name) +
          " is read under the names of its base: " + mapping.to_string() + "\n");
}

std::vector<AnalyzedVector> named_alike(const Arguments& arguments,
                                        std::vector<AnalyzedVector> vectors) {
  CommonNames common = under_common_names(std::move(vectors));
  if (arguments.quiet) return std::move(common.vectors);
  for (const NamesRead& read : common.names) {
    NameMapping shown;
    shown.rules = read.rules;
    say("warning: names: " + read.model + " is read under the names of " + read.under + ": " +
        shown.to_string() + "\n");
  }
  for (const std::string& problem : common.problems)
    say("warning: names: " + problem + "; what has no name in common is not compared\n");
  return std::move(common.vectors);
}

// The model that --target names, seen to be fit for all vectors.
std::optional<Checkpoint> fit_target(const Arguments& arguments,
                                     const std::vector<AnalyzedVector>& vectors) {
  if (arguments.target.empty()) return std::nullopt;
  const Checkpoint target = open_target(arguments, arguments.target);
  for (const AnalyzedVector& one : vectors) {
    const Compatibility fit = check(target, one.vector, arguments.check);
    require_fit(fit);
    say_findings(arguments, fit);
  }
  return target;
}

void write_analysis_page(const Arguments& arguments, const std::vector<AnalyzedVector>& vectors,
                         const std::string& json, const RunOptions& options) {
  report::Page page;
  for (const AnalyzedVector& one : vectors) {
    page.title += (page.title.empty() ? "" : ", ") + one.name;
    page.inputs.push_back(
        page_input(one.name, one.vector, format::to_hex(content_digest(one.vector, options))));
  }
  if (!arguments.base.empty())
    page.inputs.push_back(page_input("base", arguments.base, Checkpoint::open(arguments.base)));
  if (!arguments.target.empty())
    page.inputs.push_back(
        page_input("target", arguments.target, Checkpoint::open(arguments.target)));
  page.results.push_back({"suture analyze", report::parse_result(json, "this analysis")});
  write_page(arguments, std::move(page));
}

// Passes over the vectors that the text report has no use for are left out.
void write_files(const Arguments& arguments, const std::vector<AnalyzedVector>& vectors,
                 const Analysis& analysis, const SpectrumReport* spectra,
                 const std::vector<RealisedChanges>& realised, const RunOptions& options) {
  if (!arguments.csv.empty()) write_result(arguments.csv, ".csv", report::to_csv(analysis));
  if (arguments.json.empty() && arguments.html.empty()) return;
  report::AnalysisExtras extras;
  extras.heads = measure_heads(vectors, options);
  extras.spectra = spectra;
  extras.target = arguments.target;
  extras.realised = realised;
  const std::string json = report::to_json(analysis, extras);
  if (!arguments.json.empty()) write_result(arguments.json, ".json", json);
  if (!arguments.html.empty()) write_analysis_page(arguments, vectors, json, options);
}

}  // namespace

int run_analyze(const Arguments& arguments, MeasureSpectra measure_spectra) {
  std::vector<AnalyzedVector> opened = open_vectors(arguments);
  if (arguments.target.empty()) say_names_of_donors(arguments, opened);
  // A vector is checked under its own names.
  const std::optional<Checkpoint> target = fit_target(arguments, opened);
  const std::vector<AnalyzedVector> vectors = named_alike(arguments, std::move(opened));
  const RunOptions run = with_terminal(arguments);
  const Analysis analysis = analyze(vectors, run);
  std::vector<RealisedChanges> realised;  // by vector
  if (target)
    for (const AnalyzedVector& one : vectors)
      realised.push_back(foresee_change(*target,
                                        under_names_of(*target, one.vector, arguments.check),
                                        arguments.check.vocabulary, run));
  std::optional<SpectrumReport> spectra;
  if (arguments.spectrum) spectra = measure_spectra(vectors, arguments, run);
  write_files(arguments, vectors, analysis, spectra ? &*spectra : nullptr, realised, run);
  if (arguments.json == "-" || arguments.csv == "-" || arguments.html == "-") return kDone;
  const report::TextStyle style = text_style(arguments);
  std::string foreseen;
  for (std::size_t v = 0; v < realised.size(); ++v)
    foreseen += "\n" + printable(vectors[v].name) + " in " + printable(arguments.target) + "\n" +
                report::to_text(realised[v]);
  write_stdout(report::to_text(analysis, style) + foreseen +
               (spectra ? report::to_text(*spectra, style) : ""));
  return kDone;
}

const CommandSpec& analyze_spec() {
  static const CommandSpec spec{
      "analyze",
      "analyze VECTOR... | TUNED BASE",
      "norms per tensor, module, block and layer, and how vectors compare",
      "L2 norm, norm relative to the base, RMS, largest magnitude, share of elements changed and "
      "a\n"
      "histogram of magnitudes; for several vectors cosine and sign agreement with its chance "
      "level. One\n"
      "streaming pass. With --spectrum also singular values, ranks, subspaces and masks, matrix "
      "by matrix.",
      {"suture analyze reasoning.safetensors",
       "suture analyze reasoning.safetensors coding.safetensors --html page.html"},
      {"only", "except", "base", "target", "vocab", "head", "allow", "spectrum", "rank", "device",
       "threads", "memory", "seed", "json", "csv", "html", "quiet", "ascii", "color"},
      1};
  return spec;
}

}  // namespace suture::apps
