// Feeds bytes to the safetensors reader: as a bare header, and as a whole file.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "suture/error.h"

#include "format/safetensors.h"

namespace {

using suture::TensorInfo;
using suture::format::File;
using suture::format::SafetensorsHeader;

// A header that was accepted covers its data exactly, and comes back as it was when it is written.
void check(SafetensorsHeader header, std::uint64_t data_bytes) {
  std::uint64_t end = header.data_begin;
  for (const TensorInfo& tensor : header.tensors) {
    if (tensor.offset != end || tensor.name.empty()) std::abort();
    end += tensor.bytes;
  }
  if (end - header.data_begin != data_bytes) std::abort();
  if (header.tensors.size() > 1000) return;

  const std::string first = suture::format::lay_out_safetensors(header.tensors, header.metadata);
  const SafetensorsHeader again =
      suture::format::parse_safetensors_header(std::string_view(first).substr(8), data_bytes, "f");
  if (again.metadata != header.metadata) std::abort();
  if (again.tensors.size() != header.tensors.size()) std::abort();
}

void read_as_file(std::string_view bytes) {
  static const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  if (descriptor < 0 || ::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    std::abort();
  }
  const File file = File::open(path);
  SafetensorsHeader header = suture::format::read_safetensors_header(file);
  std::vector<char> data;
  for (const TensorInfo& tensor : header.tensors) {
    data.resize(tensor.bytes);  // at most the input's size, or the header was wrongly accepted
    file.read(tensor.offset, data.data(), data.size());
  }
  const std::uint64_t data_bytes = bytes.size() - header.data_begin;
  check(std::move(header), data_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(input), size);
  try {
    read_as_file(bytes);
  } catch (const suture::Error&) {
  }
  if (size < 8) return 0;
  // The first eight bytes are the size of the data here, so that it need not be there.
  std::uint64_t data_bytes = 0;
  for (int i = 7; i >= 0; --i) data_bytes = data_bytes << 8 | input[i];
  try {
    check(suture::format::parse_safetensors_header(bytes.substr(8), data_bytes, "f"), data_bytes);
  } catch (const suture::Error&) {
  }
  return 0;
}
