#pragma once

#include <filesystem>
#include <string>

#include "suture/checkpoint.h"
#include "suture/error.h"

#include "support/thrown.h"

namespace suture::test {

/// The message with which `location` is refused as a model. Fails the test unless it is one plain
/// line that names the location.
template <class E = FormatError>
std::string refusal_of(const std::filesystem::path& location) {
  const std::string said = thrown_by<E>([&] { Checkpoint::open(location.string()); });
  EXPECT_TRUE(is_one_plain_line(said));
  EXPECT_TRUE(holds(said, location.string()));
  return said;
}

}  // namespace suture::test
