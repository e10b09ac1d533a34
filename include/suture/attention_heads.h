#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suture/analysis.h"
#include "suture/run_options.h"

namespace suture {

/// One attention projection, head by head. Query, key and value projections hold a head in
/// consecutive rows, the output projection in consecutive columns. With grouped queries the key and
/// value projections have fewer heads than the query projection.
struct HeadMeasures {
  std::string tensor;
  bool along_columns = false;
  std::int64_t head_size = 0;                ///< Rows or columns.
  std::vector<std::vector<double>> norms;    ///< L2, by vector and head.
  std::vector<std::vector<double>> cosines;  ///< By pair of vectors, in the order of
                                             ///< `Analysis::pairs`, and head; 0 where one is zero.
};

/// Measures the `q_proj`, `k_proj`, `v_proj` and `o_proj` matrices of all vectors head by head, in
/// one pass over them, with sums in float64 that depend on neither threads nor memory. The size of
/// a head is what the config.json beside the models says, or the metadata of a stored vector; none
/// are measured where neither is there, and no tensor is whose size it does not divide. Vectors as
/// `analyze` takes them. Throws IoError, Interrupted.
std::vector<HeadMeasures> measure_heads(const std::vector<AnalyzedVector>& vectors,
                                        const RunOptions& options = {});

}  // namespace suture
