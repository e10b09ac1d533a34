#include "surgery/measure.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "suture/error.h"

#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

using kernels::kStatisticsTile;

std::atomic<MeasureResident> measure_resident_installed{nullptr};

// One tensor of the pass: what each vector needs from it, and a slot per tile for every sum, so
// that sums can be added in index order whichever thread was first.
struct Item {
  std::vector<std::vector<ActiveTerm>> terms;  // by vector
  std::vector<const TensorInfo*> bases;        // by vector, null where there is none
  std::vector<std::vector<double>> squares, base_squares, dots;
};

class MeasuringPass {
 public:
  MeasuringPass(const std::vector<MeasuredVector>& vectors, const RunOptions& options)
      : vectors_(vectors), options_(options) {
    collect_tensors();
  }

  std::vector<TensorMeasures> run();

 private:
  struct Buffers {
    std::vector<TermReader> readers;
    std::vector<std::vector<double>> values;  // by vector; holds floats or doubles
    std::vector<char> base_bytes;
  };

  void collect_tensors();
  void add_tensor(const std::string& name, const TensorInfo& info);
  void prepare_item(Item& item, const TensorMeasures& tensor) const;
  std::uint64_t bytes_behind(std::size_t item, std::uint64_t first, std::uint64_t count) const;
  std::uint64_t bytes_to_read() const;
  std::size_t bytes_per_element() const;
  void measure_tile(const stream::Tile& tile, Buffers& buffers);
  template <typename T>
  void measure_in(const stream::Tile& part, Buffers& buffers, TensorMeasures& found);
  double base_squares(const stream::Tile& part, std::size_t vector,
                      std::span<const kernels::TermTile> terms, Buffers& buffers);
  void merge_counts(std::size_t item, const TensorMeasures& found);
  void add_up();

  const std::vector<MeasuredVector>& vectors_;
  const RunOptions& options_;
  std::vector<TensorMeasures> tensors_;
  std::vector<Item> items_;
  std::unordered_map<std::string, std::size_t> positions_;
  std::mutex merging_;
};

void MeasuringPass::collect_tensors() {
  for (const MeasuredVector& measured : vectors_) {
    for (const std::string& name : measured.vector.names()) {
      add_tensor(name, *active_terms(measured.vector.form(), name).front().minuend);
    }
  }
  items_.resize(tensors_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) prepare_item(items_[i], tensors_[i]);
}

void MeasuringPass::add_tensor(const std::string& name, const TensorInfo& info) {
  const auto [at, is_new] = positions_.emplace(name, tensors_.size());
  if (!is_new) {
    const TensorMeasures& known = tensors_[at->second];
    if (known.shape == info.shape) return;
    throw CompatibilityError(
        {{},
         name,
         to_string(info.shape) + " in one vector, " + to_string(known.shape) + " in another",
         "one shape",
         "compare vectors of one architecture"});
  }
  TensorMeasures tensor;
  tensor.name = name;
  tensor.shape = info.shape;
  tensor.elements = info.elements;
  tensor.values.resize(vectors_.size());
  tensor.base_squares.assign(vectors_.size(), -1);
  tensor.pairs.resize(vectors_.size() * (vectors_.size() - 1) / 2);
  tensors_.push_back(std::move(tensor));
}

void MeasuringPass::prepare_item(Item& item, const TensorMeasures& tensor) const {
  const std::size_t tiles = (tensor.elements + kStatisticsTile - 1) / kStatisticsTile;
  for (const MeasuredVector& measured : vectors_) {
    item.terms.push_back(active_terms(measured.vector.form(), tensor.name));
    item.bases.push_back(usable_base(measured, tensor));
  }
  item.squares.assign(vectors_.size(), std::vector<double>(tiles));
  item.base_squares.assign(vectors_.size(), std::vector<double>(tiles));
  item.dots.assign(tensor.pairs.size(), std::vector<double>(tiles));
}

// True when the base's elements come along with a term, as its subtrahend.
bool base_is_subtrahend(const std::vector<ActiveTerm>& terms, const TensorInfo* base) {
  return terms.size() == 1 && terms.front().subtrahend == base;
}

std::uint64_t MeasuringPass::bytes_behind(std::size_t item, std::uint64_t first,
                                          std::uint64_t count) const {
  const auto& terms = items_[item].terms;
  const auto& bases = items_[item].bases;
  std::uint64_t bytes = 0;
  for (std::size_t v = 0; v < terms.size(); ++v) {
    bytes += TermReader::bytes_behind(terms[v], first, count);
    if (bases[v] != nullptr && !base_is_subtrahend(terms[v], bases[v]))
      bytes += vectors_[v].base->bytes_behind(*bases[v], first, count);
  }
  return bytes;
}

std::uint64_t MeasuringPass::bytes_to_read() const {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) bytes += bytes_behind(i, 0, tensors_[i].elements);
  return bytes;
}

std::size_t MeasuringPass::bytes_per_element() const {
  std::size_t most = 0;
  for (const Item& item : items_) {
    std::size_t bytes = sizeof(double) * (vectors_.size() + 1);
    for (const auto& terms : item.terms)
      bytes += TermReader::bytes_per_element(terms) + sizeof(double);
    most = std::max(most, bytes);
  }
  return std::max<std::size_t>(most, 1);
}

std::vector<TensorMeasures> MeasuringPass::run() {
  stream::ProgressMeter progress(options_, "measuring", bytes_to_read());
  const MeasureResident resident = measure_resident_installed;
  if (resident != nullptr && resident(vectors_, tensors_, options_)) {
    progress.add(bytes_to_read());
    progress.finish();
    return std::move(tensors_);
  }
  std::vector<std::uint64_t> elements;
  for (const TensorMeasures& tensor : tensors_) elements.push_back(tensor.elements);
  const auto tiles =
      stream::cut_into_tiles(elements, stream::tile_elements_within(options_, bytes_per_element()));
  stream::run_jobs(tiles.size(), options_, [&] {
    Buffers buffers;
    buffers.readers.resize(vectors_.size());
    buffers.values.resize(vectors_.size());
    return [&, buffers = std::move(buffers)](std::size_t job) mutable {
      measure_tile(tiles[job], buffers);
      progress.add(bytes_behind(tiles[job].item, tiles[job].first, tiles[job].count));
    };
  });
  for (const MeasuredVector& measured : vectors_) {
    for (const SourcePtr& source : sources_of(measured.vector.form())) source->verify_unchanged();
  }
  progress.finish();
  add_up();
  return std::move(tensors_);
}

// One statistics tile after the other, so that what is read is still in the second-level cache when
// it is used.
void MeasuringPass::measure_tile(const stream::Tile& tile, Buffers& buffers) {
  const Item& item = items_[tile.item];
  TensorMeasures found;
  found.values.resize(vectors_.size());
  found.pairs.resize(tensors_[tile.item].pairs.size());
  const bool in_double = std::any_of(item.terms.begin(), item.terms.end(), [](const auto& terms) {
    return sum_dtype(terms) == Dtype::kF64;
  });
  for (std::size_t done = 0; done < tile.count; done += kStatisticsTile) {
    const stream::Tile part{tile.item, tile.first + done,
                            std::min(kStatisticsTile, tile.count - done)};
    in_double ? measure_in<double>(part, buffers, found) : measure_in<float>(part, buffers, found);
  }
  merge_counts(tile.item, found);
}

template <typename T>
void MeasuringPass::measure_in(const stream::Tile& part, Buffers& buffers, TensorMeasures& found) {
  Item& item = items_[part.item];
  const std::size_t slot = part.first / kStatisticsTile;
  const auto values_of = [&](std::size_t v) {
    return reinterpret_cast<T*>(buffers.values[v].data());
  };
  for (std::size_t v = 0; v < vectors_.size(); ++v) {
    buffers.values[v].resize(kStatisticsTile);
    const auto terms = buffers.readers[v].read(item.terms[v], part.first, part.count);
    if (item.bases[v] != nullptr)
      item.base_squares[v][slot] = base_squares(part, v, terms, buffers);
    if (terms.empty()) {
      std::fill_n(values_of(v), part.count, T{0});
      continue;
    }
    kernels::sum_of_terms(terms, values_of(v), part.count);
    const auto statistics = kernels::measure_values(values_of(v), part.count);
    item.squares[v][slot] = statistics.sum_of_squares;
    found.values[v].append(statistics);
    for (std::size_t u = 0; u < v; ++u) {
      const auto pair = kernels::measure_pair(values_of(u), values_of(v), part.count);
      item.dots[pair_position(u, v)][slot] = pair.dot;
      found.pairs[pair_position(u, v)].append(pair);
    }
  }
}

double MeasuringPass::base_squares(const stream::Tile& part, std::size_t vector,
                                   std::span<const kernels::TermTile> terms, Buffers& buffers) {
  const TensorInfo& base = *items_[part.item].bases[vector];
  if (base_is_subtrahend(items_[part.item].terms[vector], &base))
    return kernels::sum_of_squares(terms.front().subtrahend, part.count);
  const auto width = static_cast<std::size_t>(bytes_of(base.dtype));
  buffers.base_bytes.resize(kStatisticsTile * sizeof(double));
  vectors_[vector].base->read(base, part.first * width, part.count * width,
                              buffers.base_bytes.data());
  return kernels::sum_of_squares(kernels::StoredTile{buffers.base_bytes.data(), base.dtype},
                                 part.count);
}

// Counts and maxima may be merged in any order; the sums wait in their slots.
void MeasuringPass::merge_counts(std::size_t item, const TensorMeasures& found) {
  const std::lock_guard lock(merging_);
  TensorMeasures& tensor = tensors_[item];
  for (std::size_t v = 0; v < found.values.size(); ++v) tensor.values[v].append(found.values[v]);
  for (std::size_t p = 0; p < found.pairs.size(); ++p) tensor.pairs[p].append(found.pairs[p]);
}

double total(const std::vector<double>& slots) {
  double sum = 0;
  for (const double slot : slots) sum += slot;
  return sum;
}

void MeasuringPass::add_up() {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    for (std::size_t v = 0; v < vectors_.size(); ++v) {
      tensors_[i].values[v].sum_of_squares = total(items_[i].squares[v]);
      if (items_[i].bases[v] != nullptr)
        tensors_[i].base_squares[v] = total(items_[i].base_squares[v]);
    }
    for (std::size_t p = 0; p < items_[i].dots.size(); ++p)
      tensors_[i].pairs[p].dot = total(items_[i].dots[p]);
  }
}

}  // namespace

std::vector<std::size_t> in_name_order(const std::vector<TensorMeasures>& tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
  return order;
}

const TensorInfo* usable_base(const MeasuredVector& measured, const TensorMeasures& tensor) {
  const TensorInfo* base = measured.base ? measured.base->find(tensor.name) : nullptr;
  const bool usable = base != nullptr && is_computable(base->dtype) && base->shape == tensor.shape;
  return usable ? base : nullptr;
}

void install_measure_resident(MeasureResident measure) { measure_resident_installed = measure; }

std::vector<TensorMeasures> measure(const std::vector<MeasuredVector>& vectors,
                                    const RunOptions& options) {
  return MeasuringPass(vectors, options).run();
}

}  // namespace suture
