#include "format/torch_archive_writer.h"

#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

#include "suture/error.h"

#include "format/crc32.h"
#include "format/digest.h"
#include "format/json.h"
#include "format/little_endian.h"
#include "format/pickle.h"
#include "format/pickle_writer.h"

namespace suture::format {
namespace {

constexpr const char* kRoot = "archive/";   // What torch takes when it does not know a file's name.
constexpr std::size_t kItemsAtOnce = 1000;  // Python's pickler fills dictionaries by so many.
constexpr std::size_t kIdBytes = 40;

// A small record: name and content.
using SmallRecord = std::pair<std::string_view, std::string_view>;
constexpr std::array<SmallRecord, 3> kBeforeStorages{
    {{".format_version", "1"}, {".storage_alignment", "64"}, {"byteorder", "little"}}};
constexpr SmallRecord kAfterStorages{"version", "3\n"};

void require_utf8(const std::string& name) {
  try {
    static_cast<void>(Json(name).dump());
  } catch (const nlohmann::json::exception&) {
    throw FormatError({{}, {}, "'" + printable(name) + "'", "UTF-8 text", "rename it"});
  }
}

void add_global(PickleWriter& pickle, const KnownGlobal& global) {
  pickle.add_global(global.module, global.name);
}

void add_ordered_dict(PickleWriter& pickle) {
  pickle.add_global("collections", "OrderedDict");
  pickle.add_empty_tuple();
  pickle.call();
}

// Older dtypes have a storage class each; newer ones keep bytes, and the tensor says what they are.
const KnownGlobal* class_of(const ArchivedStorage& storage) {
  return find_global(GlobalRole::kStorage, storage.dtype);
}

std::uint64_t width_of(Dtype dtype) {
  return dtype == Dtype::kF4 ? 1 : static_cast<std::uint64_t>(bytes_of(dtype));
}

void add_storage(PickleWriter& pickle, const ArchivedStorage& storage, std::size_t number) {
  const KnownGlobal* type = class_of(storage);
  const std::uint64_t width = width_of(storage.dtype);
  pickle.begin_group();
  pickle.add_text("storage");
  if (type != nullptr) {
    add_global(pickle, *type);
  } else {
    pickle.add_global("torch.storage", "UntypedStorage");
  }
  pickle.add_text(std::to_string(number));
  pickle.add_text("cpu");
  pickle.add_integer(static_cast<std::int64_t>(storage.elements * (type != nullptr ? 1 : width)));
  pickle.end_tuple();
  pickle.refer_outside();
}

void add_tensor(PickleWriter& pickle, const ArchivedTensor& tensor,
                const ArchivedStorage& storage) {
  const bool says_dtype = class_of(storage) == nullptr;
  pickle.add_global("torch._utils", says_dtype ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  pickle.begin_group();
  add_storage(pickle, storage, tensor.storage);
  pickle.add_integer(tensor.first);
  pickle.add_integers(tensor.shape);
  pickle.add_integers(tensor.strides);
  pickle.add_bool(false);    // requires_grad
  add_ordered_dict(pickle);  // hooks of its gradient
  if (says_dtype) add_global(pickle, *find_global(GlobalRole::kDtype, storage.dtype));
  pickle.end_tuple();
  pickle.call();
}

void add_item(PickleWriter& pickle, const ArchivedTensor& tensor,
              const std::vector<ArchivedStorage>& storages) {
  pickle.add_text(tensor.name);
  add_tensor(pickle, tensor, storages[tensor.storage]);
}

std::string pickle_of(const std::vector<ArchivedStorage>& storages,
                      const std::vector<ArchivedTensor>& tensors) {
  PickleWriter pickle;
  add_ordered_dict(pickle);
  for (std::size_t begin = 0; begin < tensors.size(); begin += kItemsAtOnce) {
    const auto items =
        std::span(tensors).subspan(begin, std::min(kItemsAtOnce, tensors.size() - begin));
    if (items.size() > 1) pickle.begin_group();
    for (const ArchivedTensor& tensor : items) add_item(pickle, tensor, storages);
    items.size() > 1 ? pickle.end_items() : pickle.set_item();
  }
  return pickle.finish();
}

std::string checked_pickle(const std::vector<ArchivedStorage>& storages,
                           const std::vector<ArchivedTensor>& tensors) {
  for (const ArchivedTensor& tensor : tensors) require_utf8(tensor.name);
  return pickle_of(storages, tensors);
}

ZipRecordSize small_record(const SmallRecord& record) {
  return {kRoot + std::string(record.first), record.second.size()};
}

ZipLayout lay_out(const std::string& pickle, const std::vector<ArchivedStorage>& storages) {
  std::vector<ZipRecordSize> records{{kRoot + std::string("data.pkl"), pickle.size()}};
  for (const SmallRecord& record : kBeforeStorages) records.push_back(small_record(record));
  for (std::size_t i = 0; i < storages.size(); ++i) {
    const std::uint64_t bytes = storages[i].elements * width_of(storages[i].dtype);
    records.push_back({kRoot + ("data/" + std::to_string(i)), bytes});
  }
  records.push_back(small_record(kAfterStorages));
  records.push_back({kRoot + std::string(".data/serialization_id"), kIdBytes});
  return ZipLayout(std::move(records));
}

std::uint32_t crc_of(std::string_view text) { return crc32(text.data(), text.size()); }

// 40 decimal digits that tell archives of different content apart, as torch's own do.
std::string fingerprint(std::string_view pickle, std::span<const std::uint32_t> storage_crcs) {
  DigestStream content;
  content.update(pickle);
  for (const std::uint32_t crc : storage_crcs) {
    std::string bytes;
    append_little_endian(bytes, crc, 4);
    content.update(bytes);
  }
  const Digest digest = content.finish();
  char text[kIdBytes + 1];
  std::snprintf(text, sizeof text, "%020llu%020llu", static_cast<unsigned long long>(digest.high),
                static_cast<unsigned long long>(digest.low));
  return text;
}

}  // namespace

TorchArchiveLayout::TorchArchiveLayout(const std::vector<ArchivedStorage>& storages,
                                       const std::vector<ArchivedTensor>& tensors)
    : pickle_(checked_pickle(storages, tensors)),
      storages_(storages.size()),
      zip_(lay_out(pickle_, storages)) {}

std::uint64_t TorchArchiveLayout::storage_at(std::size_t storage) const {
  return zip_.data_at(1 + kBeforeStorages.size() + storage);
}

std::vector<PlacedBytes> TorchArchiveLayout::rest(
    std::span<const std::uint32_t> storage_crcs) const {
  const std::string id = fingerprint(pickle_, storage_crcs);
  std::vector<std::uint32_t> crcs{crc_of(pickle_)};
  for (const SmallRecord& record : kBeforeStorages) crcs.push_back(crc_of(record.second));
  crcs.insert(crcs.end(), storage_crcs.begin(), storage_crcs.end());
  crcs.push_back(crc_of(kAfterStorages.second));
  crcs.push_back(crc_of(id));

  std::vector<PlacedBytes> parts = zip_.frame(crcs);
  parts.push_back({zip_.data_at(0), pickle_});
  for (std::size_t i = 0; i < kBeforeStorages.size(); ++i) {
    parts.push_back({zip_.data_at(1 + i), std::string(kBeforeStorages[i].second)});
  }
  const std::size_t after = 1 + kBeforeStorages.size() + storages_;
  parts.push_back({zip_.data_at(after), std::string(kAfterStorages.second)});
  parts.push_back({zip_.data_at(after + 1), id});
  return parts;
}

}  // namespace suture::format
