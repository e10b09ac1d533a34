#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace suture::test {

/// RFC 4180, as a spreadsheet reads it.
inline std::vector<std::vector<std::string>> csv_rows(const std::string& csv) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < csv.size(); ++i) {
    const char c = csv[i];
    if (quoted) {
      if (c != '"') {
        rows.back().back() += c;
      } else if (i + 1 < csv.size() && csv[i + 1] == '"') {
        rows.back().back() += csv[i++];
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      rows.back().emplace_back();
    } else if (c == '\n') {
      rows.push_back({""});
    } else {
      rows.back().back() += c;
    }
  }
  EXPECT_FALSE(quoted);
  EXPECT_EQ(rows.back(), std::vector<std::string>{""}) << "no newline at the end";
  rows.pop_back();
  return rows;
}

}  // namespace suture::test
