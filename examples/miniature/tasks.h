#pragma once

#include <cstdint>
#include <filesystem>

namespace miniature {

/// Writes task files for `suture eval`, of problems that do not depend on the seed of the family:
/// every family is measured on the same. Prompts are plain; `--apply-chat-template` puts them into
/// the chat format.
void write_tasks(const std::filesystem::path& folder);

}  // namespace miniature
