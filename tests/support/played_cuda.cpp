// A stand-in for libsuture_cuda.so: the kernels' bodies, played on the host over host memory, one
// thread after the other. Built into a module of its own, so that it is loaded as the real one is.

#include <algorithm>
#include <vector>

#include "suture/version.h"

#include "kernels/cuda/interface.h"
#include "kernels/cuda/linear_form.h"
#include "kernels/cuda/statistics.h"
#include "kernels/cuda/tiles.h"

#ifndef PLAYED_VERSION
#define PLAYED_VERSION suture::kVersion
#endif

namespace suture::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

Status probe(int device) {
  return device == 0 ? Status{} : Status{"cudaSetDevice", "invalid device ordinal"};
}

Status add_in_place(int device, void*, const Update* updates, std::size_t update_count,
                    const Term* terms, std::size_t) {
  if (device != 0) return probe(device);
  // Backwards, since a device keeps no order either.
  for (std::size_t i = update_count; i-- > 0;) {
    const Update& update = updates[i];
    const Term* own = terms + update.terms.first;
    with_update_kind(kind_of(update, own), [&]<typename T, Dtype kTarget, typename Terms>() {
      const std::uint64_t tiles = tiles_of(update.count, kUpdateTile);
      for (std::uint64_t tile = 0; tile < tiles; ++tile) {
        for (unsigned thread = 0; thread < kThreads; ++thread)
          update_tile<T, kTarget, Terms>(update, own, tile, thread, kThreads);
      }
    });
  }
  return {};
}

template <typename T>
ValueStatistics value_tile(const Measurement& measurement, const Term* terms, std::uint64_t tile) {
  std::vector<std::uint16_t> bins(kHistogramBins * kLanes);
  ValueStatistics found;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const ValueLane part =
        measure_value_lane<T>(measurement, terms, tile, lane, bins.data() + lane, kLanes);
    found.sum_of_squares += part.squares;
    found.non_zero += part.non_zero;
    found.non_finite += part.non_finite;
    found.max_magnitude = std::max(found.max_magnitude, bits_as<double>(part.max_bits));
  }
  for (std::size_t i = 0; i < bins.size(); ++i) found.histogram[i / kLanes] += bins[i];
  return found;
}

template <typename T>
PairStatistics pair_tile(const Measurement& measurement, const Term* terms, std::uint64_t tile) {
  PairStatistics found;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const PairLane part = measure_pair_lane<T>(measurement, terms, tile, lane);
    found.dot += part.dot;
    found.both_non_zero += part.both_non_zero;
    found.same_sign += part.same_sign;
    found.first_positive += part.first_positive;
    found.second_positive += part.second_positive;
  }
  return found;
}

Status measure_values(int, void*, const Measurement* measurements, std::size_t count,
                      const Term* terms, std::size_t, ValueStatistics* results) {
  for (std::size_t i = 0; i < count; ++i) {
    const Measurement& measurement = measurements[i];
    for (std::uint64_t t = 0; t < tiles_of(measurement.count, kStatisticsTile); ++t) {
      results[i].append(measurement.in_double ? value_tile<double>(measurement, terms, t)
                                              : value_tile<float>(measurement, terms, t));
    }
    results[i].count = measurement.count;
  }
  return {};
}

Status measure_pairs(int, void*, const Measurement* measurements, std::size_t count,
                     const Term* terms, std::size_t, PairStatistics* results) {
  for (std::size_t i = 0; i < count; ++i) {
    const Measurement& measurement = measurements[i];
    for (std::uint64_t t = 0; t < tiles_of(measurement.count, kStatisticsTile); ++t) {
      results[i].append(measurement.in_double ? pair_tile<double>(measurement, terms, t)
                                              : pair_tile<float>(measurement, terms, t));
    }
  }
  return {};
}

constexpr Table kTable{PLAYED_VERSION, sizeof(Table),  probe,
                       add_in_place,   measure_values, measure_pairs};

}  // namespace

extern "C" __attribute__((visibility("default"))) const Table* suture_cuda_table() {
  return &kTable;
}

}  // namespace suture::kernels::cuda
