#include "format/model_folder.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <utility>

#include "suture/error.h"

#include "format/hub_cache.h"

namespace suture::format {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxSideFolderDepth = 4;

// File stems by preference; the first found wins.
constexpr std::array kSafetensorsStems{"model", "task_vector"};
constexpr std::array kTorchNames{"pytorch_model.bin", "model.pt", "pytorch_model.pt"};

constexpr std::array<std::string_view, 14> kWeightExtensions{
    ".safetensors", ".bin", ".pt",   ".pth",       ".gguf",   ".ggml", ".h5",
    ".msgpack",     ".ot",  ".onnx", ".onnx_data", ".distcp", ".ckpt", ".npz"};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error)) && !fs::is_directory(path, error);
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_weight_file(const fs::path& path) {
  const std::string extension = path.extension().string();
  return ends_with(path.filename().string(), ".index.json") || path.filename() == "suture.json" ||
         std::find(kWeightExtensions.begin(), kWeightExtensions.end(), extension) !=
             kWeightExtensions.end();
}

// What the folder holds, sorted.
std::vector<fs::path> list_folder(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    found.push_back(at->path());
  }
  if (error) throw IoError({folder.string(), {}, "cannot be listed: " + error.message(), {}, {}});
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> files_with_extension(const fs::path& folder, std::string_view extension) {
  std::vector<fs::path> found = list_folder(folder);
  found.erase(std::remove_if(found.begin(), found.end(),
                             [&](const fs::path& path) {
                               return path.extension() != extension || !is_file(path);
                             }),
              found.end());
  return found;
}

// What a folder without readable weights is instead, and what to do about it.
std::pair<const char*, const char*> describe_without_weights(const fs::path& folder) {
  if (is_file(folder / "adapter_config.json")) {
    return {"a LoRA adapter, not a model",
            "name it as a vector behind the model, or inject it into its base first"};
  }
  if (is_file(folder / ".metadata")) {
    return {"a distributed checkpoint",
            "convert it with torch.distributed.checkpoint.format_utils first"};
  }
  if (!files_with_extension(folder, ".gguf").empty()) {
    return {"a GGUF model", "use the safetensors version of it"};
  }
  if (!files_with_extension(folder, ".safetensors").empty()) {
    return {"several safetensors files and no index", "name one of them, or add the index"};
  }
  return {"no weights", "check the path"};
}

void collect_side_files(const fs::path& folder, const fs::path& below, int depth,
                        SideFiles& files) {
  for (const fs::path& path : list_folder(folder / below)) {
    const fs::path name = path.filename();
    std::error_code error;
    if (name.string().front() == '.') continue;
    if (fs::is_directory(path, error)) {
      if (depth < kMaxSideFolderDepth) collect_side_files(folder, below / name, depth + 1, files);
    } else {
      (is_weight_file(name) ? files.left_out : files.copied).push_back(below / name);
    }
  }
}

}  // namespace

WeightFiles find_weights(const fs::path& folder) {
  WeightFiles weights;
  for (const char* stem : kSafetensorsStems) {
    const fs::path single = folder / (std::string(stem) + ".safetensors");
    const fs::path index = folder / (std::string(stem) + ".safetensors.index.json");
    if (is_file(single)) {
      weights.single = single;
      if (is_file(index))
        weights.warnings.push_back("the folder has both " + single.filename().string() +
                                   " and an index; the single file is used, as transformers does");
      return weights;
    }
    if (is_file(index)) {
      weights.index = index;
      return weights;
    }
  }
  if (const auto found = files_with_extension(folder, ".safetensors");
      found.size() == 1 && found[0].filename() != "adapter_model.safetensors") {
    weights.single = found.front();
    return weights;
  }
  weights.safetensors = false;
  for (const char* name : kTorchNames) {
    if (is_file(folder / name)) {
      weights.single = folder / name;
      return weights;
    }
  }
  if (is_file(folder / "pytorch_model.bin.index.json")) {
    weights.index = folder / "pytorch_model.bin.index.json";
    return weights;
  }
  const auto [found, remedy] = describe_without_weights(folder);
  throw UsageError({folder.string(),
                    {},
                    found,
                    "model.safetensors, shards with an index, or pytorch_model.bin",
                    remedy});
}

SideFiles find_side_files(const fs::path& folder) {
  SideFiles files;
  collect_side_files(folder, {}, 0, files);
  std::sort(files.copied.begin(), files.copied.end());
  std::sort(files.left_out.begin(), files.left_out.end());
  return files;
}

fs::path resolve_inside(const fs::path& folder, const fs::path& name) {
  std::error_code error;
  const fs::path path = folder / name;
  const fs::path real = fs::weakly_canonical(path, error);
  const fs::path boundary = link_boundary(folder);
  const auto [at, unused] =
      std::mismatch(boundary.begin(), boundary.end(), real.begin(), real.end());
  if (at != boundary.end()) {
    throw FormatError({path.string(),
                       {},
                       "a link that leaves the model's folder",
                       {},
                       "put the file itself there, or name the folder that holds it"});
  }
  return path;
}

}  // namespace suture::format
