#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "format/json.h"

namespace suture::report {

/// A model or vector behind what a page shows.
struct PageInput {
  std::string name;     ///< As given.
  std::string role;     ///< `vector`, `target`, `result`, ...
  std::string formula;  ///< Of a vector; empty for none.
  std::string digest;   ///< 32 hexadecimal digits; empty where none is known.
  std::vector<std::pair<std::string, std::uint64_t>> files;  ///< Names and bytes.
};

/// A result to be shown: what `--json` writes.
struct PageResult {
  std::string source;  ///< The file it was read from, or what made it.
  format::Json result;
};

/// What a page shows.
struct Page {
  std::string title;
  std::vector<std::string> command;  ///< Words of the command line; empty for none.
  std::vector<std::string> warnings;
  std::vector<PageInput> inputs;
  std::vector<PageResult> results;
  format::Json explore;  ///< Where a live page sends its edits; null for one that is a file.
};

/// A result that a page can show, out of text that may be anybody's. Throws FormatError, naming
/// `file`, for another schema than `suture.analyze/1` and `suture.ablation/1`, and for one that
/// lacks what the schema promises.
format::Json parse_result(const std::string& text, const std::string& file);

/// `parse_result` of a file of at most 1 GB.
format::Json read_result(const std::filesystem::path& path);

/// One HTML file that needs nothing else: it loads nothing and, but for a live page, sends nothing,
/// which its content security policy enforces. Names of tensors and files are shown as text,
/// whatever they hold. The numbers are those of the results, to the last digit; the scores of
/// single records are left out.
std::string to_html(const Page& page);

}  // namespace suture::report
