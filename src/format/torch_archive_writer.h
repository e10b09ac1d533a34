#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "suture/dtype.h"

#include "format/zip_writer.h"

namespace suture::format {

/// A run of elements that one or more tensors are views of.
struct ArchivedStorage {
  Dtype dtype = Dtype::kF32;   ///< Of whole bytes, or 4-bit floats.
  std::uint64_t elements = 0;  ///< Of 4-bit floats pairs, as in shapes and strides.
};

/// A tensor, as a view of a storage.
struct ArchivedTensor {
  std::string name;
  std::size_t storage = 0;  ///< Storages are numbered in the order in which tensors first use them.
  std::int64_t first = 0;   ///< Position of element [0, ..., 0] in it.
  std::vector<std::int64_t> shape, strides;  ///< Of the same length; strides in elements.
};

/// The file that `torch.save` writes of an OrderedDict of these tensors, known before any data is,
/// up to a fingerprint of the content (`.data/serialization_id`) that torch makes in another way
/// and that no reader looks at. Archive and pickle are those of torch 2.11, which
/// `torch.load(weights_only=True)` of torch 1.13 and later reads.
class TorchArchiveLayout {
 public:
  /// Throws FormatError for a name that is not UTF-8.
  TorchArchiveLayout(const std::vector<ArchivedStorage>& storages,
                     const std::vector<ArchivedTensor>& tensors);

  /// Position of a storage's first byte.
  std::uint64_t storage_at(std::size_t storage) const;

  std::uint64_t file_bytes() const { return zip_.file_bytes(); }

  /// Everything in the file but the storages' bytes, whose CRC-32 are `storage_crcs`.
  std::vector<PlacedBytes> rest(std::span<const std::uint32_t> storage_crcs) const;

 private:
  std::string pickle_;
  std::size_t storages_ = 0;
  ZipLayout zip_;
};

}  // namespace suture::format
