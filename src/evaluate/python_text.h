#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// Text as Python's `str` sees it: lengths in code points, white space as `str.isspace`. All text
/// is UTF-8.
namespace suture::evaluation {

std::size_t code_points(std::string_view text);

/// `text.rstrip()` and `text.strip()`.
std::string_view right_stripped(std::string_view text);
std::string_view stripped(std::string_view text);

/// `len(re.split(r"\s+", text))`: one more than there are runs of white space.
std::size_t count_words(std::string_view text);

/// `text.lower()`, but for the few characters whose lower case is more than one.
std::string lower(std::string_view text);

std::string without_ascii_punctuation(std::string_view text);
std::string without_ascii_digits(std::string_view text);

/// `repr(value)` of a float: the shortest digits that read back as the same number.
std::string float_text(double value);

}  // namespace suture::evaluation
