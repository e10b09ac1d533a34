#include <ATen/Parallel.h>

#include "suture/spectrum.h"

#include "analyze.h"

namespace suture::apps {
namespace {

SpectrumReport measure_spectra(const std::vector<AnalyzedVector>& vectors,
                               const Arguments& arguments, const RunOptions& run) {
  SpectrumOptions options;
  options.rank = arguments.rank.value_or(options.rank);
  options.seed = arguments.seed.value_or(0);
  options.device = at::Device(arguments.device);
  options.run = run;
  if (run.threads > 0) at::set_num_threads(static_cast<int>(run.threads));
  return analyze_spectrum(vectors, options);
}

}  // namespace

const Command& analyze_command() {
  static const Command command{analyze_spec(), [](const Arguments& arguments) {
                                 return run_analyze(arguments, measure_spectra);
                               }};
  return command;
}

}  // namespace suture::apps
