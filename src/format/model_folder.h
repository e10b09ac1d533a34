#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace suture::format {

/// Where a folder keeps its weights.
struct WeightFiles {
  bool safetensors = true;            ///< Else `torch.save` archives.
  std::filesystem::path single;       ///< The one file, or empty when there is an index.
  std::filesystem::path index;        ///< The index file, or empty.
  std::vector<std::string> warnings;  ///< Ambiguities and how they were settled.
};

/// Finds the weights of a model or vector folder the way transformers does: safetensors before
/// pickles, one file before an index. Throws UsageError naming what is there instead when there are
/// none.
WeightFiles find_weights(const std::filesystem::path& folder);

/// What stands beside the weights.
struct SideFiles {
  std::vector<std::filesystem::path> copied;    ///< Relative paths that belong to the model.
  std::vector<std::filesystem::path> left_out;  ///< Other weights, which an edit would make stale.
};

/// Sorts a model folder's files: config, tokenizer, chat template, licence, code and the rest are
/// to be copied with the model; weights in any format are not. Hidden files and folders are
/// ignored.
SideFiles find_side_files(const std::filesystem::path& folder);

/// `folder / name` after following links. Throws FormatError when a link leads out of the
/// repository.
std::filesystem::path resolve_inside(const std::filesystem::path& folder,
                                     const std::filesystem::path& name);

}  // namespace suture::format
