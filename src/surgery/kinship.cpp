#include "surgery/kinship.h"

#include <algorithm>
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

constexpr std::size_t kPerTensor = 32;
constexpr std::size_t kMaxTensors = 2048;

// Where the sample of a tensor begins; a function of its name and size alone.
std::uint64_t position_of(const TensorInfo& tensor, std::size_t count) {
  return format::digest_of(tensor.name).low % (tensor.elements - count + 1);
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

// A run of neighbours, or as many as there are and zeros for the rest.
void append_run(const TensorSource& source, const TensorInfo& tensor, std::vector<float>& values) {
  const auto width = static_cast<std::size_t>(bytes_of(tensor.dtype));
  const auto present =
      static_cast<std::size_t>(std::min<std::uint64_t>(kPerTensor, tensor.elements));
  std::vector<double> run(kPerTensor);
  std::vector<char> stored(present * width);
  source.read(tensor, position_of(tensor, present) * width, stored.size(), stored.data());
  kernels::widen(tensor.dtype, stored.data(), run.data(), present);
  for (const double value : run) values.push_back(static_cast<float>(value));
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
  for (const TensorInfo* tensor : matrices_of(source)) {
    sample.tensors.push_back(tensor->name);
    sample.elements.push_back(tensor->elements);
    append_run(source, *tensor, sample.values);
  }
  return sample;
}

Kinship kinship_of(const WeightSample& a, const WeightSample& b) {
  Kinship kinship;
  double squares_a = 0, squares_b = 0, dot = 0, distance = 0;
  for (std::size_t i = 0, j = 0; i < a.tensors.size() && j < b.tensors.size();) {
    if (const int order = a.tensors[i].compare(b.tensors[j]); order != 0) {
      ++(order < 0 ? i : j);
      continue;
    }
    const std::size_t count = a.elements[i] == b.elements[j] ? kPerTensor : 0;
    for (std::size_t k = 0; k < count; ++k) {
      const double x = a.values[i * kPerTensor + k], y = b.values[j * kPerTensor + k];
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      squares_a += x * x;
      squares_b += y * y;
      dot += x * y;
      distance += (x - y) * (x - y);
      ++kinship.compared;
    }
    ++i, ++j;
  }
  if (distance > 0) kinship.relative_distance = std::sqrt(distance / squares_b);
  kinship.cosine = squares_a * squares_b > 0 ? dot / std::sqrt(squares_a * squares_b) : 0;
  return kinship;
}

std::string encode(const WeightSample& sample) {
  return format::Json{
      {"tensors", sample.tensors}, {"elements", sample.elements}, {"values", to_hex(sample.values)}}
      .dump();
}

WeightSample decode_weight_sample(const std::string& text, const std::string& file) {
  const format::Json root = format::parse_json(text, file);
  WeightSample sample;
  try {
    sample.tensors = root.at("tensors").get<std::vector<std::string>>();
    sample.elements = root.at("elements").get<std::vector<std::uint64_t>>();
    const bool valid = from_hex(root.at("values").get<std::string>(), sample.values);
    const std::size_t count = sample.tensors.size();
    if (valid && sample.elements.size() == count && sample.values.size() == count * kPerTensor)
      return sample;
  } catch (const nlohmann::json::exception&) {
  }
  throw FormatError(
      {file, {}, "a damaged weight sample in its metadata", {}, "extract the vector again"});
}

}  // namespace suture
