#include "surgery/kinship.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "suture/error.h"

#include "format/digest.h"
#include "format/json.h"
#include "kernels/convert.h"
#include "names/fused_projections.h"

namespace suture {
namespace {

constexpr std::size_t kPerTensor = 32;
constexpr std::size_t kMaxTensors = 2048;
constexpr std::size_t kMaxStretches = 8192;

// Where one run of neighbours is taken from: somewhere in elements [first, first + count).
struct Stretch {
  std::string name;
  std::uint64_t first = 0, count = 0;

  std::size_t present() const {
    return static_cast<std::size_t>(std::min<std::uint64_t>(kPerTensor, count));
  }
  // A function of name and size alone.
  std::uint64_t position() const {
    return first + format::digest_of(name).low % (count - present() + 1);
  }
};

// In how many stretches a matrix is sampled: projections may be compared one by one, and several
// may be in one.
std::uint64_t stretch_count(const std::string& tensor) {
  const auto place = fusion_place_of(tensor);
  if (!place) return 1;
  return place->is_fused ? 32 : 8;
}

// A matrix as it is sampled, by name and size.
std::vector<Stretch> stretches_of(const std::string& tensor, std::uint64_t elements) {
  const std::uint64_t count = stretch_count(tensor), each = elements / count;
  if (count == 1 || each == 0) return {{tensor, 0, elements}};
  std::vector<Stretch> stretches;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t first = each * i, size = i + 1 == count ? elements - first : each;
    stretches.push_back(
        {tensor + "[" + std::to_string(i) + "/" + std::to_string(count) + "]", first, size});
  }
  return stretches;
}

// `q_proj.weight` of `q_proj.weight[1/8]`.
std::string_view tensor_of(std::string_view stretch) {
  return !stretch.empty() && stretch.back() == ']' ? stretch.substr(0, stretch.rfind('['))
                                                   : stretch;
}

struct SampledStretch {
  const TensorInfo* tensor;
  Stretch stretch;
};

// By name, at most so many that a sample stays small.
std::vector<SampledStretch> sampled_stretches(const TensorSource& source) {
  std::vector<const TensorInfo*> matrices;
  for (const TensorInfo& tensor : source.tensors()) {
    if (is_computable(tensor.dtype) && tensor.shape.size() >= 2 && tensor.elements > 0)
      matrices.push_back(&tensor);
  }
  std::sort(matrices.begin(), matrices.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  if (matrices.size() > kMaxTensors) matrices.resize(kMaxTensors);
  std::vector<SampledStretch> sampled;
  for (const TensorInfo* tensor : matrices) {
    for (Stretch& stretch : stretches_of(tensor->name, tensor->elements))
      sampled.push_back({tensor, std::move(stretch)});
  }
  if (sampled.size() > kMaxStretches) sampled.resize(kMaxStretches);
  std::sort(sampled.begin(), sampled.end(),
            [](const auto& a, const auto& b) { return a.stretch.name < b.stretch.name; });
  return sampled;
}

// A run of neighbours, or as many as there are and zeros for the rest.
void append_run(const TensorSource& source, const TensorInfo& tensor, const Stretch& stretch,
                std::vector<float>& values) {
  const auto width = static_cast<std::size_t>(bytes_of(tensor.dtype));
  std::vector<double> run(kPerTensor);
  std::vector<char> stored(stretch.present() * width);
  source.read(tensor, stretch.position() * width, stored.size(), stored.data());
  kernels::widen(tensor.dtype, stored.data(), run.data(), stretch.present());
  for (const double value : run) values.push_back(static_cast<float>(value));
}

// Sums over pairs of weights.
class PairSums {
 public:
  void add(const float* a, const float* b, std::size_t count = kPerTensor) {
    for (std::size_t k = 0; k < count; ++k) {
      const double x = a[k], y = b[k];
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      squares_a_ += x * x;
      squares_b_ += y * y;
      dot_ += x * y;
      distance_ += (x - y) * (x - y);
      ++compared_;
    }
  }

  Kinship kinship() const {
    Kinship kinship;
    kinship.compared = compared_;
    if (compared_ > 0) kinship.rms = std::sqrt(squares_b_ / static_cast<double>(compared_));
    if (distance_ > 0) kinship.relative_distance = std::sqrt(distance_ / squares_b_);
    const double squares = squares_a_ * squares_b_;
    kinship.cosine = squares > 0 ? dot_ / std::sqrt(squares) : 0;
    return kinship;
  }

  // Whether there is a direction to compare.
  bool has_directions() const { return squares_a_ > 0 && squares_b_ > 0; }

 private:
  double squares_a_ = 0, squares_b_ = 0, dot_ = 0, distance_ = 0;
  std::size_t compared_ = 0;
};

struct PartSums {
  std::string old_name, new_name;
  PairSums pairs;
};

// What two samples hold under one name, of one size.
struct Common {
  const std::string& name;
  const float *a, *b;
  std::uint64_t elements;  // of the whole tensor
};

template <typename Visit>
void for_each_common(const WeightSample& a, const WeightSample& b, Visit&& visit) {
  for (std::size_t i = 0, j = 0; i < a.tensors.size() && j < b.tensors.size();) {
    if (const int order = a.tensors[i].compare(b.tensors[j]); order != 0) {
      ++(order < 0 ? i : j);
      continue;
    }
    if (a.elements[i] == b.elements[j])
      visit(Common{a.tensors[i], &a.values[i * kPerTensor], &b.values[j * kPerTensor],
                   a.elements[i]});
    ++i, ++j;
  }
}

// The part that rows of a joined tensor belong to, if it is one alone.
const NameMapping::Part* part_at(const NameMapping::Tensor& joined, const Stretch& stretch,
                                 std::uint64_t elements) {
  std::uint64_t rows = 0, first_row = 0;
  for (const NameMapping::Part& part : joined.parts) rows += static_cast<std::uint64_t>(part.rows);
  if (rows == 0 || elements < rows || elements % rows != 0) return nullptr;
  const std::uint64_t row = elements / rows, begin = stretch.position() / row,
                      last = (stretch.position() + stretch.present() - 1) / row;
  for (const NameMapping::Part& part : joined.parts) {
    const std::uint64_t end = first_row + static_cast<std::uint64_t>(part.rows);
    if (begin >= first_row && last < end) return &part;
    first_row = end;
  }
  return nullptr;
}

// Of a mapping, by new names: tensors that it joins, and those that it cuts out of fused ones.
class RegroupedTensors {
 public:
  explicit RegroupedTensors(const NameMapping& names) {
    for (const NameMapping::Tensor& tensor : names.tensors) {
      const bool is_cut = tensor.parts.size() == 1 && !is_fused_projection(tensor.name) &&
                          is_fused_projection(tensor.parts.front().name);
      if (tensor.parts.size() > 1 || is_cut) tensors_.emplace(tensor.name, &tensor);
    }
  }

  bool has(std::string_view name) const { return tensors_.count(name) > 0; }

  // What a stretch of such a tensor is made from, if it is one part alone.
  const NameMapping::Part* part_of(std::string_view name, const Stretch& stretch,
                                   std::uint64_t elements) const {
    const NameMapping::Tensor& tensor = *tensors_.at(name);
    return tensor.parts.size() == 1 ? &tensor.parts.front() : part_at(tensor, stretch, elements);
  }

 private:
  std::unordered_map<std::string_view, const NameMapping::Tensor*> tensors_;
};

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
  for (const auto& [tensor, stretch] : sampled_stretches(source)) {
    sample.tensors.push_back(stretch.name);
    sample.elements.push_back(tensor->elements);
    append_run(source, *tensor, stretch, sample.values);
  }
  return sample;
}

Kinship kinship_of(const WeightSample& a, const WeightSample& b) {
  PairSums sums;
  for_each_common(a, b, [&](const Common& common) { sums.add(common.a, common.b); });
  return sums.kinship();
}

Kinship kinship_of_others(const WeightSample& a, const WeightSample& b, const NameMapping& names) {
  const RegroupedTensors regrouped(names);
  PairSums sums;
  for_each_common(a, b, [&](const Common& common) {
    if (!regrouped.has(tensor_of(common.name))) sums.add(common.a, common.b);
  });
  const Kinship others = sums.kinship();
  return others.compared > 0 ? others : kinship_of(a, b);
}

std::vector<PartKinship> kinship_of_parts(const WeightSample& a, const WeightSample& b,
                                          const NameMapping& names) {
  const RegroupedTensors regrouped(names);
  std::map<std::string, PartSums> sums;
  for_each_common(a, b, [&](const Common& common) {
    const std::string tensor(tensor_of(common.name));
    if (!regrouped.has(tensor)) return;
    for (const Stretch& stretch : stretches_of(tensor, common.elements)) {
      const NameMapping::Part* part = regrouped.part_of(tensor, stretch, common.elements);
      if (stretch.name != common.name || part == nullptr) continue;
      const std::string& name = is_fused_projection(tensor) ? part->name : tensor;
      PartSums& sum = sums[name];
      sum.old_name = part->name;
      sum.new_name = tensor;
      sum.pairs.add(common.a, common.b, stretch.present());
    }
  });
  std::vector<PartKinship> parts;
  for (const auto& [name, sum] : sums) {
    if (sum.pairs.has_directions())
      parts.push_back({name, sum.old_name, sum.new_name, sum.pairs.kinship()});
  }
  return parts;
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
