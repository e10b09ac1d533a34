#include "surgery/plan.h"

#include <algorithm>
#include <utility>

#include "format/checkpoint_access.h"
#include "kernels/convert.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

std::uint64_t width_of(Dtype dtype) { return static_cast<std::uint64_t>(bytes_of(dtype)); }

// True when the segment's bytes stand in a file as they are wanted.
bool is_file_copy(const Segment& segment, Dtype out) {
  return segment.terms.empty() && segment.origin != nullptr && segment.origin->dtype == out &&
         segment.origin->strides.empty() && segment.origin_source->checkpoint() != nullptr;
}

// One worker's way from stored inputs to written output.
class TileWorker {
 public:
  explicit TileWorker(stream::WeightsWriter& writer) : writer_(writer) {}

  // Makes elements [first, first + count) of `segment`, counted from its own beginning.
  void make(const TensorInfo& out, const Segment& segment, std::uint64_t first, std::size_t count) {
    first_ = segment.first + first;
    count_ = count;
    if (is_file_copy(segment, out.dtype)) {
      copy_in_kernel(out, segment);
    } else if (segment.origin != nullptr) {
      add_to_origin(out, segment);
    } else {
      sum_terms(out, segment);
    }
  }

 private:
  void copy_in_kernel(const TensorInfo& out, const Segment& segment) {
    const std::uint64_t begin = first_ * width_of(out.dtype);
    const format::File& file =
        CheckpointAccess::file(*segment.origin_source->checkpoint(), segment.origin->file);
    writer_.copy(out, begin, file, segment.origin->offset + begin, count_ * width_of(out.dtype));
  }

  void add_to_origin(const TensorInfo& out, const Segment& segment) {
    const Dtype dtype = segment.origin->dtype;
    const std::uint64_t width = width_of(dtype);
    reserve(origin_, count_ * width);
    segment.origin_source->read(*segment.origin, first_ * width, count_ * width, origin_.data());
    if (segment.terms.empty() && dtype == out.dtype) return write(out, origin_.data());
    reserve(result_, count_ * width_of(out.dtype));
    kernels::add_to_target({origin_.data(), dtype}, reader_.read(segment.terms, first_, count_),
                           out.dtype, result_.data(), count_);
    write(out, result_.data());
  }

  void sum_terms(const TensorInfo& out, const Segment& segment) {
    reserve(result_, count_ * width_of(out.dtype));
    if (segment.terms.empty()) {
      std::fill_n(result_.begin(), count_ * width_of(out.dtype), '\0');
    } else if (sum_dtype(segment.terms) == Dtype::kF64 || out.dtype == Dtype::kF64) {
      sum_in<double>(out, segment);
    } else {
      sum_in<float>(out, segment);
    }
    write(out, result_.data());
  }

  template <typename T>
  void sum_in(const TensorInfo& out, const Segment& segment) {
    reserve(sum_, count_ * sizeof(T));
    auto* sum = reinterpret_cast<T*>(sum_.data());
    kernels::sum_of_terms(reader_.read(segment.terms, first_, count_), sum, count_);
    kernels::narrow(out.dtype, sum, result_.data(), count_);
  }

  void write(const TensorInfo& out, const char* data) {
    writer_.write(out, first_ * width_of(out.dtype), data, count_ * width_of(out.dtype));
  }

  static void reserve(std::vector<char>& buffer, std::size_t bytes) {
    if (buffer.size() < bytes) buffer.resize(bytes);
  }

  stream::WeightsWriter& writer_;
  TermReader reader_;
  std::uint64_t first_ = 0;
  std::size_t count_ = 0;
  std::vector<char> origin_, result_, sum_;
};

// Copies of sub-byte dtypes cannot be cut at elements; they go whole, as bytes.
void copy_whole(const OutputTensor& output, const TensorInfo& place,
                stream::WeightsWriter& writer) {
  const Segment& segment = output.segments.front();
  std::vector<char> bytes(output.info.bytes);
  segment.origin_source->read(*segment.origin, 0, bytes.size(), bytes.data());
  writer.write(place, 0, bytes.data(), bytes.size());
}

struct Work {
  const OutputTensor* output;
  const TensorInfo* place;
  const Segment* segment;
};

std::size_t buffer_bytes_per_element(const std::vector<Work>& work) {
  std::size_t most = 1;
  for (const Work& item : work) {
    most = std::max(most, 3 * sizeof(double) + TermReader::bytes_per_element(item.segment->terms));
  }
  return most;
}

std::uint64_t bytes_moved(const Segment& segment, std::uint64_t count, Dtype out) {
  const std::uint64_t origin = segment.origin != nullptr ? width_of(segment.origin->dtype) : 0;
  return count * (origin + TermReader::bytes_per_element(segment.terms) + width_of(out));
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
      bytes += bytes_moved(segment, segment.count, output.info.dtype) -
               segment.count * width_of(output.info.dtype);
    }
  }
  return bytes;
}

std::uint64_t bytes_to_write(const std::vector<OutputTensor>& outputs) {
  std::uint64_t bytes = 0;
  for (const OutputTensor& output : outputs) bytes += output.info.bytes;
  return bytes;
}

void execute(const std::vector<OutputTensor>& outputs, stream::WeightsWriter& writer,
             const RunOptions& options) {
  const auto places = writer.layout().by_name();
  std::vector<Work> work;
  std::vector<std::uint64_t> counts;
  for (const OutputTensor& output : outputs) {
    const TensorInfo* place = places.at(output.info.name);
    if (bytes_of(output.info.dtype) == 0) {
      copy_whole(output, *place, writer);
      continue;
    }
    for (const Segment& segment : output.segments) {
      work.push_back({&output, place, &segment});
      counts.push_back(segment.count);
    }
  }
  const auto tiles = stream::cut_into_tiles(
      counts, stream::tile_elements_within(options, buffer_bytes_per_element(work)));
  stream::ProgressMeter progress(options, "writing",
                                 bytes_to_read(outputs) + bytes_to_write(outputs));
  stream::run_jobs(tiles.size(), options, [&] {
    return [&, worker = TileWorker(writer)](std::size_t job) mutable {
      const stream::Tile& tile = tiles[job];
      const Work& item = work[tile.item];
      worker.make(*item.place, *item.segment, tile.first, tile.count);
      progress.add(bytes_moved(*item.segment, tile.count, item.output->info.dtype));
    };
  });
  progress.finish();
}

}  // namespace suture
