// Feeds bytes to the safetensors reader: as a bare header, as a whole file, and as the recipe of a
// header that is right but for its places.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "suture/dtype.h"
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

struct Place {
  std::int64_t begin, bytes;
  std::int64_t end() const { return begin + bytes; }
};

// Says the same as the reader must, in another way: counts how often each byte is covered. A tensor
// without bytes may stand wherever none with bytes has its inside.
bool covers_exactly(const std::vector<Place>& places, std::int64_t data_bytes) {
  std::vector<int> covered(static_cast<std::size_t>(data_bytes));
  for (const Place& place : places) {
    if (place.begin < 0 || place.end() > data_bytes) return false;
    for (auto at = place.begin; at < place.end(); ++at) ++covered[static_cast<std::size_t>(at)];
    for (const Place& other : places) {
      if (place.bytes == 0 && other.begin < place.begin && place.begin < other.end()) return false;
    }
  }
  for (const int times : covered) {
    if (times != 1) return false;
  }
  return true;
}

// Four bytes each make a tensor that follows the last one, sometimes at a little distance.
void read_as_recipe(std::string_view bytes) {
  std::string json;
  std::vector<Place> places;
  std::int64_t end = 0;
  bool is_whole = true;
  for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4) {
    const auto number = [&](std::size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
    const auto dtype = static_cast<suture::Dtype>(number(0) % 22);
    const int rows = number(1) % 6, columns = number(2) % 6;
    const int bits = rows * columns * suture::bits_of(dtype);
    const int distance = number(3) < 224 ? 0 : number(3) - 240;
    if (end + distance < 0) return;
    is_whole = is_whole && bits % 8 == 0;
    places.push_back({end + distance, bits / 8});
    end = places.back().end();
    json += (at == 0 ? "{\"" : ",\"") + std::to_string(at) + "\":{\"dtype\":\"" +
            std::string(suture::name_of(dtype)) + "\",\"shape\":[" + std::to_string(rows) + "," +
            std::to_string(columns) + "],\"data_offsets\":[" + std::to_string(places.back().begin) +
            "," + std::to_string(end) + "]}";
  }
  if (places.empty()) return;
  const bool is_right = is_whole && covers_exactly(places, end);
  try {
    check(
        suture::format::parse_safetensors_header(json + "}", static_cast<std::uint64_t>(end), "f"),
        static_cast<std::uint64_t>(end));
    if (!is_right) std::abort();
  } catch (const suture::Error&) {
    if (is_right) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(input), size);
  try {
    read_as_file(bytes);
  } catch (const suture::Error&) {
  }
  if (size <= 256) read_as_recipe(bytes);
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
