#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/temp_dir.h"

namespace suture::test {

/// What stands in a folder, hidden names too, sorted.
inline std::vector<std::string> entries_of(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// Every regular file below `folder` with its bytes; a file by itself has the name "".
inline std::map<std::string, std::string> tree_of(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> files;
  if (fs::is_regular_file(path)) files[""] = read_file(path);
  if (!fs::is_directory(path)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    files[fs::relative(entry.path(), path).string()] =
        entry.is_regular_file() ? read_file(entry.path()) : std::string();
  }
  return files;
}

/// Succeeds when two trees hold the same files with the same bytes; names those that differ.
inline testing::AssertionResult same_tree(const std::map<std::string, std::string>& a,
                                          const std::map<std::string, std::string>& b) {
  std::string differing;
  for (const auto* from : {&a, &b}) {
    for (const auto& [name, bytes] : *from) {
      const auto left = a.find(name), right = b.find(name);
      if (left == a.end() || right == b.end() || left->second != right->second)
        differing += " '" + name + "'";
    }
  }
  return differing.empty() ? testing::AssertionSuccess()
                           : testing::AssertionFailure() << "other files:" << differing;
}

/// Every file of a model folder with its bytes, but for the record of how it was made.
inline std::map<std::string, std::string> model_files(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = std::filesystem::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && name != "suture.json") files[name] = read_file(entry.path());
  }
  return files;
}

}  // namespace suture::test
