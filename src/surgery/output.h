#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "format/staged_output.h"
#include "surgery/form.h"

namespace suture {

/// An output path is one file when it ends in `.safetensors`, else a folder.
bool is_single_file(const std::string& path);

/// Throws UsageError when an output cannot be written there, before any work is done for it.
void refuse_unwritable(const std::string& path, bool replace_existing);

/// Throws UsageError when the output could destroy one of the inputs.
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
