#include "stream/state_dict_archive.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <ATen/ATen.h>
#include <c10/util/strides.h>

#include "suture/error.h"

#include "core/scalar_type.h"
#include "format/crc32.h"
#include "format/staged_output.h"
#include "format/torch_archive_writer.h"
#include "stream/worker_pool.h"

namespace suture::stream {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPieceBytes = 8 << 20;

// ---- Which memory becomes which storage ---------------------------------------------------------

// The elements of its storage that a tensor touches, or that lie between those.
struct Extent {
  std::int64_t begin = 0, end = 0;
};

Extent extent_of(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return {};
  Extent extent{tensor.storage_offset(), tensor.storage_offset() + 1};
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    extent.end += (tensor.size(i) - 1) * tensor.stride(i);
  }
  return extent;
}

// False where memory holds other numbers (conjugate, negative) or fewer (expanded) than the tensor.
bool can_stay_a_view(const at::Tensor& tensor) {
  const Extent extent = extent_of(tensor);
  return !tensor.is_conj() && !tensor.is_neg() && tensor.numel() <= extent.end - extent.begin;
}

// Memory that becomes one storage of the archive.
struct Stretch {
  at::Tensor tensor;  // One of those that lie in it.
  Extent extent;
  std::size_t views = 1;

  // A single tensor that leaves gaps in its memory is written without them.
  bool is_written_as_it_lies() const {
    return can_stay_a_view(tensor) && (views > 1 || tensor.numel() == extent.end - extent.begin);
  }
  std::int64_t elements() const {
    return is_written_as_it_lies() ? extent.end - extent.begin : tensor.numel();
  }
};

struct Arrangement {
  std::vector<Stretch> stretches;
  std::vector<std::size_t> stretch_of;  // By tensor.
};

using Tensors = std::vector<at::Tensor>;

// Tensors by where they lie: views of one storage and dtype together, every other one by itself.
std::vector<std::vector<std::size_t>> by_memory(const Tensors& tensors) {
  std::vector<std::vector<std::size_t>> groups;
  std::map<std::pair<const void*, at::ScalarType>, std::size_t> known;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::size_t group = groups.size();
    if (tensors[i].numel() > 0 && can_stay_a_view(tensors[i])) {
      const void* storage = tensors[i].storage().unsafeGetStorageImpl();
      group = known.try_emplace({storage, tensors[i].scalar_type()}, group).first->second;
    }
    if (group == groups.size()) groups.emplace_back();
    groups[group].push_back(i);
  }
  return groups;
}

// Splits a group where its storage has elements that no tensor of it needs.
void arrange(const Tensors& tensors, std::vector<std::size_t> group, Arrangement& all) {
  std::sort(group.begin(), group.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(extent_of(tensors[a]).begin, a) < std::pair(extent_of(tensors[b]).begin, b);
  });
  const std::size_t first_stretch = all.stretches.size();
  for (const std::size_t i : group) {
    const Extent extent = extent_of(tensors[i]);
    const bool is_new =
        all.stretches.size() == first_stretch || extent.begin > all.stretches.back().extent.end;
    if (is_new) {
      all.stretches.push_back({tensors[i], extent});
    } else {
      Stretch& stretch = all.stretches.back();
      stretch.extent.end = std::max(stretch.extent.end, extent.end);
      ++stretch.views;
    }
    all.stretch_of[i] = all.stretches.size() - 1;
  }
}

// Numbers stretches in the order in which tensors first use them.
void put_in_order_of_use(Arrangement& all) {
  std::vector<std::optional<std::size_t>> number(all.stretches.size());
  std::vector<Stretch> ordered;
  for (std::size_t& stretch : all.stretch_of) {
    if (!number[stretch]) {
      number[stretch] = ordered.size();
      ordered.push_back(std::move(all.stretches[stretch]));
    }
    stretch = *number[stretch];
  }
  all.stretches = std::move(ordered);
}

Arrangement arrange(const Tensors& tensors) {
  Arrangement all{{}, std::vector<std::size_t>(tensors.size())};
  for (auto& group : by_memory(tensors)) arrange(tensors, std::move(group), all);
  put_in_order_of_use(all);
  return all;
}

// ---- What the archive says of it ----------------------------------------------------------------

std::vector<format::ArchivedStorage> storages_of(const Arrangement& all) {
  std::vector<format::ArchivedStorage> storages;
  for (const Stretch& stretch : all.stretches) {
    storages.push_back(
        {dtype_of(stretch.tensor.scalar_type()), static_cast<std::uint64_t>(stretch.elements())});
  }
  return storages;
}

// A tensor among the others: a view of its stretch, or the whole of it when that is a dense copy.
format::ArchivedTensor archived(const std::string& name, const at::Tensor& tensor,
                                std::size_t number, const Stretch& stretch) {
  format::ArchivedTensor result{name, number, 0, tensor.sizes().vec(), tensor.strides().vec()};
  if (!stretch.is_written_as_it_lies()) {
    const auto strides = c10::contiguous_strides(tensor.sizes());
    result.strides.assign(strides.begin(), strides.end());
  } else if (tensor.numel() > 0) {
    result.first = tensor.storage_offset() - stretch.extent.begin;
  }
  return result;
}

format::TorchArchiveLayout lay_out(const StateDict& weights, const Tensors& tensors,
                                   const Arrangement& all) {
  std::vector<format::ArchivedTensor> views;
  for (const auto& [name, tensor] : weights) {
    const std::size_t number = all.stretch_of[views.size()];
    views.push_back(archived(name, tensors[views.size()], number, all.stretches[number]));
  }
  return {storages_of(all), views};
}

// ---- Writing ------------------------------------------------------------------------------------

// The elements of a stretch in a row, without a copy where they lie so.
at::Tensor row_of(const Stretch& stretch) {
  if (!stretch.is_written_as_it_lies()) return dense(stretch.tensor).view({-1});
  return stretch.tensor.as_strided({stretch.elements()}, {1}, stretch.extent.begin);
}

// A part of one storage's elements: the unit of parallel reading and writing.
struct Piece {
  std::size_t storage;
  std::int64_t first, elements;
  std::uint32_t crc = 0;
};

std::vector<Piece> cut_into_pieces(const std::vector<Stretch>& stretches) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    const std::int64_t elements = stretches[i].elements();
    const std::int64_t most = kPieceBytes / stretches[i].tensor.element_size();
    for (std::int64_t first = 0; first < elements; first += most)
      pieces.push_back({i, first, std::min(most, elements - first)});
  }
  return pieces;
}

class ArchiveWriter {
 public:
  ArchiveWriter(const std::vector<Stretch>& stretches, const format::TorchArchiveLayout& layout,
                const fs::path& path, const RunOptions& options)
      : stretches_(stretches),
        layout_(layout),
        file_(path, layout.file_bytes()),
        options_(options),
        pieces_(cut_into_pieces(stretches)),
        progress_(options, "writing", layout.file_bytes()) {}

  // What must be copied to be written comes one by one, all else at once.
  void run() {
    std::vector<Piece*> as_they_lie;
    std::map<std::size_t, std::vector<Piece*>> to_copy;
    for (Piece& piece : pieces_) {
      const bool lies = stretches_[piece.storage].is_written_as_it_lies();
      (lies ? as_they_lie : to_copy[piece.storage]).push_back(&piece);
    }
    write(as_they_lie, [&](const Piece& piece) { return row_of(stretches_[piece.storage]); });
    for (const auto& [storage, pieces] : to_copy) {
      check_cancelled(options_);
      const at::Tensor row = row_of(stretches_[storage]);
      write(pieces, [&](const Piece&) { return row; });
    }
    for (const format::PlacedBytes& part : layout_.rest(crcs()))
      file_.write(part.at, part.bytes.data(), part.bytes.size());
    file_.finish();
  }

  void finish_progress() { progress_.finish(); }

 private:
  template <class RowOf>
  void write(const std::vector<Piece*>& pieces, const RowOf& row_of_piece) {
    run_jobs(pieces.size(), options_, [&] {
      return [&](std::size_t job) { write(*pieces[job], row_of_piece(*pieces[job])); };
    });
  }

  void write(Piece& piece, const at::Tensor& row) {
    const at::Tensor part = row.narrow(0, piece.first, piece.elements).cpu();
    const std::uint64_t begin = piece.first * part.element_size(), bytes = part.nbytes();
    piece.crc = format::crc32(part.const_data_ptr(), bytes);
    file_.write(layout_.storage_at(piece.storage) + begin, part.const_data_ptr(), bytes);
    progress_.add(bytes);
  }

  std::vector<std::uint32_t> crcs() const {
    std::vector<std::uint32_t> sums(stretches_.size());
    for (const Piece& piece : pieces_) {
      const std::uint64_t bytes = piece.elements * stretches_[piece.storage].tensor.element_size();
      sums[piece.storage] = format::joined_crc32(sums[piece.storage], piece.crc, bytes);
    }
    return sums;
  }

  const std::vector<Stretch>& stretches_;
  const format::TorchArchiveLayout& layout_;
  format::OutputFile file_;
  const RunOptions& options_;
  std::vector<Piece> pieces_;
  ProgressMeter progress_;
};

void refuse_metadata(const fs::path& path, const SaveOptions& options) {
  if (options.metadata.empty() || options.metadata == SaveOptions{}.metadata) return;
  throw UsageError({path.string(),
                    {},
                    "metadata for a file of torch.save, which has no place for it",
                    {},
                    "save to a name that ends in .safetensors, or without the metadata"});
}

}  // namespace

bool names_torch_archive(const fs::path& path) {
  return path.extension() == ".pt" || path.extension() == ".pth";
}

void save_torch_archive(const StateDict& weights, const fs::path& path,
                        const SaveOptions& options) {
  refuse_metadata(path, options);
  Tensors tensors;
  for (const auto& [name, tensor] : weights) tensors.push_back(tensor.detach());
  const Arrangement all = arrange(tensors);
  const format::TorchArchiveLayout layout = lay_out(weights, tensors, all);
  format::StagedOutput stage(
      path, format::OutputKind::kFile,
      options.replace_existing ? format::Existing::kReplace : format::Existing::kRefuse);
  ArchiveWriter writer(all.stretches, layout, stage.path_of({}), options.run);
  writer.run();
  stage.commit();
  writer.finish_progress();
}

}  // namespace suture::stream
