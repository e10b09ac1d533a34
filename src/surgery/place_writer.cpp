#include "surgery/place_writer.h"

#include <cstring>
#include <set>

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/scalar_type.h"
#include "kernels/linear_form.h"
#include "kernels/statistics.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/apply_terms.h"
#include "surgery/resident.h"
#include "surgery/resident_updates.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

// What is written where it is, tile by tile.
struct FlatWrite {
  const PlaceWrite* write;
  char* data;
  Dtype dtype;
  std::vector<kernels::TermTile> in_memory;  // the terms over the whole tensor, if they lie here
};

FlatWrite make_flat(const PlaceWrite& write, const WeightPlace& place) {
  FlatWrite flat{&write,
                 static_cast<char*>(place.weight.mutable_data_ptr()),
                 dtype_of(place.weight.scalar_type()),
                 {}};
  if (are_resident(*write.terms, at::kCPU)) flat.in_memory = resident_terms(*write.terms, at::kCPU);
  return flat;
}

// The terms on one tile: where they lie, else read. One per thread.
class TileTerms {
 public:
  std::span<const kernels::TermTile> on(const FlatWrite& flat, const stream::Tile& tile) {
    if (flat.in_memory.empty()) return reader_.read(*flat.write->terms, tile.first, tile.count);
    tiles_ = flat.in_memory;
    for (kernels::TermTile& term : tiles_) {
      advance(term.minuend, tile.first);
      if (term.subtrahend.data != nullptr) advance(term.subtrahend, tile.first);
    }
    return tiles_;
  }

 private:
  static void advance(kernels::StoredTile& stored, std::uint64_t elements) {
    stored.data = static_cast<const char*>(stored.data) +
                  elements * static_cast<std::uint64_t>(bytes_of(stored.dtype));
  }

  TermReader reader_;
  std::vector<kernels::TermTile> tiles_;
};

void write_tile(const FlatWrite& flat, const stream::Tile& tile, const OriginalWeights& originals,
                TileTerms& terms) {
  const auto width = static_cast<std::uint64_t>(bytes_of(flat.dtype));
  char* out = flat.data + tile.first * width;
  const void* original = originals.tile(flat.write->place, tile.first, tile.count, out);
  if (!flat.write->terms->empty()) {
    kernels::add_to_target({original, flat.dtype}, terms.on(flat, tile), flat.dtype, out,
                           tile.count);
  } else if (original != out) {
    std::memcpy(out, original, tile.count * width);
  }
}

void write_flat(const std::vector<FlatWrite>& writes, const WeightPlaces& places,
                const OriginalWeights& originals, RunOptions options) {
  std::vector<std::uint64_t> counts;
  std::uint64_t elements = 0;
  for (const FlatWrite& flat : writes) {
    counts.push_back(places[flat.write->place].elements());
    elements += counts.back();
  }
  if (elements <= kernels::kStatisticsTile) options.threads = 1;  // not worth starting one
  const auto tiles = stream::cut_into_tiles(counts, kernels::kStatisticsTile);
  stream::run_jobs(tiles.size(), options, [&] {
    return [&, terms = TileTerms()](std::size_t job) mutable {
      write_tile(writes[tiles[job].item], tiles[job], originals, terms);
    };
  });
}

// Strided tensors, and those on a device.
void write_whole(const std::vector<const PlaceWrite*>& writes, const WeightPlaces& places,
                 const OriginalWeights& originals, const RunOptions& options) {
  ResidentUpdates resident(options);
  for (const PlaceWrite* write : writes) {
    stream::check_cancelled(options);
    const at::Tensor& weight = places[write->place].weight;
    weight.copy_(originals.whole(write->place));
    if (write->terms->empty()) continue;
    if (resident.can_take(weight)) {
      resident.add(weight, *write->terms);
    } else {
      apply_terms(weight, *write->terms, options);
    }
  }
  resident.run();
}

void synchronize(const std::vector<const PlaceWrite*>& writes, const WeightPlaces& places) {
  std::set<std::pair<c10::DeviceType, c10::DeviceIndex>> devices;
  for (const PlaceWrite* write : writes) {
    const c10::Device device = places[write->place].weight.device();
    if (!device.is_cpu()) devices.insert({device.type(), device.index()});
  }
  for (const auto& [type, index] : devices)
    c10::impl::VirtualGuardImpl(type).synchronizeDevice(index);
}

}  // namespace

void write_places(const std::vector<PlaceWrite>& writes, const WeightPlaces& places,
                  const OriginalWeights& originals, const RunOptions& options) {
  // Parameters that require gradients and inference tensors may both be written in this mode.
  const c10::InferenceMode mode;
  std::vector<FlatWrite> flat;
  std::vector<const PlaceWrite*> whole;
  for (const PlaceWrite& write : writes) {
    const WeightPlace& place = places[write.place];
    if (place.is_flat()) {
      flat.push_back(make_flat(write, place));
    } else {
      whole.push_back(&write);
    }
    if (!place.weight.is_inference()) place.weight.unsafeGetTensorImpl()->bump_version();
  }
  write_flat(flat, places, originals, options);
  synchronize(whole, places);
  write_whole(whole, places, originals, options);
  synchronize(whole, places);
}

}  // namespace suture
