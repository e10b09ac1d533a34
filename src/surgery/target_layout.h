#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "suture/checkpoint.h"

#include "stream/weights_writer.h"

namespace suture {

/// How an edited model's weights are to be laid out.
struct TargetLayoutOptions {
  bool single_file = false;
  std::optional<std::uint64_t> max_shard_bytes;       ///< Splits anew when given.
  std::map<std::string, std::string> extra_metadata;  ///< Added to the target's own.
};

/// The layout of an edited model. Where dtypes are the target's and nothing else is asked for, the
/// target's own shards, names, headers and index are kept to the byte, so that an edit that changes
/// nothing gives the same files; else tensors are laid out as the hub does.
stream::WeightsLayout lay_out_like_target(const Checkpoint& target,
                                          const std::vector<TensorInfo>& tensors,
                                          const TargetLayoutOptions& options);

/// The target's own metadata and `extra` beside it, as an output's header holds them.
std::map<std::string, std::string> metadata_like_target(
    const Checkpoint& target, const std::map<std::string, std::string>& extra);

}  // namespace suture
