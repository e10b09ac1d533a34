#include "surgery/sparse_source.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "suture/error.h"

#include "surgery/sparse_tensor.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

// A sparse tensor: where its parts are, and how many values stand before each block, and in all.
struct Stored {
  const TensorInfo* bitmap = nullptr;
  const TensorInfo* values = nullptr;
  const TensorInfo* table = nullptr;
  std::vector<std::uint64_t> offsets;
};

// Elements of a shape that a file claims: at most 2^63, no negative dimension.
std::uint64_t elements_of(const std::vector<std::int64_t>& shape, const std::string& file,
                          const std::string& name) {
  std::uint64_t elements = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 ||
        __builtin_mul_overflow(elements, static_cast<std::uint64_t>(dimension), &elements) ||
        elements >> 59 != 0) {
      throw FormatError({file, name, "a sparse tensor of shape " + to_string(shape),
                         "dimensions whose product fits a file", "extract the vector again"});
    }
  }
  return elements;
}

// A vector whose list of sparse tensors was lost or cut would pass as one of bitmaps. A model may
// have a tensor of such a name; then the tensor that it would be a part of is there, too.
void refuse_stray_parts(const Checkpoint& checkpoint,
                        const std::map<std::string, SparseTensor>& sparse) {
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    const auto whole = sparse_name_of_part(tensor.name);
    if (!whole || sparse.count(std::string(*whole)) > 0 || checkpoint.find(*whole) != nullptr)
      continue;
    throw FormatError({checkpoint.location(), tensor.name,
                       "a part of a sparse tensor that the vector's metadata does not list",
                       "an entry for " + printable(std::string(*whole)),
                       "the metadata is damaged; extract the vector again"});
  }
}

class SparseSource final : public TensorSource {
 public:
  SparseSource(const Checkpoint& checkpoint, const std::map<std::string, SparseTensor>& sparse)
      : checkpoint_(checkpoint) {
    for (const TensorInfo& tensor : checkpoint.tensors()) dense_.emplace(tensor.name, &tensor);
    for (const auto& [name, tensor] : sparse) add_sparse(name, tensor);
    for (const auto& [name, tensor] : dense_) tensors_.push_back(*tensor);
    // As a file of dense tensors would have them.
    std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
      return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
    });
    for (const TensorInfo& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
  }

  const std::string& name() const override { return checkpoint_.name(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* find(std::string_view name) const override {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second;
  }
  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
            void* out) const override;
  void verify_unchanged() const override { checkpoint_.verify_unchanged(); }
  const Checkpoint* checkpoint() const override { return &checkpoint_; }
  bool is_in_file(const TensorInfo& tensor) const override {
    return stored_.count(tensor.name) == 0;
  }
  std::vector<const TensorInfo*> parts_in_file(const TensorInfo& tensor) const override {
    const auto stored = stored_.find(tensor.name);
    if (stored == stored_.end()) return {};
    return {stored->second.bitmap, stored->second.values, stored->second.table};
  }
  std::uint64_t bytes_behind(const TensorInfo& tensor, std::uint64_t first,
                             std::uint64_t count) const override;

 private:
  void add_sparse(const std::string& name, const SparseTensor& tensor);
  const TensorInfo& take_part(const TensorInfo& dense, const TensorInfo& part);
  std::vector<std::uint64_t> read_offsets(const TensorInfo& dense, const TensorInfo& table,
                                          std::uint64_t values) const;
  void read_block(const TensorInfo& tensor, const Stored& stored, std::uint64_t first,
                  std::size_t count, char* out) const;
  [[noreturn]] void refuse(const std::string& tensor, const std::string& found,
                           const std::string& expected) const {
    throw FormatError(
        {checkpoint_.location(), tensor, found, expected, "extract the vector again"});
  }

  Checkpoint checkpoint_;
  std::map<std::string, const TensorInfo*> dense_;  // what is no part of a sparse tensor
  std::unordered_map<std::string, Stored> stored_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, const TensorInfo*> by_name_;
};

void SparseSource::add_sparse(const std::string& name, const SparseTensor& tensor) {
  TensorInfo dense;
  dense.name = name;
  dense.dtype = tensor.dtype;
  dense.shape = tensor.shape;
  dense.elements = elements_of(tensor.shape, checkpoint_.location(), name);
  dense.bytes = dense.elements * static_cast<std::uint64_t>(bytes_of(dense.dtype));
  if (dense_.count(name) > 0) refuse(name, "the tensor both dense and sparse", "one of them");
  const TensorInfo* values = checkpoint_.find(sparse_parts_of(dense, 0).values.name);
  const SparseParts parts = sparse_parts_of(dense, values != nullptr ? values->elements : 0);
  Stored stored;
  stored.bitmap = &take_part(dense, parts.bitmap);
  stored.values = &take_part(dense, parts.values);
  stored.table = &take_part(dense, parts.offsets);
  stored.offsets = read_offsets(dense, *stored.table, stored.values->elements);
  stored_.emplace(name, std::move(stored));
  tensors_.push_back(std::move(dense));
}

// The stored part, checked against what it has to be; it is then no tensor of its own.
const TensorInfo& SparseSource::take_part(const TensorInfo& dense, const TensorInfo& part) {
  const auto at = dense_.find(part.name);
  if (at == dense_.end())
    refuse(dense.name, "no tensor " + printable(part.name), "one: it is sparse");
  const TensorInfo& found = *at->second;
  if (found.dtype != part.dtype || found.shape != part.shape) {
    refuse(part.name, std::string(name_of(found.dtype)) + " " + to_string(found.shape),
           std::string(name_of(part.dtype)) + " " + to_string(part.shape) + " for " +
               printable(dense.name) + " " + to_string(dense.shape));
  }
  dense_.erase(at);
  return found;
}

std::vector<std::uint64_t> SparseSource::read_offsets(const TensorInfo& dense,
                                                      const TensorInfo& table,
                                                      std::uint64_t values) const {
  std::vector<std::uint64_t> offsets(table.elements);
  checkpoint_.read(table, 0, table.bytes, offsets.data());
  offsets.push_back(values);
  if (offsets.front() != 0)
    refuse(table.name, std::to_string(offsets.front()) + " values before the first block", "0");
  for (std::size_t block = 0; block + 1 < offsets.size(); ++block) {
    const std::uint64_t size =
        std::min<std::uint64_t>(kSparseBlock, dense.elements - block * kSparseBlock);
    if (offsets[block + 1] < offsets[block] || offsets[block + 1] - offsets[block] > size) {
      refuse(table.name,
             std::to_string(offsets[block]) + " values before block " + std::to_string(block) +
                 ", " + std::to_string(offsets[block + 1]) + " after it",
             "at most " + std::to_string(size) + " more, and no fewer");
    }
  }
  return offsets;
}

// Of the elements before `end`. Of a block that is cut, an even share.
std::uint64_t bytes_before(const TensorInfo& tensor, const Stored& stored, std::uint64_t end) {
  const auto width = static_cast<std::uint64_t>(bytes_of(tensor.dtype));
  const auto before_block = [&](std::uint64_t block) {
    return std::min<std::uint64_t>(block * (kSparseBlock / 8), stored.bitmap->bytes) +
           stored.offsets[block] * width + block * sizeof(std::uint64_t);
  };
  const std::uint64_t block = end / kSparseBlock, bytes = before_block(block);
  const std::uint64_t rest = end % kSparseBlock;
  if (rest == 0) return bytes;
  const std::uint64_t in_block =
      std::min<std::uint64_t>(kSparseBlock, tensor.elements - block * kSparseBlock);
  return bytes + (before_block(block + 1) - bytes) * rest / in_block;
}

std::uint64_t SparseSource::bytes_behind(const TensorInfo& tensor, std::uint64_t first,
                                         std::uint64_t count) const {
  const auto stored = stored_.find(tensor.name);
  if (stored == stored_.end()) return TensorSource::bytes_behind(tensor, first, count);
  return bytes_before(tensor, stored->second, first + count) -
         bytes_before(tensor, stored->second, first);
}

void SparseSource::read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
                        void* out) const {
  const auto stored = stored_.find(tensor.name);
  if (stored == stored_.end()) return checkpoint_.read(tensor, begin, bytes, out);
  const auto width = static_cast<std::uint64_t>(bytes_of(tensor.dtype));
  std::uint64_t first = begin / width;
  const std::uint64_t end = first + bytes / width;
  if (end > tensor.elements) {
    throw UsageError({checkpoint_.location(),
                      tensor.name,
                      "a read up to element " + std::to_string(end),
                      "at most " + std::to_string(tensor.elements),
                      {}});
  }
  auto* at = static_cast<char*>(out);
  while (first < end) {
    const std::uint64_t count = std::min(kSparseBlock - first % kSparseBlock, end - first);
    read_block(tensor, stored->second, first, static_cast<std::size_t>(count), at);
    at += count * width;
    first += count;
  }
}

// Elements of one block. The bits of the whole block are read, since the table must fit them.
void SparseSource::read_block(const TensorInfo& tensor, const Stored& stored, std::uint64_t first,
                              std::size_t count, char* out) const {
  thread_local std::vector<std::uint8_t> bitmap(kSparseBlock / 8);
  thread_local std::vector<char> values(kSparseBlock * sizeof(double));
  const std::uint64_t block = first / kSparseBlock;
  const std::uint64_t bitmap_begin = block * (kSparseBlock / 8);
  const auto bitmap_bytes = static_cast<std::size_t>(
      std::min<std::uint64_t>(kSparseBlock / 8, stored.bitmap->bytes - bitmap_begin));
  checkpoint_.read(*stored.bitmap, bitmap_begin, bitmap_bytes, bitmap.data());
  const std::uint64_t expected = stored.offsets[block + 1] - stored.offsets[block];
  const std::uint64_t set = count_bits(bitmap.data(), 0, bitmap_bytes * 8);
  const auto in_block = static_cast<std::size_t>(
      std::min<std::uint64_t>(kSparseBlock, tensor.elements - block * kSparseBlock));
  if (set != expected || count_bits(bitmap.data(), 0, in_block) != set) {
    refuse(stored.bitmap->name, std::to_string(set) + " bits set in block " + std::to_string(block),
           std::to_string(expected) + " among its " + std::to_string(in_block) +
               " elements, by the table of offsets");
  }
  const auto bit = static_cast<std::size_t>(first % kSparseBlock);
  const auto width = static_cast<std::uint64_t>(bytes_of(tensor.dtype));
  const std::uint64_t before = stored.offsets[block] + count_bits(bitmap.data(), 0, bit);
  checkpoint_.read(*stored.values, before * width, count_bits(bitmap.data(), bit, count) * width,
                   values.data());
  expand(bitmap.data(), bit, values.data(), width, count, out);
}

}  // namespace

SourcePtr open_source(const Checkpoint& checkpoint) {
  if (is_vector(checkpoint)) {
    const VectorMetadata metadata = require_vector(checkpoint);
    refuse_stray_parts(checkpoint, metadata.sparse);
    if (!metadata.sparse.empty())
      return std::make_shared<SparseSource>(checkpoint, metadata.sparse);
  }
  return make_source(checkpoint);
}

}  // namespace suture
