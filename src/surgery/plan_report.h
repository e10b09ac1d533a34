#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "suture/plan.h"
#include "suture/run_options.h"

#include "stream/weights_writer.h"
#include "surgery/form.h"
#include "surgery/plan.h"

namespace suture {

/// What describing a plan needs beside the output tensors themselves.
struct PlanContext {
  std::string output_path;
  const stream::WeightsLayout* layout = nullptr;
  std::vector<Plan::File> side_files;
  std::vector<std::string> left_out;  ///< `NAME (REASON)`, as in the reports.
  std::vector<SourcePtr> sources;     ///< Where tensors that are left out may stand.
  std::uint64_t passes = 1;           ///< How often the inputs are read.
  bool may_widen = false;             ///< Float32 outputs become float64 where the data needs it.
  bool estimated_header = false;      ///< The header will hold numbers that are yet to be measured.
  bool may_be_sparse = false;         ///< Tensors are stored sparse where that is smaller.
  /// What the headers may grow by if every tensor is stored sparse.
  std::uint64_t sparse_header_bytes = 0;
};

/// The plan as a user may see it. Reads nothing but the free space at the output. Throws nothing of
/// its own: where that cannot be told, all of the disk counts as free.
Plan describe(const std::vector<OutputTensor>& outputs, const PlanContext& context,
              const RunOptions& options);

/// Side files of `folder` with their sizes, to be copied as they are.
std::vector<Plan::File> sizes_of(const std::filesystem::path& folder,
                                 const std::vector<std::filesystem::path>& names);

}  // namespace suture
