#include "surgery/resident.h"

#include <algorithm>

namespace suture {

kernels::StoredTile resident_tile(const TensorSource& source, const TensorInfo& tensor,
                                  std::int64_t shift, c10::Device device) {
  const at::Tensor* found = source.in_memory(tensor);
  if (found == nullptr || found->device() != device) return {nullptr, tensor.dtype};
  const auto* data = static_cast<const char*>(found->const_data_ptr());
  const std::int64_t first = shift + static_cast<std::int64_t>(source.first_in_memory(tensor));
  return {data == nullptr ? nullptr : data + first * bytes_of(tensor.dtype), tensor.dtype};
}

bool are_resident(const std::vector<ActiveTerm>& terms, c10::Device device) {
  const auto is_on_device = [&](const TensorSource& source, const TensorInfo& tensor) {
    const at::Tensor* found = source.in_memory(tensor);
    return found != nullptr && found->device() == device;
  };
  return std::all_of(terms.begin(), terms.end(), [&](const ActiveTerm& term) {
    return is_on_device(*term.minuend_source, *term.minuend) &&
           (term.subtrahend == nullptr || is_on_device(*term.subtrahend_source, *term.subtrahend));
  });
}

std::vector<kernels::TermTile> resident_terms(const std::vector<ActiveTerm>& terms,
                                              c10::Device device) {
  std::vector<kernels::TermTile> tiles;
  for (const ActiveTerm& term : terms) {
    kernels::TermTile tile;
    tile.scale = term.scale;
    tile.minuend = resident_tile(*term.minuend_source, *term.minuend, term.minuend_shift, device);
    if (term.subtrahend != nullptr) {
      tile.subtrahend =
          resident_tile(*term.subtrahend_source, *term.subtrahend, term.subtrahend_shift, device);
    }
    tiles.push_back(tile);
  }
  return tiles;
}

}  // namespace suture
