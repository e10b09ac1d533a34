#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "format/staged_output.h"
#include "surgery/form.h"

namespace suture {

/// The stage for an output path: one file when it ends in `.safetensors`, else a folder. Throws
/// UsageError when it could destroy one of the inputs.
bool is_single_file(const std::string& path);
void refuse_output_on_sources(const std::string& path, const std::vector<SourcePtr>& sources);

/// Copies side files of a model folder into the stage, byte for byte. Throws FormatError for one
/// that links out of the folder.
void copy_side_files(const std::filesystem::path& folder,
                     const std::vector<std::filesystem::path>& names, format::StagedOutput& stage);

/// The tokenizer's files among a folder's side files.
std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& folder);

/// Throws CompatibilityError when a tensor that is no float differs between two donors: there is no
/// arithmetic to carry the difference. Returns what was compared, with the reason it is left out.
std::vector<std::string> require_equal_non_floats(const TensorSource& tuned,
                                                  const TensorSource& base);

}  // namespace suture
