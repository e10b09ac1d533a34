#include "surgery/resident_updates.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>

#include "core/scalar_type.h"
#include "kernels/batch.h"
#include "stream/tiles.h"
#include "stream/worker_pool.h"
#include "surgery/resident.h"
#include "surgery/term_reader.h"

namespace suture {
namespace {

std::uintptr_t address(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

kernels::TensorUpdate whole_update(const at::Tensor& dense,
                                   std::span<const kernels::TermTile> terms) {
  return {dense.mutable_data_ptr(), dtype_of(dense.scalar_type()),
          static_cast<std::uint64_t>(dense.numel()), terms};
}

// Calls `visit(data, bytes)` for the target's range, then `visit` for every operand's.
template <typename Visit>
void for_each_operand(const at::Tensor& weight, const std::vector<kernels::TermTile>& terms,
                      Visit&& visit) {
  const auto count = static_cast<std::uint64_t>(weight.numel());
  for (const kernels::TermTile& term : terms) {
    for (const kernels::StoredTile& operand : {term.minuend, term.subtrahend}) {
      if (operand.data != nullptr)
        visit(operand.data, count * static_cast<std::uint64_t>(bytes_of(operand.dtype)));
    }
  }
}

// One tile of an operand on the device: where it is, or a copy that `kept` holds on to.
kernels::StoredTile send_tile(const TensorSource& source, const TensorInfo& tensor,
                              std::int64_t shift, const stream::Tile& tile, c10::Device device,
                              std::vector<at::Tensor>& kept) {
  const std::int64_t first = shift + static_cast<std::int64_t>(tile.first);
  const kernels::StoredTile resident = resident_tile(source, tensor, first, device);
  if (resident.data != nullptr) return resident;
  const auto width = static_cast<std::uint64_t>(bytes_of(tensor.dtype));
  const std::size_t bytes = tile.count * width;
  const at::Tensor host = at::empty({static_cast<std::int64_t>(bytes)}, at::kByte);
  source.read(tensor, static_cast<std::uint64_t>(first) * width, bytes, host.mutable_data_ptr());
  kept.push_back(host.to(device));
  return {kept.back().const_data_ptr(), tensor.dtype};
}

void update_tile(const at::Tensor& dense, const std::vector<ActiveTerm>& terms,
                 const stream::Tile& tile, const c10::Stream& stream,
                 const kernels::CudaBackend& backend) {
  // Freed in the stream's order, so that the queued kernel still finds them.
  std::vector<at::Tensor> kept;
  std::vector<kernels::TermTile> tiles;
  for (const ActiveTerm& term : terms) {
    kernels::TermTile sent;
    sent.scale = term.scale;
    sent.minuend = send_tile(*term.minuend_source, *term.minuend, term.minuend_shift, tile,
                             dense.device(), kept);
    if (term.subtrahend != nullptr) {
      sent.subtrahend = send_tile(*term.subtrahend_source, *term.subtrahend, term.subtrahend_shift,
                                  tile, dense.device(), kept);
    }
    tiles.push_back(sent);
  }
  kernels::TensorUpdate update = whole_update(dense, tiles);
  update.target = static_cast<char*>(update.target) +
                  tile.first * static_cast<std::uint64_t>(bytes_of(update.dtype));
  update.count = tile.count;
  kernels::add_in_place({&update, 1}, kernel_stream(stream), backend);
}

}  // namespace

bool AddressRanges::overlap(const void* data, std::uint64_t bytes) const {
  if (bytes == 0) return false;
  const auto next = ends_.lower_bound(address(data) + bytes);  // begins behind the range
  return next != ends_.begin() && std::prev(next)->second > address(data);
}

void AddressRanges::add(const void* data, std::uint64_t bytes) {
  if (bytes == 0) return;
  std::uintptr_t begin = address(data), end = begin + bytes;
  auto at = ends_.lower_bound(begin);
  if (at != ends_.begin() && std::prev(at)->second > begin) --at;
  while (at != ends_.end() && at->first < end) {
    begin = std::min(begin, at->first);
    end = std::max(end, at->second);
    at = ends_.erase(at);
  }
  ends_.emplace(begin, end);
}

bool ResidentUpdates::can_take(const at::Tensor& weight) {
  if (weight.device().type() != machine_.memory) return false;
  const int device = weight.device().index();
  if (const auto known = usable_.find(device); known != usable_.end()) return known->second;
  const std::string missing = machine_.missing(weight.device());
  if (!missing.empty() && options_.on_note)
    options_.on_note("weights on " + weight.device().str() +
                     " are computed on the CPU, since there are no CUDA kernels: " + missing);
  return usable_[device] = missing.empty();
}

void ResidentUpdates::add(const at::Tensor& weight, const std::vector<ActiveTerm>& terms) {
  const at::Tensor dense = weight.detach().contiguous();
  if (dense.numel() == 0) return;
  if (!are_resident(terms, dense.device())) {
    run();  // what is queued before may be what this reads
    add_streamed(dense, terms);
  } else {
    add_resident(dense, terms);
  }
  if (dense.data_ptr() == weight.data_ptr()) return;
  run();
  const at::NoGradGuard no_grad;
  weight.copy_(dense);
}

void ResidentUpdates::add_resident(const at::Tensor& dense, const std::vector<ActiveTerm>& terms) {
  Pending update{dense, resident_terms(terms, dense.device())};
  if (must_wait(update)) run();
  written_.add(dense.const_data_ptr(), dense.nbytes());
  for_each_operand(dense, update.terms,
                   [&](const void* data, std::uint64_t bytes) { read_.add(data, bytes); });
  pending_.push_back(std::move(update));
}

// A weight that is its own operand is read and written by one thread an element; anything else that
// shares memory with the batch waits for it.
bool ResidentUpdates::must_wait(const Pending& update) const {
  if (pending_.empty()) return false;
  if (pending_.front().weight.device() != update.weight.device()) return true;
  const void* target = update.weight.const_data_ptr();
  const auto bytes = static_cast<std::uint64_t>(update.weight.nbytes());
  bool clash = written_.overlap(target, bytes) || read_.overlap(target, bytes);
  for_each_operand(update.weight, update.terms, [&](const void* data, std::uint64_t operand_bytes) {
    clash = clash || written_.overlap(data, operand_bytes);
  });
  return clash;
}

void ResidentUpdates::add_streamed(const at::Tensor& dense, const std::vector<ActiveTerm>& terms) {
  const auto tiles = stream::cut_into_tiles(
      {static_cast<std::uint64_t>(dense.numel())},
      stream::tile_elements_within(options_, 2 * TermReader::bytes_per_element(terms)));
  const c10::Stream stream = current_stream(dense.device());
  stream::run_jobs(tiles.size(), options_, [&] {
    return [&](std::size_t job) {
      const c10::StreamGuard guard(stream);  // LibTorch's current stream is the thread's own
      update_tile(dense, terms, tiles[job], stream, machine_.backend());
    };
  });
}

void ResidentUpdates::run() {
  if (pending_.empty()) return;
  stream::check_cancelled(options_);
  std::vector<kernels::TensorUpdate> updates;
  for (const Pending& update : pending_)
    updates.push_back(whole_update(update.weight, update.terms));
  const c10::Device device = pending_.front().weight.device();
  const c10::DeviceGuard guard(device);
  kernels::add_in_place(updates, kernel_stream(current_stream(device)), machine_.backend());
  pending_.clear();
  written_.clear();
  read_.clear();
}

}  // namespace suture
