#include <filesystem>
#include <utility>

#include <ATen/ATen.h>

#include "suture/error.h"
#include "suture/state_dict.h"

#include "core/scalar_type.h"
#include "core/tensor_source.h"
#include "format/staged_output.h"
#include "stream/state_dict_archive.h"
#include "stream/weights_writer.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPieceBytes = 8 << 20;

// A piece of one tensor's bytes: the unit of parallel reading and writing.
struct Piece {
  std::size_t tensor;
  std::uint64_t begin, bytes;
};

std::vector<Piece> cut_into_pieces(const std::vector<TensorInfo>& tensors) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    for (std::uint64_t begin = 0; begin < tensors[i].bytes; begin += kPieceBytes) {
      pieces.push_back({i, begin, std::min(kPieceBytes, tensors[i].bytes - begin)});
    }
  }
  return pieces;
}

at::Tensor allocate(const Checkpoint& checkpoint, const TensorInfo& info) {
  const auto type = scalar_type_of(info.dtype);
  if (!type) {
    throw UsageError({checkpoint.location(),
                      info.name,
                      std::string(name_of(info.dtype)) + " elements",
                      "a dtype that LibTorch can hold",
                      {}});
  }
  return at::empty(sizes_of(info), *type);
}

void read_tensor(const Checkpoint& checkpoint, const TensorInfo& info, const at::Tensor& tensor,
                 const RunOptions& options, stream::ProgressMeter& progress) {
  const std::vector<Piece> pieces = cut_into_pieces({info});
  auto* data = static_cast<char*>(tensor.mutable_data_ptr());
  stream::run_jobs(pieces.size(), options, [&] {
    return [&](std::size_t job) {
      const Piece& piece = pieces[job];
      checkpoint.read(info, piece.begin, piece.bytes, data + piece.begin);
      progress.add(piece.bytes);
    };
  });
}

stream::WeightsLayout lay_out(const fs::path& path, bool single,
                              const std::vector<TensorInfo>& tensors, const SaveOptions& options) {
  return single
             ? stream::lay_out_single_file(tensors, path.filename().string(), options.metadata)
             : stream::lay_out_shards(tensors, "model", options.metadata, options.max_shard_bytes);
}

// What has no elements in memory, or none of its own, cannot be written.
void require_plain(const StateDict& weights, const std::string& path) {
  for (const auto& [name, tensor] : weights) {
    const char* found = !tensor.defined()  ? "an undefined tensor"
                        : tensor.is_meta() ? "a tensor without data"
                        : tensor.layout() != at::kStrided || tensor.is_nested()
                            ? "a sparse or nested tensor"
                            : nullptr;
    if (found != nullptr)
      throw UsageError({path, name, found, "a dense tensor", "convert it or leave it out"});
  }
}

}  // namespace

StateDict load(const Checkpoint& checkpoint, at::Device device, const RunOptions& options) {
  require_device(device);
  StateDict weights;
  stream::ProgressMeter progress(options, "loading", checkpoint.total_bytes());
  for (const TensorInfo& info : checkpoint.tensors()) {
    const at::Tensor tensor = allocate(checkpoint, info);
    read_tensor(checkpoint, info, tensor, options, progress);
    weights.set(info.name, tensor.to(device));
  }
  checkpoint.verify_unchanged();
  progress.finish();
  return weights;
}

StateDict load(const std::string& location, at::Device device, const RunOptions& options) {
  return load(Checkpoint::open(location), device, options);
}

void save(const StateDict& weights, const std::string& path, const SaveOptions& options) {
  require_plain(weights, path);
  if (stream::names_torch_archive(path)) return stream::save_torch_archive(weights, path, options);
  const bool single = fs::path(path).extension() == ".safetensors";
  const SourcePtr source = make_source(weights, path);
  format::StagedOutput stage(
      path, single ? format::OutputKind::kFile : format::OutputKind::kFolder,
      options.replace_existing ? format::Existing::kReplace : format::Existing::kRefuse);
  stream::WeightsWriter writer(stage, lay_out(path, single, source->tensors(), options));
  const auto positions = writer.layout().by_name();
  const std::vector<Piece> pieces = cut_into_pieces(source->tensors());
  stream::ProgressMeter progress(options.run, "writing", writer.layout().total_bytes());
  stream::run_jobs(pieces.size(), options.run, [&] {
    return [&, buffer = std::vector<char>(kPieceBytes)](std::size_t job) mutable {
      const Piece& piece = pieces[job];
      const TensorInfo& info = source->tensors()[piece.tensor];
      source->read(info, piece.begin, piece.bytes, buffer.data());
      writer.write(*positions.at(info.name), piece.begin, buffer.data(), piece.bytes);
      progress.add(piece.bytes);
    };
  });
  writer.finish();
  stage.commit();
  progress.finish();
}

}  // namespace suture
