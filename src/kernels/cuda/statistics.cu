#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/statistics.h"

namespace suture::kernels::cuda {
namespace {

// A half-warp measures one tile: small blocks spread few tiles over the device.
constexpr unsigned kThreads = 64;
constexpr unsigned kTilesPerBlock = kThreads / kLanes;

using Counter = unsigned long long;  // what 64-bit atomics take

// Counts do not depend on the order they are added in, so atomics may add them; float sums may not.
struct ValueCounts {
  Counter non_zero, non_finite, max_bits;
  Counter histogram[kHistogramBins];
};
struct PairCounts {
  Counter both_non_zero, same_sign, first_positive, second_positive;
};

// The tables of a launch, in device memory.
struct MeasurementTables {
  const Measurement* measurements;
  const std::uint64_t* ends;  // of tiles
  const Term* terms;
  std::uint64_t measurement_count;
  std::uint64_t tile_count;
};

struct Place {
  unsigned lane;
  unsigned half_warp_mask;
  std::uint64_t tile;  // of the launch
};

__device__ Place place_of_thread(std::uint64_t first_block) {
  return {threadIdx.x % kLanes, 0xFFFFu << (threadIdx.x & 16u),
          (first_block + blockIdx.x) * kTilesPerBlock + threadIdx.x / kLanes};
}

// In lane order, from zero: what the CPU does.
__device__ double add_lanes(double value, unsigned mask) {
  double sum = 0;
  for (int lane = 0; lane < static_cast<int>(kLanes); ++lane) {
    sum = add(sum, __shfl_sync(mask, value, lane, kLanes));
  }
  return sum;
}

__device__ Counter max_lanes(Counter value, unsigned mask) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    const Counter other = __shfl_xor_sync(mask, value, distance, kLanes);
    value = other > value ? other : value;
  }
  return value;
}

__device__ void count_in(Counter* counter, std::uint32_t found) {
  if (found != 0) atomicAdd(counter, static_cast<Counter>(found));
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    measure_values_kernel(MeasurementTables tables, std::uint64_t first_block, ValueCounts* counts,
                          double* tile_sums) {
  __shared__ std::uint16_t bins[kHistogramBins][kThreads];
  static_assert(kLaneElements <= 0xFFFF);
  const Place place = place_of_thread(first_block);
  if (place.tile >= tables.tile_count) return;
  for (auto& bin : bins) bin[threadIdx.x] = 0;

  const TileOfTensor at = find_tile(tables.ends, tables.measurement_count, place.tile);
  const ValueLane found =
      measure_value_lane<T>(tables.measurements[at.tensor], tables.terms, at.tile, place.lane,
                            &bins[0][threadIdx.x], kThreads);
  __syncwarp(place.half_warp_mask);
  const double sum = add_lanes(found.squares, place.half_warp_mask);
  const std::uint32_t non_zero = __reduce_add_sync(place.half_warp_mask, found.non_zero);
  const std::uint32_t non_finite = __reduce_add_sync(place.half_warp_mask, found.non_finite);
  const Counter max_bits = max_lanes(found.max_bits, place.half_warp_mask);

  ValueCounts& total = counts[at.tensor];
  if (place.lane == 0) {
    tile_sums[place.tile] = sum;
    count_in(&total.non_zero, non_zero);
    count_in(&total.non_finite, non_finite);
    atomicMax(&total.max_bits, max_bits);
  }
  for (unsigned bin = place.lane; bin < kHistogramBins; bin += kLanes) {
    std::uint32_t in_bin = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      in_bin += bins[bin][threadIdx.x / kLanes * kLanes + lane];
    }
    count_in(&total.histogram[bin], in_bin);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    measure_pairs_kernel(MeasurementTables tables, std::uint64_t first_block, PairCounts* counts,
                         double* tile_sums) {
  const Place place = place_of_thread(first_block);
  if (place.tile >= tables.tile_count) return;
  const TileOfTensor at = find_tile(tables.ends, tables.measurement_count, place.tile);
  const PairLane found =
      measure_pair_lane<T>(tables.measurements[at.tensor], tables.terms, at.tile, place.lane);
  __syncwarp(place.half_warp_mask);
  const unsigned mask = place.half_warp_mask;
  const double sum = add_lanes(found.dot, mask);
  const std::uint32_t both = __reduce_add_sync(mask, found.both_non_zero);
  const std::uint32_t same = __reduce_add_sync(mask, found.same_sign);
  const std::uint32_t first = __reduce_add_sync(mask, found.first_positive);
  const std::uint32_t second = __reduce_add_sync(mask, found.second_positive);
  if (place.lane != 0) return;
  tile_sums[place.tile] = sum;
  PairCounts& total = counts[at.tensor];
  count_in(&total.both_non_zero, both);
  count_in(&total.same_sign, same);
  count_in(&total.first_positive, first);
  count_in(&total.second_positive, second);
}

// What the kernels leave: counts per measurement, a sum per tile.
template <typename Counts>
struct Found {
  std::vector<Counts> counts;
  std::vector<double> tile_sums;
};

// Runs `kernel` over measurements of one precision and brings back what it found.
template <typename Counts, typename Kernel>
Status run(cudaStream_t stream, const std::vector<Measurement>& measurements,
           const std::vector<std::uint64_t>& ends, const Term* terms, std::size_t term_count,
           Kernel* kernel, const char* kernel_name, Found<Counts>& found) {
  const std::uint64_t tiles = ends.back();
  found.counts.resize(measurements.size());
  found.tile_sums.resize(tiles);
  PackedTables packed;
  const std::size_t measurements_at = packed.add(measurements), ends_at = packed.add(ends),
                    terms_at = packed.add(terms, term_count),
                    counts_at = packed.add(found.counts);  // zeros
  const DeviceBuffer buffer(packed.bytes(), stream), sums(tiles * sizeof(double), stream);
  for (const Status& status : {buffer.status(), sums.status(), packed.send(buffer, stream)}) {
    if (failed(status)) return status;
  }
  const MeasurementTables tables{table_at<Measurement>(buffer, measurements_at),
                                 table_at<std::uint64_t>(buffer, ends_at),
                                 table_at<Term>(buffer, terms_at), measurements.size(), tiles};
  auto* counts = table_at<Counts>(buffer, counts_at);
  const Status launched = launch_blocks(
      tiles_of(tiles, kTilesPerBlock), kernel_name, [&](std::uint64_t first, unsigned blocks) {
        kernel<<<blocks, kThreads, 0, stream>>>(tables, first, counts,
                                                static_cast<double*>(sums.data()));
      });
  if (failed(launched)) return launched;
  Status copied =
      status_of(cudaMemcpyAsync(found.counts.data(), counts, found.counts.size() * sizeof(Counts),
                                cudaMemcpyDeviceToHost, stream),
                "cudaMemcpyAsync of the counts");
  if (failed(copied)) return copied;
  copied = status_of(cudaMemcpyAsync(found.tile_sums.data(), sums.data(), tiles * sizeof(double),
                                     cudaMemcpyDeviceToHost, stream),
                     "cudaMemcpyAsync of the sums");
  if (failed(copied)) return copied;
  return status_of(cudaStreamSynchronize(stream), kernel_name);
}

double total(const std::vector<double>& tile_sums, std::uint64_t begin, std::uint64_t end) {
  double sum = 0;
  for (std::uint64_t tile = begin; tile < end; ++tile) sum += tile_sums[tile];
  return sum;
}

void take(const ValueCounts& counts, double sum, std::uint64_t elements, ValueStatistics& result) {
  result.count = elements;
  result.non_zero = counts.non_zero;
  result.non_finite = counts.non_finite;
  result.sum_of_squares = sum;
  std::memcpy(&result.max_magnitude, &counts.max_bits, sizeof(double));
  std::copy_n(counts.histogram, kHistogramBins, result.histogram.begin());
}

void take(const PairCounts& counts, double sum, std::uint64_t, PairStatistics& result) {
  result.dot = sum;
  result.both_non_zero = counts.both_non_zero;
  result.same_sign = counts.same_sign;
  result.first_positive = counts.first_positive;
  result.second_positive = counts.second_positive;
}

template <typename Counts, typename Kernel, typename Result>
Status measure_in_precision(bool in_double, cudaStream_t stream, const Measurement* all,
                            std::size_t all_count, const Term* terms, std::size_t term_count,
                            Kernel* kernel, const char* kernel_name, Result* results) {
  std::vector<Measurement> measurements;
  std::vector<std::uint64_t> ends;
  std::vector<std::size_t> positions;
  std::uint64_t tiles = 0;
  for (std::size_t i = 0; i < all_count; ++i) {
    if (all[i].in_double != in_double || all[i].count == 0) continue;
    measurements.push_back(all[i]);
    positions.push_back(i);
    tiles += tiles_of(all[i].count, kStatisticsTile);
    ends.push_back(tiles);
  }
  if (measurements.empty()) return {};
  Found<Counts> found;
  const Status status =
      run(stream, measurements, ends, terms, term_count, kernel, kernel_name, found);
  if (failed(status)) return status;
  for (std::size_t i = 0; i < measurements.size(); ++i) {
    const double sum = total(found.tile_sums, i == 0 ? 0 : ends[i - 1], ends[i]);
    take(found.counts[i], sum, measurements[i].count, results[positions[i]]);
  }
  return {};
}

template <typename Counts, typename Kernel, typename Result>
Status measure(int device, void* stream_handle, const Measurement* measurements, std::size_t count,
               const Term* terms, std::size_t term_count, Kernel* in_float, Kernel* in_double,
               const char* kernel_name, Result* results) {
  std::fill_n(results, count, Result());
  const DeviceScope scope(device);
  if (failed(scope.status())) return scope.status();
  auto* stream = static_cast<cudaStream_t>(stream_handle);
  const Status status = measure_in_precision<Counts>(false, stream, measurements, count, terms,
                                                     term_count, in_float, kernel_name, results);
  if (failed(status)) return status;
  return measure_in_precision<Counts>(true, stream, measurements, count, terms, term_count,
                                      in_double, kernel_name, results);
}

}  // namespace

Status measure_values(int device, void* stream, const Measurement* measurements,
                      std::size_t measurement_count, const Term* terms, std::size_t term_count,
                      ValueStatistics* results) {
  return measure<ValueCounts>(device, stream, measurements, measurement_count, terms, term_count,
                              measure_values_kernel<float>, measure_values_kernel<double>,
                              "the kernel of values", results);
}

Status measure_pairs(int device, void* stream, const Measurement* measurements,
                     std::size_t measurement_count, const Term* terms, std::size_t term_count,
                     PairStatistics* results) {
  return measure<PairCounts>(device, stream, measurements, measurement_count, terms, term_count,
                             measure_pairs_kernel<float>, measure_pairs_kernel<double>,
                             "the kernel of pairs", results);
}

}  // namespace suture::kernels::cuda
