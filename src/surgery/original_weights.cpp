#include "surgery/original_weights.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include <ATen/ATen.h>

#include "suture/error.h"

#include "core/scalar_type.h"
#include "kernels/convert.h"
#include "kernels/statistics.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

std::size_t width_of(const at::Tensor& weight) { return weight.element_size(); }

template <typename T>
void convert(Dtype from, const void* stored, Dtype to, void* out, std::size_t count) {
  std::vector<T> values(count);
  kernels::widen(from, stored, values.data(), count);
  kernels::narrow(to, values.data(), out, count);
}

}  // namespace

OriginalWeights::OriginalWeights(const WeightPlaces& places, std::optional<Checkpoint> checkpoint)
    : places_(places),
      checkpoint_(std::move(checkpoint)),
      kept_(places.size()),
      held_(places.size(), false) {}

void OriginalWeights::hold(std::size_t place, const RunOptions& options) {
  if (checkpoint_) {
    verify(place, options);
  } else {
    stream::check_cancelled(options);
    kept_[place] = places_[place].weight.detach().clone(at::MemoryFormat::Contiguous);
    kept_bytes_ += kept_[place].nbytes();
  }
  held_[place] = true;
}

void OriginalWeights::drop(std::size_t place) {
  if (kept_[place].defined()) kept_bytes_ -= kept_[place].nbytes();
  kept_[place] = at::Tensor();
  held_[place] = false;
}

const void* OriginalWeights::tile(std::size_t place, std::uint64_t first, std::size_t count,
                                  void* out) const {
  if (kept_[place].defined()) {
    return static_cast<const char*>(kept_[place].const_data_ptr()) + first * width_of(kept_[place]);
  }
  read(place, first, count, out);
  return out;
}

at::Tensor OriginalWeights::whole(std::size_t place) const {
  if (kept_[place].defined()) return kept_[place];
  const at::Tensor& weight = places_[place].weight;
  const at::Tensor dense = at::empty(weight.sizes(), weight.scalar_type());
  read(place, 0, places_[place].elements(), dense.mutable_data_ptr());
  return dense.to(weight.device());
}

void OriginalWeights::verify_unchanged() const {
  if (checkpoint_) checkpoint_->verify_unchanged();
}

// The checkpoint may know a tied tensor by one of its names alone.
const TensorInfo& OriginalWeights::stored(std::size_t place) const {
  const WeightPlace& at = places_[place];
  const TensorInfo* found = nullptr;
  for (const std::string& name : at.names)
    if (found == nullptr) found = checkpoint_->find(name);
  const auto refuse = [&](const std::string& what) {
    throw CompatibilityError({checkpoint_->location(), at.names.front(), what,
                              "the bytes that the weight has, to be read again when an edit ends",
                              "name the checkpoint it was loaded from, or let copies be kept"});
  };
  if (found == nullptr) refuse("no tensor of that name");
  if (found->shape != at.weight.sizes().vec()) refuse(to_string(found->shape));
  if (!is_computable(found->dtype)) refuse(std::string(name_of(found->dtype)));
  return *found;
}

void OriginalWeights::verify(std::size_t place, const RunOptions& options) const {
  const TensorInfo& info = stored(place);
  const at::Tensor dense = places_[place].weight.detach().cpu().contiguous();
  const auto* present = static_cast<const char*>(dense.const_data_ptr());
  const std::size_t width = width_of(dense);
  const auto tiles = stream::cut_into_tiles({places_[place].elements()}, kernels::kStatisticsTile);
  stream::run_jobs(tiles.size(), options, [&] {
    return [&, buffer = std::vector<char>()](std::size_t job) mutable {
      const stream::Tile& tile = tiles[job];
      buffer.resize(tile.count * width);
      read(place, tile.first, tile.count, buffer.data());
      if (std::memcmp(buffer.data(), present + tile.first * width, buffer.size()) == 0) return;
      throw CompatibilityError({checkpoint_->location(), info.name,
                                "other bytes than the weight has",
                                "the weight's, to be read again when an edit ends",
                                "name the checkpoint it was loaded from, or let copies be kept"});
    };
  });
}

void OriginalWeights::read(std::size_t place, std::uint64_t first, std::size_t count,
                           void* out) const {
  if (count == 0) return;
  const TensorInfo& info = stored(place);
  const auto width = static_cast<std::uint64_t>(bytes_of(info.dtype));
  const Dtype dtype = dtype_of(places_[place].weight.scalar_type());
  if (info.dtype == dtype) {
    checkpoint_->read(info, first * width, count * width, out);
    return;
  }
  const std::size_t out_width = static_cast<std::size_t>(bytes_of(dtype));
  std::vector<char> buffer;
  for (std::size_t done = 0; done < count;) {
    const std::size_t part = std::min(count - done, kernels::kStatisticsTile);
    buffer.resize(part * width);
    checkpoint_->read(info, (first + done) * width, buffer.size(), buffer.data());
    char* at = static_cast<char*>(out) + done * out_width;
    const bool in_double = info.dtype == Dtype::kF64 || dtype == Dtype::kF64;
    in_double ? convert<double>(info.dtype, buffer.data(), dtype, at, part)
              : convert<float>(info.dtype, buffer.data(), dtype, at, part);
    done += part;
  }
}

}  // namespace suture
