#include "surgery/plan.h"

#include <algorithm>
#include <utility>

#include "format/checkpoint_access.h"
#include "format/digest.h"
#include "kernels/convert.h"
#include "kernels/statistics.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

using kernels::kStatisticsTile;

std::uint64_t width_of(Dtype dtype) { return static_cast<std::uint64_t>(bytes_of(dtype)); }

// True when the segment's bytes stand in a file as they are wanted.
bool is_file_copy(const Segment& segment, Dtype out) {
  return segment.terms.empty() && segment.origin != nullptr && segment.origin->dtype == out &&
         segment.origin->strides.empty() && segment.origin_source->is_in_file(*segment.origin);
}

// One segment and where it goes. The sums of each statistics tile have a slot of their own, so that
// they can be added in index order whichever thread was first.
struct Work {
  std::size_t output;
  const TensorInfo* place;
  const Segment* segment;
  kernels::Rounding rounding;
  mutable std::vector<kernels::ChangeSums> changes;
};

// One worker's way from stored inputs to written output. Operands are read, added up and measured
// one statistics tile at a time, so that they are still in the second-level cache when they are
// used; what is made of a whole tile is written at once.
class TileWorker {
 public:
  explicit TileWorker(stream::TensorSink& sink) : sink_(sink) {}

  // Makes elements [first, first + count) of `work`'s segment, counted from its own beginning.
  void make(const Work& work, std::uint64_t first, std::size_t count) {
    const TensorInfo& out = *work.place;
    const std::uint64_t begin = work.segment->first + first, width = width_of(out.dtype);
    if (is_file_copy(*work.segment, out.dtype)) return copy_in_kernel(out, work, begin, count);
    reserve(result_, count * width);
    for (std::size_t done = 0; done < count; done += kStatisticsTile) {
      const std::size_t part = std::min(kStatisticsTile, count - done);
      char* to = result_.data() + done * width;
      if (work.segment->origin != nullptr) {
        add_to_origin(work, begin + done, part, to, (first + done) / kStatisticsTile);
      } else {
        sum_terms(work, begin + done, part, to);
      }
    }
    sink_.write(out, begin * width, result_.data(), count * width);
  }

 private:
  void copy_in_kernel(const TensorInfo& out, const Work& work, std::uint64_t first,
                      std::size_t count) {
    const Segment& segment = *work.segment;
    const std::uint64_t begin = first * width_of(out.dtype);
    const format::File& file =
        CheckpointAccess::file(*segment.origin_source->checkpoint(), segment.origin->file);
    sink_.copy(out, begin, file, segment.origin->offset + begin, count * width_of(out.dtype));
  }

  void add_to_origin(const Work& work, std::uint64_t first, std::size_t count, char* to,
                     std::size_t slot) {
    const Segment& segment = *work.segment;
    const Dtype dtype = segment.origin->dtype, out = work.place->dtype;
    const std::uint64_t width = width_of(dtype);
    if (segment.terms.empty() && dtype == out)
      return segment.origin_source->read(*segment.origin, first * width, count * width, to);
    reserve(origin_, count * width);
    segment.origin_source->read(*segment.origin, first * width, count * width, origin_.data());
    const kernels::StoredTile origin{origin_.data(), dtype};
    if (segment.terms.empty()) return kernels::add_to_target(origin, {}, out, to, count);
    kernels::Rounding rounding = work.rounding;
    rounding.first_element = first;
    work.changes[slot] = kernels::add_to_target_measured(
        origin, reader_.read(segment.terms, first, count), out, to, count, rounding);
  }

  void sum_terms(const Work& work, std::uint64_t first, std::size_t count, char* to) {
    const auto& terms = work.segment->terms;
    const Dtype out = work.place->dtype;
    if (terms.empty()) {
      std::fill_n(to, count * width_of(out), '\0');
    } else if (sum_dtype(terms) == Dtype::kF64 || out == Dtype::kF64) {
      sum_in<double>(terms, first, count, out, to);
    } else {
      sum_in<float>(terms, first, count, out, to);
    }
  }

  template <typename T>
  void sum_in(const std::vector<ActiveTerm>& terms, std::uint64_t first, std::size_t count,
              Dtype out, char* to) {
    reserve(sum_, count * sizeof(T));
    auto* sum = reinterpret_cast<T*>(sum_.data());
    kernels::sum_of_terms(reader_.read(terms, first, count), sum, count);
    kernels::narrow(out, sum, to, count);
  }

  static void reserve(std::vector<char>& buffer, std::size_t bytes) {
    if (buffer.size() < bytes) buffer.resize(bytes);
  }

  stream::TensorSink& sink_;
  TermReader reader_;
  std::vector<char> origin_, result_, sum_;
};

// Copies of sub-byte dtypes cannot be cut at elements; they go whole, as bytes.
void copy_whole(const OutputTensor& output, const TensorInfo& place, stream::TensorSink& sink) {
  const Segment& segment = output.segments.front();
  std::vector<char> bytes(output.info.bytes);
  segment.origin_source->read(*segment.origin, 0, bytes.size(), bytes.data());
  sink.write(place, 0, bytes.data(), bytes.size());
}

bool is_measured(const Segment& segment) {
  return segment.origin != nullptr && !segment.terms.empty();
}

// Random bits are a function of seed, tensor name and element, so that neither order nor shards
// matter.
Work work_for(std::size_t output, const TensorInfo& place, const Segment& segment,
              std::optional<std::uint64_t> stochastic_seed) {
  Work work{output, &place, &segment, {}, {}};
  if (is_measured(segment)) work.changes.resize(segment.count / kStatisticsTile + 1);
  if (stochastic_seed) {
    work.rounding.stochastic = true;
    work.rounding.key = format::digest_of(std::to_string(*stochastic_seed) + "/" + place.name).low;
  }
  return work;
}

std::vector<kernels::ChangeSums> add_up(const std::vector<Work>& work, std::size_t outputs) {
  std::vector<kernels::ChangeSums> sums(outputs);
  for (const Work& item : work) {
    for (const kernels::ChangeSums& tile : item.changes) sums[item.output].append(tile);
  }
  return sums;
}

std::size_t buffer_bytes_per_element(const std::vector<OutputTensor>& outputs) {
  std::size_t most = 1;
  for (const OutputTensor& output : outputs) {
    for (const Segment& segment : output.segments)
      most = std::max(most, 3 * sizeof(double) + TermReader::bytes_per_element(segment.terms));
  }
  return most;
}

// Elements are counted from the segment's own beginning.
std::uint64_t bytes_read(const Segment& segment, std::uint64_t first, std::uint64_t count) {
  const std::uint64_t begin = segment.first + first;
  const std::uint64_t origin =
      segment.origin != nullptr ? segment.origin_source->bytes_behind(*segment.origin, begin, count)
                                : 0;
  return origin + TermReader::bytes_behind(segment.terms, begin, count);
}

}  // namespace

bool OutputTensor::is_copied() const {
  return std::all_of(segments.begin(), segments.end(),
                     [](const Segment& segment) { return segment.terms.empty(); });
}

OutputTensor whole_tensor(TensorInfo info, Segment segment) {
  segment.first = 0;
  segment.count = info.elements;
  return {std::move(info), {std::move(segment)}};
}

std::vector<Segment> segments_by_row(const Segment& whole, std::int64_t row_elements,
                                     const std::vector<RowRun>& runs) {
  if (row_elements == 0) return {whole};  // rows of nothing: no element to place
  std::vector<Segment> segments;
  const auto add_rows = [&](std::int64_t first, std::int64_t count) -> Segment& {
    segments.push_back(whole);
    segments.back().first = static_cast<std::uint64_t>(first * row_elements);
    segments.back().count = static_cast<std::uint64_t>(count * row_elements);
    return segments.back();
  };
  std::int64_t row = 0;
  for (const RowRun& run : runs) {
    if (run.first > row) add_rows(row, run.first - row).terms.clear();
    std::size_t operand = 0;
    for (ActiveTerm& term : add_rows(run.first, run.count).terms) {
      term.minuend_shift = run.shifts[operand++] * row_elements;
      if (term.subtrahend != nullptr) term.subtrahend_shift = run.shifts[operand++] * row_elements;
    }
    row = run.first + run.count;
  }
  const auto rows = static_cast<std::int64_t>(whole.count) / row_elements;
  if (row < rows) add_rows(row, rows - row).terms.clear();
  return segments;
}

std::uint64_t bytes_to_read(const std::vector<OutputTensor>& outputs) {
  std::uint64_t bytes = 0;
  for (const OutputTensor& output : outputs) {
    for (const Segment& segment : output.segments) {
      bytes += bytes_read(segment, 0, segment.count);
    }
  }
  return bytes;
}

std::uint64_t bytes_to_write(const std::vector<OutputTensor>& outputs) {
  std::uint64_t bytes = 0;
  for (const OutputTensor& output : outputs) bytes += output.info.bytes;
  return bytes;
}

std::uint64_t buffer_bytes(const std::vector<OutputTensor>& outputs, const RunOptions& options) {
  const std::uint64_t per_element = buffer_bytes_per_element(outputs);
  const std::uint64_t tile = stream::tile_elements_within(options, per_element);
  std::uint64_t tiles = 0, largest_tile = 0, largest_whole_copy = 0;
  for (const OutputTensor& output : outputs) {
    if (bytes_of(output.info.dtype) == 0) {
      largest_whole_copy = std::max(largest_whole_copy, output.info.bytes);
      continue;
    }
    for (const Segment& segment : output.segments) {
      tiles += (segment.count + tile - 1) / tile;
      largest_tile = std::max(largest_tile, std::min(tile, segment.count));
    }
  }
  const auto workers = std::min<std::uint64_t>(stream::thread_count(options), tiles);
  return std::max(workers * largest_tile * per_element, largest_whole_copy);
}

std::vector<kernels::ChangeSums> execute(const std::vector<OutputTensor>& outputs,
                                         const TensorPlaces& places, stream::TensorSink& sink,
                                         const RunOptions& options,
                                         std::optional<std::uint64_t> stochastic_seed) {
  stream::ProgressMeter progress(options, "writing",
                                 bytes_to_read(outputs) + bytes_to_write(outputs));
  std::vector<Work> work;
  std::vector<std::uint64_t> counts;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const TensorInfo* place = places.at(outputs[i].info.name);
    if (bytes_of(place->dtype) == 0) {
      copy_whole(outputs[i], *place, sink);
      progress.add(2 * outputs[i].info.bytes);
      continue;
    }
    for (const Segment& segment : outputs[i].segments) {
      work.push_back(work_for(i, *place, segment, stochastic_seed));
      counts.push_back(segment.count);
    }
  }
  const auto tiles = stream::cut_into_tiles(
      counts, stream::tile_elements_within(options, buffer_bytes_per_element(outputs)));
  stream::run_jobs(tiles.size(), options, [&] {
    return [&, worker = TileWorker(sink)](std::size_t job) mutable {
      const stream::Tile& tile = tiles[job];
      const Work& item = work[tile.item];
      worker.make(item, tile.first, tile.count);
      progress.add(bytes_read(*item.segment, tile.first, tile.count) +
                   tile.count * width_of(item.place->dtype));
    };
  });
  progress.finish();
  return add_up(work, outputs.size());
}

}  // namespace suture
