#pragma once

#include <filesystem>

#include "suture/state_dict.h"

namespace suture::stream {

/// True for a path that `save` writes as `torch.save` does.
bool names_torch_archive(const std::filesystem::path& path);

/// Writes the file that `torch.save` writes of these tensors; the contract is that of
/// `suture::save`. Memory: one tensor at most, of those that cannot be written as they lie.
void save_torch_archive(const StateDict& weights, const std::filesystem::path& path,
                        const SaveOptions& options);

}  // namespace suture::stream
