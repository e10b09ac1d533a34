#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_form.h"

namespace suture::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

// One block changes one tile.
template <typename T, Dtype kTarget, typename Terms>
__global__ void __launch_bounds__(kThreads)
    update_kernel(const Update* updates, const Term* terms, const std::uint64_t* ends,
                  std::uint64_t update_count, std::uint64_t first_tile) {
  const TileOfTensor at = find_tile(ends, update_count, first_tile + blockIdx.x);
  const Update update = updates[at.tensor];
  if constexpr (Terms::kSingle) {
    const Term term = terms[update.terms.first];  // in registers, whatever the stores may alias
    update_tile<T, kTarget, Terms>(update, &term, at.tile, threadIdx.x, blockDim.x);
  } else {
    update_tile<T, kTarget, Terms>(update, terms + update.terms.first, at.tile, threadIdx.x,
                                   blockDim.x);
  }
}

struct KindRange {
  UpdateKind kind;
  std::size_t first, count;  // in the sorted updates
};

// The updates with those of one kind together, and which stand where.
struct SortedUpdates {
  std::vector<Update> updates;
  std::vector<std::uint64_t> ends;  // tiles, counted per kind
  std::vector<KindRange> kinds;
};

SortedUpdates sort_by_kind(const Update* updates, std::size_t count, const Term* terms) {
  SortedUpdates sorted;
  std::vector<std::vector<Update>> by_kind(kUpdateKinds);
  for (std::size_t i = 0; i < count; ++i) {
    if (updates[i].count == 0) continue;
    const UpdateKind kind = kind_of(updates[i], terms + updates[i].terms.first);
    by_kind[static_cast<unsigned>(kind)].push_back(updates[i]);
  }
  for (unsigned kind = 0; kind < kUpdateKinds; ++kind) {
    if (by_kind[kind].empty()) continue;
    sorted.kinds.push_back(
        {static_cast<UpdateKind>(kind), sorted.updates.size(), by_kind[kind].size()});
    std::uint64_t tiles = 0;
    for (const Update& update : by_kind[kind]) {
      tiles += tiles_of(update.count, kUpdateTile);
      sorted.ends.push_back(tiles);
      sorted.updates.push_back(update);
    }
  }
  return sorted;
}

}  // namespace

Status probe_update_kernel() {
  cudaFuncAttributes attributes;
  return status_of(
      cudaFuncGetAttributes(&attributes,
                            update_kernel<float, Dtype::kBF16, OneTerm<Dtype::kBF16, true>>),
      "cudaFuncGetAttributes");
}

Status add_in_place(int device, void* stream_handle, const Update* updates,
                    std::size_t update_count, const Term* terms, std::size_t term_count) {
  const SortedUpdates sorted = sort_by_kind(updates, update_count, terms);
  if (sorted.updates.empty()) return {};
  const DeviceScope scope(device);
  if (failed(scope.status())) return scope.status();
  auto* stream = static_cast<cudaStream_t>(stream_handle);

  PackedTables tables;
  const std::size_t updates_at = tables.add(sorted.updates), ends_at = tables.add(sorted.ends),
                    terms_at = tables.add(terms, term_count);
  const DeviceBuffer buffer(tables.bytes(), stream);
  if (failed(buffer.status())) return buffer.status();
  Status status = tables.send(buffer, stream);

  for (const KindRange& range : sorted.kinds) {
    if (failed(status)) return status;
    const auto* range_updates = table_at<Update>(buffer, updates_at) + range.first;
    const auto* range_ends = table_at<std::uint64_t>(buffer, ends_at) + range.first;
    const auto* all_terms = table_at<Term>(buffer, terms_at);
    with_update_kind(range.kind, [&]<typename T, Dtype kTarget, typename Terms>() {
      status = launch_blocks(sorted.ends[range.first + range.count - 1], "the update kernel",
                             [&](std::uint64_t first, unsigned blocks) {
                               update_kernel<T, kTarget, Terms><<<blocks, kThreads, 0, stream>>>(
                                   range_updates, all_terms, range_ends, range.count, first);
                             });
    });
  }
  return status;
}

}  // namespace suture::kernels::cuda
