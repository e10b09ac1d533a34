#include "kernels/leftover.h"

#include <algorithm>

#include "kernels/convert.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/vectorize.h"

namespace suture::kernels {
namespace {

constexpr std::size_t kChunk = 512;  // a few of them in float64 stay in the first-level cache
static_assert(kChunk % kLanes == 0);

SUTURE_VECTORIZE void add(const double* a, const double* b, double* sum, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sum[i] = a[i] + b[i];
}

template <typename T>
SUTURE_INLINE void add_squares(const double* product, const T* change, std::size_t count,
                               Lanes& lanes) {
  add_products(count, lanes, [&](std::size_t i) {
    const double rest = product[i] - static_cast<double>(change[i]);
    return rest * rest;
  });
}

template <typename T>
SUTURE_INLINE void add_merged_squares(const double* merged, const double* base, const T* change,
                                      std::size_t count, Lanes& lanes) {
  add_products(count, lanes, [&](std::size_t i) {
    const double rest = merged[i] - base[i] - static_cast<double>(change[i]);
    return rest * rest;
  });
}

SUTURE_VECTORIZE void squares(const double* p, const float* c, std::size_t n, Lanes& lanes) {
  add_squares(p, c, n, lanes);
}
SUTURE_VECTORIZE void squares(const double* p, const double* c, std::size_t n, Lanes& lanes) {
  add_squares(p, c, n, lanes);
}
SUTURE_VECTORIZE void merged_squares(const double* m, const double* b, const float* c,
                                     std::size_t n, Lanes& lanes) {
  add_merged_squares(m, b, c, n, lanes);
}
SUTURE_VECTORIZE void merged_squares(const double* m, const double* b, const double* c,
                                     std::size_t n, Lanes& lanes) {
  add_merged_squares(m, b, c, n, lanes);
}

template <typename T>
LeftoverSquares sum_up(const double* product, const T* change, StoredTile base, std::size_t count) {
  Lanes of_change, of_merged;
  for (std::size_t first = 0; first < count; first += kChunk) {
    const std::size_t length = std::min(kChunk, count - first);
    squares(product + first, change + first, length, of_change);
    if (base.data == nullptr) continue;
    double weights[kChunk], merged[kChunk], rounded[kChunk];
    const auto width = static_cast<std::size_t>(bytes_of(base.dtype));
    widen(base.dtype, static_cast<const char*>(base.data) + first * width, weights, length);
    add(weights, product + first, merged, length);
    narrow(base.dtype, merged, rounded, length);
    widen(base.dtype, rounded, merged, length);
    merged_squares(merged, weights, change + first, length, of_merged);
  }
  return {of_change.total(), of_merged.total()};
}

}  // namespace

LeftoverSquares leftover_squares(const double* product, const float* change, StoredTile base,
                                 std::size_t count) {
  return sum_up(product, change, base, count);
}

LeftoverSquares leftover_squares(const double* product, const double* change, StoredTile base,
                                 std::size_t count) {
  return sum_up(product, change, base, count);
}

}  // namespace suture::kernels
