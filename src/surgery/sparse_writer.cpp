#include "surgery/sparse_writer.h"

#include <map>
#include <string>

#include "suture/error.h"

#include "kernels/difference.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/sparse_tensor.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

// Where the parts of one tensor go, and how many values stand before each block.
struct Places {
  const TensorInfo* bitmap;
  const TensorInfo* values;
  std::vector<std::uint64_t> offsets;
};

class SparseTensorWriter {
 public:
  SparseTensorWriter(const SparseOutput& sparse, stream::WeightsWriter& writer,
                     const std::map<std::string, const TensorInfo*>& by_name)
      : sparse_(sparse), writer_(writer) {
    std::uint64_t values = 0;
    for (const std::uint64_t in_block : sparse.block_values) {
      places_.offsets.push_back(values);
      values += in_block;
    }
    const SparseParts parts = sparse_parts_of(sparse.output->info, values);
    places_.bitmap = by_name.at(parts.bitmap.name);
    places_.values = by_name.at(parts.values.name);
    const TensorInfo& table = *by_name.at(parts.offsets.name);
    writer.write(table, 0, places_.offsets.data(), table.bytes);
  }

  // One block; `first` is its first element.
  void write_block(TermReader& reader, std::uint64_t first, std::size_t count) {
    const OutputTensor& output = *sparse_.output;
    const auto width = static_cast<std::size_t>(bytes_of(output.info.dtype));
    thread_local std::vector<char> dense(kSparseBlock * sizeof(double)), values(dense.size());
    thread_local std::vector<std::uint8_t> bitmap(kSparseBlock / 8);
    const kernels::TermTile term = reader.read(output.segments.front().terms, first, count).front();
    kernels::examine_difference(term.minuend, term.subtrahend, count, {},
                                kernels::DifferenceOutput{output.info.dtype, dense.data()});
    const std::uint64_t block = first / kSparseBlock;
    const std::uint64_t kept = count_sparse_values(dense.data(), width, count);
    if (kept != sparse_.block_values[block]) {
      throw IoError({term_name(),
                     output.info.name,
                     "other content than a moment ago",
                     {},
                     "leave the models alone while they are read"});
    }
    compress(dense.data(), width, count, bitmap.data(), values.data());
    writer_.write(*places_.bitmap, first / 8, bitmap.data(), (count + 7) / 8);
    writer_.write(*places_.values, places_.offsets[block] * width, values.data(), kept * width);
  }

 private:
  std::string term_name() const {
    return sparse_.output->segments.front().terms.front().minuend_source->name();
  }

  const SparseOutput& sparse_;
  stream::WeightsWriter& writer_;
  Places places_;
};

}  // namespace

void write_sparse(const std::vector<SparseOutput>& outputs, stream::WeightsWriter& writer,
                  const RunOptions& options) {
  const auto by_name = writer.layout().by_name();
  std::vector<SparseTensorWriter> tensors;
  std::vector<std::uint64_t> counts;
  std::uint64_t bytes = 0;
  for (const SparseOutput& sparse : outputs) {
    tensors.emplace_back(sparse, writer, by_name);
    counts.push_back(sparse.output->info.elements);
    bytes += sparse.output->info.bytes;
  }
  const auto tiles = stream::cut_into_tiles(counts, kSparseBlock);
  stream::ProgressMeter progress(options, "writing", bytes);
  stream::run_jobs(tiles.size(), options, [&] {
    return [&, reader = TermReader()](std::size_t job) mutable {
      const stream::Tile& tile = tiles[job];
      tensors[tile.item].write_block(reader, tile.first, tile.count);
      progress.add(tile.count *
                   static_cast<std::uint64_t>(bytes_of(outputs[tile.item].output->info.dtype)));
    };
  });
  progress.finish();
}

}  // namespace suture
