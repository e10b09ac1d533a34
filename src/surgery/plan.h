#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/linear_form.h"
#include "stream/tensor_sink.h"
#include "surgery/form.h"
#include "surgery/vocabulary_map.h"

namespace suture {

/// A run of consecutive elements of an output tensor that are made in one way: `origin + terms`, or
/// a copy of the origin when there are no terms, or the bare sum (zero without terms) when there is
/// no origin.
struct Segment {
  std::uint64_t first = 0, count = 0;  ///< Elements of the output tensor.
  const TensorSource* origin_source = nullptr;
  const TensorInfo* origin = nullptr;
  std::vector<ActiveTerm> terms;

  bool operator==(const Segment&) const = default;
};

/// How one output tensor is made. Its segments cover it in order.
struct OutputTensor {
  TensorInfo info;  ///< Name, dtype and shape; where it goes is the layout's matter.
  std::vector<Segment> segments;

  bool is_copied() const;
};

/// A whole tensor made in one way.
OutputTensor whole_tensor(TensorInfo info, Segment segment);

/// Bytes that making the outputs reads and writes.
std::uint64_t bytes_to_read(const std::vector<OutputTensor>& outputs);
std::uint64_t bytes_to_write(const std::vector<OutputTensor>& outputs);

/// Bytes of the buffers that `execute` takes, of all threads together, at most.
std::uint64_t buffer_bytes(const std::vector<OutputTensor>& outputs, const RunOptions& options);

/// Cuts a whole tensor by row: the rows of `runs` get the terms of `whole`, each operand read from
/// where its donor keeps the row (one shift per operand, minuend before subtrahend, term after
/// term); rows in between get the origin alone, or zero.
std::vector<Segment> segments_by_row(const Segment& whole, std::int64_t row_elements,
                                     const std::vector<RowRun>& runs);

/// Where the sink keeps each tensor, by name, and in which dtype.
using TensorPlaces = std::map<std::string, const TensorInfo*>;

/// Makes every output tensor and gives it to the sink, tile by tile in the order given, on the
/// threads and within the memory of `options`; sums are rounded to nearest even, or stochastically
/// with a seed. Returns what rounding made of each output that an origin and terms were added up
/// for. Throws IoError, Interrupted.
std::vector<kernels::ChangeSums> execute(const std::vector<OutputTensor>& outputs,
                                         const TensorPlaces& places, stream::TensorSink& sink,
                                         const RunOptions& options,
                                         std::optional<std::uint64_t> stochastic_seed = {});

}  // namespace suture
