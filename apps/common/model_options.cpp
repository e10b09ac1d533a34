#include "common/model_options.h"

#include <ATen/Parallel.h>

#include "suture/error.h"

namespace suture::apps {

LanguageModelOptions model_options(const Arguments& arguments, const RunOptions& run) {
  LanguageModelOptions options;
  options.device = at::Device(arguments.device);
  options.dtype = arguments.dtype.value_or(Dtype::kF32);
  if (options.dtype == Dtype::kF64)
    throw UsageError({{}, {}, "--dtype f64", "f32, bf16 or f16, in which models compute", {}});
  options.ignore_unknown_settings = arguments.ignore_unknown_settings;
  options.run = run;
  if (run.threads > 0) at::set_num_threads(static_cast<int>(run.threads));
  return options;
}

}  // namespace suture::apps
