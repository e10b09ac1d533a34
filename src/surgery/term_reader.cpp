#include "surgery/term_reader.h"

namespace suture {

std::size_t TermReader::bytes_per_element(const std::vector<ActiveTerm>& terms) {
  std::size_t bytes = 0;
  for (const ActiveTerm& term : terms) {
    bytes += static_cast<std::size_t>(bytes_of(term.minuend->dtype));
    if (term.subtrahend != nullptr)
      bytes += static_cast<std::size_t>(bytes_of(term.subtrahend->dtype));
  }
  return bytes;
}

std::uint64_t TermReader::bytes_behind(std::span<const ActiveTerm> terms, std::uint64_t first,
                                       std::uint64_t count) {
  std::uint64_t bytes = 0;
  for (const ActiveTerm& term : terms) {
    bytes += term.minuend_source->bytes_behind(
        *term.minuend, first + static_cast<std::uint64_t>(term.minuend_shift), count);
    if (term.subtrahend == nullptr) continue;
    bytes += term.subtrahend_source->bytes_behind(
        *term.subtrahend, first + static_cast<std::uint64_t>(term.subtrahend_shift), count);
  }
  return bytes;
}

std::span<const kernels::TermTile> TermReader::read(std::span<const ActiveTerm> terms,
                                                    std::uint64_t first, std::size_t count) {
  tiles_.clear();
  if (buffers_.size() < 2 * terms.size()) buffers_.resize(2 * terms.size());
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const ActiveTerm& term = terms[i];
    kernels::TermTile tile;
    tile.scale = term.scale;
    tile.minuend = load(*term.minuend_source, *term.minuend, term.minuend_shift, first, count,
                        buffers_[2 * i]);
    if (term.subtrahend != nullptr) {
      tile.subtrahend = load(*term.subtrahend_source, *term.subtrahend, term.subtrahend_shift,
                             first, count, buffers_[2 * i + 1]);
    }
    tiles_.push_back(tile);
  }
  return tiles_;
}

kernels::StoredTile TermReader::load(const TensorSource& source, const TensorInfo& tensor,
                                     std::int64_t shift, std::uint64_t first, std::size_t count,
                                     std::vector<char>& buffer) {
  const auto width = static_cast<std::uint64_t>(bytes_of(tensor.dtype));
  const std::size_t bytes = count * width;
  if (buffer.size() < bytes) buffer.resize(bytes);
  source.read(tensor, (first + static_cast<std::uint64_t>(shift)) * width, bytes, buffer.data());
  return {buffer.data(), tensor.dtype};
}

}  // namespace suture
