#include "surgery/kinship.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "suture/error.h"

#include "format/digest.h"
#include "format/json.h"
#include "kernels/convert.h"

namespace suture {
namespace {

constexpr std::size_t kWantedValues = 8192;
constexpr std::size_t kMaxPerTensor = 64, kMinPerTensor = 4;
constexpr std::size_t kMaxTensors = 2048;

// Element `number` of the sample of one tensor; a function of name and size alone.
std::uint64_t position_of(const std::string& name, std::size_t number, std::uint64_t elements) {
  return format::digest_of(name + "#" + std::to_string(number)).low % elements;
}

std::vector<const TensorInfo*> matrices_of(const TensorSource& source) {
  std::vector<const TensorInfo*> matrices;
  for (const TensorInfo& tensor : source.tensors()) {
    if (is_computable(tensor.dtype) && tensor.shape.size() >= 2 && tensor.elements > 0)
      matrices.push_back(&tensor);
  }
  std::sort(matrices.begin(), matrices.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  if (matrices.size() > kMaxTensors) matrices.resize(kMaxTensors);
  return matrices;
}

float read_value(const TensorSource& source, const TensorInfo& tensor, std::uint64_t position) {
  std::array<char, 8> stored{};
  const auto width = static_cast<std::size_t>(bytes_of(tensor.dtype));
  source.read(tensor, position * width, width, stored.data());
  double value = 0;
  alignas(8) std::array<char, 8> aligned = stored;
  kernels::widen(tensor.dtype, aligned.data(), &value, 1);
  return static_cast<float>(value);
}

constexpr char kHexDigits[] = "0123456789abcdef";

std::string to_hex(const std::vector<float>& values) {
  std::string text;
  for (const float value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 28; shift >= 0; shift -= 4) text += kHexDigits[bits >> shift & 0xF];
  }
  return text;
}

bool from_hex(const std::string& text, std::vector<float>& values) {
  if (text.size() % 8 != 0) return false;
  for (std::size_t i = 0; i < text.size(); i += 8) {
    std::uint32_t bits = 0;
    for (std::size_t k = i; k < i + 8; ++k) {
      const char* digit = std::find(kHexDigits, kHexDigits + 16, text[k]);
      if (digit == kHexDigits + 16) return false;
      bits = bits << 4 | static_cast<std::uint32_t>(digit - kHexDigits);
    }
    values.push_back(std::bit_cast<float>(bits));
  }
  return true;
}

}  // namespace

WeightSample sample_weights(const TensorSource& source) {
  WeightSample sample;
  const auto matrices = matrices_of(source);
  if (matrices.empty()) return sample;
  // The number per tensor takes few values, so that models with some tensors more still compare.
  const std::size_t wanted =
      std::bit_floor(std::max<std::size_t>(1, kWantedValues / matrices.size()));
  const std::size_t per_tensor = std::clamp(wanted, kMinPerTensor, kMaxPerTensor);
  for (const TensorInfo* tensor : matrices) {
    sample.tensors.push_back(tensor->name);
    for (std::size_t i = 0; i < per_tensor; ++i) {
      sample.values.push_back(
          read_value(source, *tensor, position_of(tensor->name, i, tensor->elements)));
    }
  }
  return sample;
}

Kinship kinship_of(const WeightSample& a, const WeightSample& b) {
  Kinship kinship;
  const std::size_t count = std::min(a.per_tensor(), b.per_tensor());
  double squares_a = 0, squares_b = 0, dot = 0, distance = 0;
  for (std::size_t i = 0, j = 0; i < a.tensors.size() && j < b.tensors.size();) {
    if (const int order = a.tensors[i].compare(b.tensors[j]); order != 0) {
      ++(order < 0 ? i : j);
      continue;
    }
    for (std::size_t k = 0; k < count; ++k) {
      const double x = a.values[i * a.per_tensor() + k], y = b.values[j * b.per_tensor() + k];
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      squares_a += x * x;
      squares_b += y * y;
      dot += x * y;
      distance += (x - y) * (x - y);
      ++kinship.compared;
    }
    ++i, ++j;
  }
  kinship.relative_distance = squares_b > 0 ? std::sqrt(distance / squares_b) : 0;
  kinship.cosine = squares_a * squares_b > 0 ? dot / std::sqrt(squares_a * squares_b) : 0;
  return kinship;
}

std::string encode(const WeightSample& sample) {
  return format::Json{{"tensors", sample.tensors}, {"values", to_hex(sample.values)}}.dump();
}

WeightSample decode_weight_sample(const std::string& text, const std::string& file) {
  const format::Json root = format::parse_json(text, file);
  WeightSample sample;
  try {
    sample.tensors = root.at("tensors").get<std::vector<std::string>>();
    const bool valid = from_hex(root.at("values").get<std::string>(), sample.values);
    if (valid && (sample.tensors.empty() ? sample.values.empty()
                                         : sample.values.size() % sample.tensors.size() == 0))
      return sample;
  } catch (const nlohmann::json::exception&) {
  }
  throw FormatError(
      {file, {}, "a damaged weight sample in its metadata", {}, "extract the vector again"});
}

}  // namespace suture
