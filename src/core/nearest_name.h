#pragma once

#include <string>
#include <vector>

namespace suture {

/// `did you mean 'X' or 'Y'?` with up to three of `candidates` nearest to `text` by edit distance;
/// empty when none comes near.
std::string did_you_mean(const std::string& text, std::vector<std::string> candidates);

}  // namespace suture
