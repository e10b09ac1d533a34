#include "surgery/donor_survey.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>

#include "format/digest.h"
#include "kernels/convert.h"
#include "kernels/statistics.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

using kernels::kStatisticsTile;
using kernels::StoredTile;

// Digests and sums of one statistics tile, kept in a slot until all are there.
struct TileFindings {
  format::Digest tuned, base;
  double squares = 0, base_squares = 0;
};

// Room for one statistics tile in every form the survey needs.
struct Scratch {
  std::vector<float> floats = std::vector<float>(kStatisticsTile);
  std::vector<double> doubles = std::vector<double>(kStatisticsTile);
  std::vector<char> stored = std::vector<char>(kStatisticsTile * sizeof(double));
  std::vector<char> sum = std::vector<char>(kStatisticsTile * sizeof(double));
};

StoredTile part(StoredTile tile, std::size_t begin) {
  return {
      static_cast<const char*>(tile.data) + begin * static_cast<std::size_t>(bytes_of(tile.dtype)),
      tile.dtype};
}

std::uint64_t count_differing(const char* a, const char* b, std::size_t count, std::size_t width) {
  if (std::memcmp(a, b, count * width) == 0) return 0;
  std::uint64_t differing = 0;
  for (std::size_t i = 0; i < count; ++i)
    differing += std::memcmp(a + i * width, b + i * width, width) != 0;
  return differing;
}

// Elements where base + difference, as it would be injected, is not tuned to the bit.
std::uint64_t count_inexact(StoredTile tuned, StoredTile base, const void* difference, Dtype dtype,
                            std::size_t count, Scratch& scratch) {
  const kernels::TermTile term{{difference, dtype}, {}, 1};
  kernels::add_to_target(base, {&term, 1}, tuned.dtype, scratch.sum.data(), count);
  return count_differing(scratch.sum.data(), static_cast<const char*>(tuned.data), count,
                         static_cast<std::size_t>(bytes_of(tuned.dtype)));
}

class SurveyPass {
 public:
  SurveyPass(const std::vector<OutputTensor>& outputs, std::optional<Dtype> chosen)
      : outputs_(outputs),
        chosen_(chosen),
        result_{std::vector<SurveyedTensor>(outputs.size()), 0, 0, {}, {}, 0} {
    for (std::size_t tensor = 0; tensor < outputs.size(); ++tensor) {
      for (const Segment& segment : outputs[tensor].segments) {
        if (segment.terms.empty()) continue;
        segments_.push_back({tensor, &segment});
        counts_.push_back(segment.count);
        slots_.emplace_back((segment.count + kStatisticsTile - 1) / kStatisticsTile);
        result_.bytes_read += segment.count * TermReader::bytes_per_element(segment.terms);
      }
    }
  }

  DonorSurvey run(const RunOptions& options) {
    constexpr std::size_t kBytesPerElement = 2 * sizeof(double);
    const auto tiles =
        stream::cut_into_tiles(counts_, stream::tile_elements_within(options, kBytesPerElement));
    stream::ProgressMeter progress(options, "reading", result_.bytes_read);
    stream::run_jobs(tiles.size(), options, [&] {
      return [&, reader = TermReader(), scratch = Scratch()](std::size_t job) mutable {
        survey_tile(tiles[job], reader, scratch);
        progress.add(tiles[job].count *
                     TermReader::bytes_per_element(segments_[tiles[job].item].segment->terms));
      };
    });
    progress.finish();
    add_up();
    return std::move(result_);
  }

 private:
  struct SurveyedSegment {
    std::size_t tensor;
    const Segment* segment;
  };

  void survey_tile(const stream::Tile& tile, TermReader& reader, Scratch& scratch) {
    const Segment& segment = *segments_[tile.item].segment;
    const kernels::TermTile term =
        reader.read(segment.terms, segment.first + tile.first, tile.count).front();
    SurveyedTensor counts;
    for (std::size_t begin = 0; begin < tile.count; begin += kStatisticsTile) {
      const std::size_t count = std::min(kStatisticsTile, tile.count - begin);
      TileFindings& slot = slots_[tile.item][(tile.first + begin) / kStatisticsTile];
      survey_part(part(term.minuend, begin), part(term.subtrahend, begin), count, scratch, slot,
                  counts);
    }
    const std::lock_guard lock(merging_);
    SurveyedTensor& total = result_.tensors[segments_[tile.item].tensor];
    total.changed += counts.changed;
    total.inexact_in_float += counts.inexact_in_float;
    total.inexact_in_double += counts.inexact_in_double;
    total.inexact_in_chosen += counts.inexact_in_chosen;
  }

  void survey_part(StoredTile tuned, StoredTile base, std::size_t count, Scratch& scratch,
                   TileFindings& slot, SurveyedTensor& counts) {
    slot.tuned =
        format::digest_of(tuned.data, count * static_cast<std::size_t>(bytes_of(tuned.dtype)));
    slot.base =
        format::digest_of(base.data, count * static_cast<std::size_t>(bytes_of(base.dtype)));
    const kernels::TermTile difference{tuned, base, 1};
    if (kernels::computes_in_double({&difference, 1}, tuned.dtype)) {
      measure_and_test<double>(difference, count, scratch, scratch.doubles, slot, counts);
    } else {
      measure_and_test<float>(difference, count, scratch, scratch.floats, slot, counts);
    }
  }

  template <typename T>
  void measure_and_test(const kernels::TermTile& difference, std::size_t count, Scratch& scratch,
                        std::vector<T>& values, TileFindings& slot, SurveyedTensor& counts) {
    kernels::widen(difference.subtrahend.dtype, difference.subtrahend.data, values.data(), count);
    slot.base_squares = kernels::sum_of_squares(values.data(), count);
    kernels::sum_of_terms({&difference, 1}, values.data(), count);
    slot.squares = kernels::sum_of_squares(values.data(), count);
    counts.changed += static_cast<std::uint64_t>(
        std::count_if(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count),
                      [](T value) { return value != 0; }));
    test_exactness(difference, values.data(), count, scratch, counts);
  }

  template <typename T>
  void test_exactness(const kernels::TermTile& difference, const T* values, std::size_t count,
                      Scratch& scratch, SurveyedTensor& counts) {
    const auto inexact_as = [&](Dtype dtype, const auto* sums) {
      kernels::narrow(dtype, sums, scratch.stored.data(), count);
      return count_inexact(difference.minuend, difference.subtrahend, scratch.stored.data(), dtype,
                           count, scratch);
    };
    const std::uint64_t in_float = inexact_as(Dtype::kF32, values);
    counts.inexact_in_float += in_float;
    if (chosen_ && *chosen_ != Dtype::kF64) {
      counts.inexact_in_chosen += *chosen_ == Dtype::kF32 ? in_float : inexact_as(*chosen_, values);
    }
    if (in_float == 0) return;
    kernels::sum_of_terms({&difference, 1}, scratch.doubles.data(), count);
    counts.inexact_in_double += inexact_as(Dtype::kF64, scratch.doubles.data());
  }

  // The segments of one tensor together and in order, tensors by name.
  std::vector<std::size_t> segments_by_name() const {
    std::vector<std::size_t> order(segments_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return outputs_[segments_[a].tensor].info.name < outputs_[segments_[b].tensor].info.name;
    });
    return order;
  }

  // In an order of its own, so that neither sums nor digests depend on threads, buffers or shards.
  void add_up() {
    format::DigestStream tuned, base;
    std::size_t last_tensor = outputs_.size();
    for (const std::size_t i : segments_by_name()) {
      SurveyedTensor& total = result_.tensors[segments_[i].tensor];
      if (segments_[i].tensor != last_tensor) {
        last_tensor = segments_[i].tensor;
        const TensorInfo& info = outputs_[last_tensor].info;
        const std::string label = info.name + to_string(info.shape) + "\n";
        tuned.update(label);
        base.update(label);
      }
      for (const TileFindings& slot : slots_[i]) {
        tuned.update(slot.tuned);
        base.update(slot.base);
        total.squares += slot.squares;
        total.base_squares += slot.base_squares;
        result_.squares += slot.squares;
        result_.base_squares += slot.base_squares;
      }
    }
    result_.tuned_digest = to_hex(tuned.finish());
    result_.base_digest = to_hex(base.finish());
  }

  const std::vector<OutputTensor>& outputs_;
  std::optional<Dtype> chosen_;
  DonorSurvey result_;
  std::vector<SurveyedSegment> segments_;
  std::vector<std::uint64_t> counts_;
  std::vector<std::vector<TileFindings>> slots_;
  std::mutex merging_;
};

}  // namespace

DonorSurvey survey_donors(const std::vector<OutputTensor>& outputs, std::optional<Dtype> chosen,
                          const RunOptions& options) {
  return SurveyPass(outputs, chosen).run(options);
}

}  // namespace suture
