#include "surgery/donor_survey.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>

#include "format/digest.h"
#include "kernels/statistics.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/sparse_tensor.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

using kernels::kStatisticsTile;
using kernels::StoredTile;

static_assert(kSparseBlock == kStatisticsTile);

// Digests and sums of one statistics tile, kept in a slot until all are there.
struct TileFindings {
  format::Digest tuned, base;
  double squares = 0, base_squares = 0;
};

std::size_t width_of(Dtype dtype) { return static_cast<std::size_t>(bytes_of(dtype)); }

StoredTile part(StoredTile tile, std::size_t begin) {
  return {static_cast<const char*>(tile.data) + begin * width_of(tile.dtype), tile.dtype};
}

// What one worker reuses.
struct Buffers {
  TermReader reader;
  std::vector<char> stored;  // the tile's difference
};

class SurveyPass {
 public:
  SurveyPass(const std::vector<OutputTensor>& outputs, const SurveyOptions& survey)
      : outputs_(outputs), survey_(survey), result_{} {
    result_.tensors.resize(outputs.size());
    if (writes_) places_ = survey.writer->layout().by_name();
    for (std::size_t tensor = 0; tensor < outputs.size(); ++tensor) add_tensor(tensor);
  }

  DonorSurvey run(const RunOptions& options) {
    const auto tiles = stream::cut_into_tiles(
        counts_, stream::tile_elements_within(options, kBufferBytesPerElement));
    stream::ProgressMeter progress(options, writes_ ? "writing" : "reading", bytes_total_);
    stream::run_jobs(tiles.size(), options, [&] {
      return [&, buffers = Buffers()](std::size_t job) mutable {
        survey_tile(tiles[job], buffers);
        const stream::Tile& tile = tiles[job];
        progress.add(bytes_moved(segments_[tile.item], tile.first, tile.count));
      };
    });
    progress.finish();
    add_up();
    return std::move(result_);
  }

 private:
  // Two donors and a difference of float64 at most.
  static constexpr std::size_t kBufferBytesPerElement = 3 * sizeof(double);

  struct SurveyedSegment {
    std::size_t tensor;
    const Segment* segment;
  };

  void add_tensor(std::size_t tensor) {
    const OutputTensor& output = outputs_[tensor];
    if (survey_.count_values && output.segments.size() == 1)
      result_.tensors[tensor].block_values.resize(blocks_of(output.info.elements));
    for (const Segment& segment : output.segments) {
      if (segment.terms.empty() && !writes_) continue;
      segments_.push_back({tensor, &segment});
      counts_.push_back(segment.count);
      slots_.emplace_back(blocks_of(segment.terms.empty() ? 0 : segment.count));
      bytes_total_ += bytes_moved(segments_.back(), 0, segment.count);
    }
  }

  // Of elements counted from the segment's own beginning.
  std::uint64_t bytes_moved(const SurveyedSegment& item, std::uint64_t first,
                            std::uint64_t count) const {
    return TermReader::bytes_behind(item.segment->terms, item.segment->first + first, count) +
           (survey_.writer != nullptr ? count * width_of(outputs_[item.tensor].info.dtype) : 0);
  }

  void survey_tile(const stream::Tile& tile, Buffers& buffers) {
    const SurveyedSegment& item = segments_[tile.item];
    const Dtype dtype = outputs_[item.tensor].info.dtype;
    const bool writes = writes_, is_stored = writes || survey_.count_values;
    if (is_stored && buffers.stored.size() < tile.count * width_of(dtype))
      buffers.stored.resize(tile.count * width_of(dtype));
    if (item.segment->terms.empty() && is_stored) {
      std::memset(buffers.stored.data(), 0, tile.count * width_of(dtype));
    } else if (!item.segment->terms.empty()) {
      examine_tile(item, tile, buffers, is_stored);
    }
    if (writes) {
      survey_.writer->write(*places_.at(outputs_[item.tensor].info.name),
                            (item.segment->first + tile.first) * width_of(dtype),
                            buffers.stored.data(), tile.count * width_of(dtype));
    }
  }

  void examine_tile(const SurveyedSegment& item, const stream::Tile& tile, Buffers& buffers,
                    bool is_stored) {
    const Segment& segment = *item.segment;
    const Dtype dtype = outputs_[item.tensor].info.dtype;
    const kernels::TermTile term =
        buffers.reader.read(segment.terms, segment.first + tile.first, tile.count).front();
    kernels::DifferenceFindings found;
    for (std::size_t begin = 0; begin < tile.count; begin += kStatisticsTile) {
      const std::size_t count = std::min(kStatisticsTile, tile.count - begin);
      const std::size_t slot = (tile.first + begin) / kStatisticsTile;
      std::optional<kernels::DifferenceOutput> output;
      if (is_stored) output = {dtype, buffers.stored.data() + begin * width_of(dtype)};
      found.append(examine_part(part(term.minuend, begin), part(term.subtrahend, begin), count,
                                output, slots_[tile.item][slot]));
      auto& values = result_.tensors[item.tensor].block_values;
      if (!values.empty()) values[slot] = count_sparse_values(output->data, width_of(dtype), count);
    }
    merge(item.tensor, found);
  }

  kernels::DifferenceFindings examine_part(StoredTile tuned, StoredTile base, std::size_t count,
                                           std::optional<kernels::DifferenceOutput> output,
                                           TileFindings& slot) const {
    slot.tuned = format::digest_of(tuned.data, count * width_of(tuned.dtype));
    slot.base = format::digest_of(base.data, count * width_of(base.dtype));
    kernels::DifferenceFindings found =
        survey_.minuend_is_difference
            ? examine_stored(tuned, base, count, output)
            : kernels::examine_difference(tuned, base, count, survey_.chosen, output);
    slot.squares = std::exchange(found.squares, 0);
    slot.base_squares = std::exchange(found.base_squares, 0);
    return found;
  }

  // What stands alone is a difference from zero.
  kernels::DifferenceFindings examine_stored(
      StoredTile difference, StoredTile base, std::size_t count,
      std::optional<kernels::DifferenceOutput> output) const {
    static const std::vector<char> zeros(kStatisticsTile * sizeof(float));
    const StoredTile zero{zeros.data(), Dtype::kF32};
    kernels::DifferenceFindings found =
        kernels::examine_difference(difference, zero, count, survey_.chosen, output);
    found.base_squares =
        kernels::examine_difference(base, zero, count, std::nullopt, std::nullopt).squares;
    return found;
  }

  // Counts may be merged in any order; the sums wait in their slots.
  void merge(std::size_t tensor, const kernels::DifferenceFindings& found) {
    const std::lock_guard lock(merging_);
    kernels::DifferenceFindings& total = result_.tensors[tensor].findings;
    total.append(found);
    if (!writes_ || survey_.chosen) return;
    const Dtype needed =
        kernels::narrowest_exact_dtype(total, computes_in_double(outputs_[tensor]));
    if (kernels::is_narrower(outputs_[tensor].info.dtype, needed)) writes_ = false;
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
      if (segments_[i].segment->terms.empty()) continue;
      kernels::DifferenceFindings& total = result_.tensors[segments_[i].tensor].findings;
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
  const SurveyOptions& survey_;
  std::atomic<bool> writes_{survey_.writer != nullptr};
  std::map<std::string, const TensorInfo*> places_;
  std::uint64_t bytes_total_ = 0;
  DonorSurvey result_;
  std::vector<SurveyedSegment> segments_;
  std::vector<std::uint64_t> counts_;
  std::vector<std::vector<TileFindings>> slots_;
  std::mutex merging_;
};

}  // namespace

bool computes_in_double(const OutputTensor& output) {
  return std::any_of(output.segments.begin(), output.segments.end(), [](const Segment& segment) {
    return sum_dtype(segment.terms) == Dtype::kF64;
  });
}

DonorSurvey survey_donors(const std::vector<OutputTensor>& outputs, const SurveyOptions& survey,
                          const RunOptions& options) {
  return SurveyPass(outputs, survey).run(options);
}

}  // namespace suture
