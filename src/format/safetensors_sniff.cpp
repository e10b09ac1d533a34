#include "format/safetensors_sniff.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "suture/error.h"

namespace suture::format {
namespace {

using namespace std::string_view_literals;

struct Lookalike {
  std::string_view beginning;
  const char* found;
  const char* remedy;
};

constexpr std::array kLookalikes{
    Lookalike{"version https://git-lfs"sv, "a git-LFS pointer, not the weights themselves",
              "run `git lfs pull` in that folder"},
    Lookalike{"<!DOCTYPE"sv, "an HTML page", "the download returned an error page; download again"},
    Lookalike{"<!doctype"sv, "an HTML page", "the download returned an error page; download again"},
    Lookalike{"<html"sv, "an HTML page", "the download returned an error page; download again"},
    Lookalike{"PK\x03\x04"sv, "a zip archive", "if torch.save wrote it, name it .pt or .bin"},
    Lookalike{"\x1f\x8b"sv, "a gzip file", "decompress it first"},
    Lookalike{
        "GGUF"sv, "a GGUF file",
        "convert it to safetensors first; block-quantised weights cannot carry a task vector"},
};

}  // namespace

void refuse_lookalikes(const File& file) {
  std::array<char, 32> buffer{};
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), buffer.size()));
  file.read(0, buffer.data(), count);
  const std::string_view beginning(buffer.data(), count);
  // A header's length may begin like a gzip file, but then the header follows it.
  if (count > 8 && beginning[8] == '{') return;
  for (const Lookalike& lookalike : kLookalikes) {
    if (beginning.substr(0, lookalike.beginning.size()) != lookalike.beginning) continue;
    throw FormatError(
        {file.path().string(), {}, lookalike.found, "a safetensors file", lookalike.remedy});
  }
}

}  // namespace suture::format
