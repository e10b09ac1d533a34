#pragma once

#include <string>

namespace suture::apps {

/// In single quotes, where a shell takes everything as it is.
std::string shell_quoted(const std::string& text);

/// The same for people: a word that a shell takes as it is stays as it is.
std::string shell_word(const std::string& text);

}  // namespace suture::apps
