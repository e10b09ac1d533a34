#pragma once

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "suture/error.h"

namespace suture::test {

/// The message of the `E` that `body` throws; a failure and an empty text when it throws nothing.
/// Anything else that it throws is not caught, and fails the test too.
template <class E = Error, class Body>
std::string thrown_by(Body&& body) {
  try {
    std::forward<Body>(body)();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Succeeds when `text` holds `part`, and shows both when not.
inline testing::AssertionResult holds(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

/// Succeeds when `text` is one line that a terminal can be trusted with: no control characters.
inline testing::AssertionResult is_one_plain_line(const std::string& text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      return testing::AssertionFailure() << "control character " << int{byte} << " in: " << text;
    }
  }
  return text.empty() ? testing::AssertionFailure() << "an empty message"
                      : testing::AssertionSuccess();
}

}  // namespace suture::test
