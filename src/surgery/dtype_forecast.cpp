#include "surgery/dtype_forecast.h"

#include <algorithm>
#include <utility>

#include "kernels/difference.h"
#include "stream/worker_pool.h"
#include "surgery/donor_survey.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

constexpr std::uint64_t kPiece = 4096;
constexpr std::uint64_t kMaxPieces = 64;
// Where float64 helps at all, it shows in one element of some thousand.
constexpr std::uint64_t kPiecesForFloat64 = 8;

// A piece of a tensor's element range; the parts of it that have a difference are examined.
kernels::DifferenceFindings examine(const OutputTensor& output, std::uint64_t first,
                                    std::uint64_t count, TermReader& reader) {
  kernels::DifferenceFindings found;
  // Segments stand in order: the first that reaches into the piece begins at or before it.
  auto segment =
      std::upper_bound(output.segments.begin(), output.segments.end(), first,
                       [](std::uint64_t at, const Segment& s) { return at < s.first + s.count; });
  for (; segment != output.segments.end() && segment->first < first + count; ++segment) {
    if (segment->terms.empty()) continue;
    const std::uint64_t begin = std::max(first, segment->first);
    const std::uint64_t end = std::min(first + count, segment->first + segment->count);
    const auto length = static_cast<std::size_t>(end - begin);
    const kernels::TermTile term = reader.read(segment->terms, begin, length).front();
    found.append(kernels::examine_difference(term.minuend, term.subtrahend, length, {}, {}));
  }
  return found;
}

Dtype forecast(const OutputTensor& output, TermReader& reader) {
  const bool in_double = computes_in_double(output);
  if (in_double) return Dtype::kF64;
  const std::uint64_t elements = output.info.elements;
  const std::uint64_t pieces = std::min(kMaxPieces, (elements + kPiece - 1) / kPiece);
  kernels::DifferenceFindings found;
  for (std::uint64_t i = 0; i < pieces; ++i) {
    const std::uint64_t first =
        elements <= kMaxPieces * kPiece ? i * kPiece : elements / pieces * i;
    found.append(examine(output, first, std::min(kPiece, elements - first), reader));
    const Dtype needed = kernels::narrowest_exact_dtype(found, in_double);
    if (needed == Dtype::kF64 || (needed == Dtype::kF32 && i >= kPiecesForFloat64)) return needed;
  }
  return kernels::narrowest_exact_dtype(found, in_double);
}

}  // namespace

std::vector<Dtype> forecast_dtypes(const std::vector<OutputTensor>& outputs,
                                   const RunOptions& options) {
  std::vector<Dtype> dtypes(outputs.size());
  stream::run_jobs(outputs.size(), options, [&] {
    return [&, reader = TermReader()](std::size_t i) mutable {
      dtypes[i] = forecast(outputs[i], reader);
    };
  });
  return dtypes;
}

}  // namespace suture
