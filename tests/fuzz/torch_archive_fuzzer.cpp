#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "suture/error.h"

#include "format/torch_archive.h"

namespace {

// A file in memory; opened again through /proc it is a regular file like any other.
int make_file(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (descriptor < 0) std::abort();
  while (size > 0) {
    const ssize_t written = ::write(descriptor, data, size);
    if (written <= 0) std::abort();
    data += written;
    size -= static_cast<std::size_t>(written);
  }
  return descriptor;
}

}  // namespace

// Any bytes are read or refused with an Error; whatever is read lies inside the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int descriptor = make_file(data, size);
  try {
    const auto file = suture::format::File::open("/proc/self/fd/" + std::to_string(descriptor));
    for (const auto& tensor : suture::format::read_torch_archive(file)) {
      if (tensor.offset > size || tensor.bytes > size) std::abort();
    }
  } catch (const suture::Error&) {
  }
  ::close(descriptor);
  return 0;
}
