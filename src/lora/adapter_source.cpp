#include "lora/adapter_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "suture/error.h"
#include "suture/site.h"

#include "format/adapter_folder.h"
#include "format/checkpoint_access.h"
#include "format/digest.h"
#include "kernels/convert.h"
#include "kernels/linear_form.h"
#include "kernels/low_rank_product.h"
#include "lora/adapter_base.h"
#include "lora/adapter_config.h"
#include "lora/adapter_tensors.h"
#include "names/mapped_source.h"
#include "names/name_mapping.h"
#include "names/token_matrices.h"

namespace suture::lora {
namespace {

constexpr std::uint64_t kMostElements = std::uint64_t{1} << 59;
constexpr const char* kMergeWithPeft =
    "merge the adapter into its base with PEFT, then use 'MERGED - BASE'";

bool ends_with_module(const std::string& tensor, const std::string& module) {
  const std::string name = "." + tensor, end = "." + module + ".weight";
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

// The layers of transformers that keep their weights as inputs × outputs.
constexpr std::array kConv1d{"c_attn", "c_proj", "c_fc", "q_attn"};

bool is_conv1d(const std::string& tensor) {
  return std::any_of(kConv1d.begin(), kConv1d.end(),
                     [&](const char* module) { return ends_with_module(tensor, module); });
}

// Whether an embedding among the tensors stored whole belongs to a module to save.
bool saves_embedding(const std::vector<std::string>& modules,
                     const std::vector<std::string>& whole) {
  return std::any_of(whole.begin(), whole.end(), [&](const std::string& tensor) {
    return site_of(tensor).block == Block::kEmbedding &&
           std::any_of(modules.begin(), modules.end(),
                       [&](const std::string& module) { return ends_with_module(tensor, module); });
  });
}

// What one tensor's difference is made from: factors, a whole tensor and the base's, or both.
struct Part {
  std::vector<float> left, right;  // empty where there are no factors
  std::size_t rank = 0, columns = 0;
  double scale = 0;
  std::vector<const TensorInfo*> stored;  // in the adapter's file
  const TensorInfo* whole = nullptr;
  const TensorInfo* base = nullptr;

  bool has_factors() const { return rank > 0; }
};

std::vector<float> transposed(const std::vector<float>& matrix, std::size_t columns) {
  std::vector<float> result(matrix.size());
  const std::size_t rows = columns > 0 ? matrix.size() / columns : 0;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) result[j * rows + i] = matrix[i * columns + j];
  }
  return result;
}

TensorInfo dense_info(const std::string& name, std::vector<std::int64_t> shape,
                      const std::string& file) {
  TensorInfo info;
  info.name = name;
  info.shape = std::move(shape);
  info.elements = 1;
  for (const std::int64_t dimension : info.shape) {
    if (__builtin_mul_overflow(info.elements, static_cast<std::uint64_t>(dimension),
                               &info.elements) ||
        info.elements > kMostElements)
      throw FormatError({file,
                         name,
                         "factors of a tensor of shape " + to_string(info.shape),
                         "one whose bytes can be counted",
                         {}});
  }
  info.bytes = info.elements * sizeof(float);
  return info;
}

// The bytes that the first `end` of `elements` are made from, an even share of what is stored.
std::uint64_t share_of(std::uint64_t bytes, std::uint64_t end, std::uint64_t elements) {
  if (end == elements) return bytes;
  return static_cast<std::uint64_t>(static_cast<double>(bytes) * static_cast<double>(end) /
                                    static_cast<double>(elements));
}

class AdapterSource final : public TensorSource {
 public:
  AdapterSource(const Checkpoint& weights, const std::optional<Checkpoint>& base,
                std::optional<AdapterBase> shown_base)
      : weights_(weights), file_(weights.files().front().string()), base_(std::move(shown_base)) {
    facts_.base = base;
  }

  void add_factors(const std::string& module, const StoredFactors& stored,
                   const ModuleScales& scales, bool transposed_weight);
  void add_whole(const std::string& name, const TensorInfo& tensor);
  void finish(const AdapterConfig& config, const std::string& config_text);

  const std::string& name() const override { return weights_.name(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* find(std::string_view name) const override {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second;
  }
  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
            void* out) const override;
  void verify_unchanged() const override {
    weights_.verify_unchanged();
    if (facts_.base) facts_.base->verify_unchanged();
  }
  const Checkpoint* checkpoint() const override { return &weights_; }
  bool is_in_file(const TensorInfo&) const override { return false; }
  std::vector<const TensorInfo*> parts_in_file(const TensorInfo& tensor) const override {
    return parts_.at(tensor.name).stored;
  }
  std::uint64_t bytes_behind(const TensorInfo& tensor, std::uint64_t first,
                             std::uint64_t count) const override;
  const AdapterFacts* adapter() const override { return &facts_; }
  const Checkpoint* vocabulary() const override { return facts_.base ? &*facts_.base : &weights_; }

 private:
  template <class Take>
  void scan(const TensorInfo& tensor, Take take);
  void require_finite(const TensorInfo& tensor, std::uint64_t first,
                      const std::vector<float>& values) const;
  std::vector<float> load(const TensorInfo& tensor);
  Part& add_part(const std::string& name, std::vector<std::int64_t> shape);
  std::vector<std::int64_t> weight_shape(const StoredFactors& stored, bool transposed_weight) const;
  bool is_transposed(const std::string& name, const StoredFactors& stored, bool by_config);
  void drop_copies();
  bool is_copy(const std::string& name, const Part& part) const;
  void refuse_guessed_squares() const;
  [[noreturn]] void refuse_square(const TensorInfo& factor) const;
  void read_difference(const Part& part, std::uint64_t first, std::size_t count, float* out) const;
  void add_product(const Part& part, std::uint64_t first, std::size_t count, float* out) const;
  std::uint64_t stored_bytes(const Part& part) const;

  Checkpoint weights_;
  std::string file_;
  std::optional<AdapterBase> base_;
  AdapterFacts facts_;
  std::map<std::string, Part> parts_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
  std::vector<std::string> guessed_squares_;  // whose orientation the config alone tells
  bool config_misleads_ = false;              // the base's shapes contradict fan_in_fan_out
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, const TensorInfo*> by_name_;
  format::DigestStream digest_;
};

// Digests a stored tensor, piece by piece, and sees that it is finite.
template <class Take>
void AdapterSource::scan(const TensorInfo& tensor, Take take) {
  constexpr std::uint64_t kPieceElements = 1 << 20;
  const auto width = static_cast<std::uint64_t>(bytes_of(tensor.dtype));
  std::vector<char> bytes;
  std::vector<float> values;
  digest_.update(tensor.name + " " + std::string(name_of(tensor.dtype)) + to_string(tensor.shape));
  for (std::uint64_t first = 0; first < tensor.elements; first += kPieceElements) {
    const std::uint64_t count = std::min(kPieceElements, tensor.elements - first);
    bytes.resize(count * width);
    values.resize(count);
    weights_.read(tensor, first * width, bytes.size(), bytes.data());
    digest_.update(std::string_view(bytes.data(), bytes.size()));
    kernels::widen(tensor.dtype, bytes.data(), values.data(), values.size());
    require_finite(tensor, first, values);
    take(values);
  }
}

void AdapterSource::require_finite(const TensorInfo& tensor, std::uint64_t first,
                                   const std::vector<float>& values) const {
  const auto odd =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (odd == values.end()) return;
  const std::uint64_t element = first + static_cast<std::uint64_t>(odd - values.begin());
  throw FormatError(
      {file_, tensor.name,
       "element " + std::to_string(element) + " is " + (std::isnan(*odd) ? "NaN" : "infinite"),
       "finite numbers", "the training may have diverged; use an earlier adapter"});
}

std::vector<float> AdapterSource::load(const TensorInfo& tensor) {
  std::vector<float> all;
  all.reserve(tensor.elements);
  scan(tensor, [&](const std::vector<float>& values) {
    all.insert(all.end(), values.begin(), values.end());
  });
  return all;
}

Part& AdapterSource::add_part(const std::string& name, std::vector<std::int64_t> shape) {
  shapes_.emplace(name, std::move(shape));
  return parts_[name];
}

std::vector<std::int64_t> AdapterSource::weight_shape(const StoredFactors& stored,
                                                      bool transposed_weight) const {
  const std::int64_t inputs = stored.a->shape[1], outputs = stored.b->shape[0];
  if (transposed_weight) return {inputs, outputs};
  return {outputs, inputs};
}

// The config says it of the layer that was adapted last; where there is a base, its shapes tell.
bool AdapterSource::is_transposed(const std::string& name, const StoredFactors& stored,
                                  bool by_config) {
  if (stored.embedding) return true;
  const bool is_square = stored.a->shape[1] == stored.b->shape[0];
  if (is_square && by_config && !is_conv1d(name)) refuse_square(*stored.a);
  if (!base_) return by_config;
  if (is_square) {
    guessed_squares_.push_back(name);
    return by_config;
  }
  const TensorInfo* base = base_->find(name);
  const bool otherwise = base != nullptr && base->shape == weight_shape(stored, !by_config);
  config_misleads_ = config_misleads_ || otherwise;
  return by_config != otherwise;
}

void AdapterSource::refuse_guessed_squares() const {
  if (!config_misleads_ || guessed_squares_.empty()) return;
  throw FormatError({file_, guessed_squares_.front(),
                     "a square weight, and fan_in_fan_out that is wrong for other layers",
                     "a setting that tells whether it is stored transposed", kMergeWithPeft});
}

void AdapterSource::refuse_square(const TensorInfo& factor) const {
  throw FormatError({file_, factor.name,
                     "fan_in_fan_out for a square weight of no Conv1D by its name",
                     "fan_in_fan_out for c_attn, c_proj, c_fc or q_attn alone, as PEFT saves it",
                     kMergeWithPeft});
}

void AdapterSource::add_factors(const std::string& module, const StoredFactors& stored,
                                const ModuleScales& scales, bool by_config) {
  const std::int64_t rank = scales.rank_of(module);
  if (stored.a->shape[0] != rank)
    throw FormatError({file_, stored.a->name, "rank " + std::to_string(stored.a->shape[0]),
                       "rank " + std::to_string(rank) + " by adapter_config.json",
                       "file and config are of two adapters: save it again"});
  const std::string name = module + ".weight";
  const bool transposed_weight = is_transposed(name, stored, by_config);
  Part& part = add_part(name, weight_shape(stored, transposed_weight));
  if (base_) base_->require(name, shapes_.at(name), *stored.a, file_);
  part.stored = {stored.a, stored.b};
  part.rank = static_cast<std::size_t>(rank);
  part.columns = static_cast<std::size_t>(shapes_.at(name)[1]);
  part.scale = scales.scale_of(module);
  std::vector<float> a = load(*stored.a), b = load(*stored.b);
  part.left = transposed_weight ? transposed(a, static_cast<std::size_t>(stored.a->shape[1]))
                                : std::move(b);
  part.right = transposed_weight ? transposed(b, part.rank) : std::move(a);
  if (stored.bias == nullptr) return;
  const std::string bias_name = module + ".bias";
  Part& bias = add_part(bias_name, stored.bias->shape);
  if (base_) base_->require(bias_name, stored.bias->shape, *stored.bias, file_);
  bias.stored = {stored.bias};
  bias.rank = bias.columns = 1;
  bias.scale = part.scale;
  bias.left = load(*stored.bias);
  bias.right = {1.0f};
}

void AdapterSource::add_whole(const std::string& name, const TensorInfo& tensor) {
  const auto known = shapes_.find(name);
  if (known != shapes_.end() && known->second != tensor.shape)
    throw FormatError({file_, tensor.name,
                       to_string(tensor.shape) + " against factors of " + to_string(known->second),
                       "equal shapes", "save the adapter again"});
  Part& part = add_part(name, tensor.shape);
  part.base = &base_->require(name, tensor.shape, tensor, file_);
  part.whole = &tensor;
  part.stored.push_back(&tensor);
  scan(tensor, [](const std::vector<float>&) {});
  // PEFT stores an embedding beside its factors as it was: that is nothing trained.
  if (!part.has_factors()) facts_.whole.push_back(name);
}

// PEFT stores embeddings, and a head that is tied to one, though nothing of them was trained.
void AdapterSource::drop_copies() {
  if (!base_) return;
  for (const auto& [name, part] : parts_)
    if (is_copy(name, part)) facts_.copies.push_back(name);
  for (const std::string& name : facts_.copies) {
    facts_.whole.erase(std::remove(facts_.whole.begin(), facts_.whole.end(), name),
                       facts_.whole.end());
    shapes_.erase(name);
    parts_.erase(name);
  }
}

// Whether an embedding is the base's; or a head that the base ties, the embedding that the adapter
// stores, or else the base's.
bool AdapterSource::is_copy(const std::string& name, const Part& part) const {
  const bool is_tied_head = part.base != nullptr && part.base->name != name;
  const bool is_embedding = site_of(name).block == Block::kEmbedding;
  if (part.whole == nullptr || part.has_factors() || !(is_tied_head || is_embedding)) return false;
  const auto embedding = is_tied_head ? parts_.find(part.base->name) : parts_.end();
  const bool has_embedding = embedding != parts_.end() && embedding->second.whole != nullptr;
  constexpr std::uint64_t kPiece = 1 << 16;
  std::vector<float> own(kPiece), other(kPiece, 0.0f);
  for (std::uint64_t first = 0; first < part.whole->elements; first += kPiece) {
    const auto count = static_cast<std::size_t>(std::min(kPiece, part.whole->elements - first));
    read_difference(part, first, count, own.data());
    if (has_embedding) read_difference(embedding->second, first, count, other.data());
    if (!std::equal(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(count), other.begin()))
      return false;
  }
  return true;
}

void AdapterSource::finish(const AdapterConfig& config, const std::string& config_text) {
  refuse_guessed_squares();
  drop_copies();
  digest_.update(config_text);
  facts_.digest = to_hex(digest_.finish());
  facts_.trained_on = config.base_model;
  facts_.keeps_tied = config.keeps_tied;
  const bool head_follows =
      std::any_of(facts_.copies.begin(), facts_.copies.end(), is_language_head);
  facts_.replaces_embedding =
      !head_follows && saves_embedding(config.modules_to_save, facts_.whole);
  for (auto& [name, shape] : shapes_) tensors_.push_back(dense_info(name, shape, file_));
  for (const TensorInfo& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
}

void AdapterSource::add_product(const Part& part, std::uint64_t first, std::size_t count,
                                float* out) const {
  if (count == 0) return;
  kernels::low_rank_product(
      {part.left.data(), part.right.data(), part.rank, part.columns, part.scale}, first, count,
      out);
}

void AdapterSource::read_difference(const Part& part, std::uint64_t first, std::size_t count,
                                    float* out) const {
  constexpr std::size_t kPiece = 4096;
  alignas(double) std::array<char, kPiece * sizeof(double)> saved, base;
  const auto read_piece = [&](const auto& from, const TensorInfo& tensor, std::uint64_t at,
                              std::size_t elements, char* to) {
    const auto width = static_cast<std::uint64_t>(bytes_of(tensor.dtype));
    from.read(tensor, at * width, elements * width, to);
    return kernels::StoredTile{to, tensor.dtype};
  };
  for (std::size_t done = 0; done < count; done += kPiece) {
    const std::size_t piece = std::min(kPiece, count - done);
    const kernels::TermTile term{
        read_piece(weights_, *part.whole, first + done, piece, saved.data()),
        read_piece(*base_, *part.base, first + done, piece, base.data()), 1};
    if (part.base->dtype != Dtype::kF64) {
      kernels::sum_of_terms({&term, 1}, out + done, piece);
      continue;
    }
    std::array<double, kPiece> wide;
    kernels::sum_of_terms({&term, 1}, wide.data(), piece);
    kernels::narrow(Dtype::kF32, wide.data(), out + done, piece);
  }
}

void AdapterSource::read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
                         void* out) const {
  if (begin > tensor.bytes || bytes > tensor.bytes - begin)
    throw UsageError({file_, tensor.name, "a read past its end", {}, {}});
  const Part& part = parts_.at(tensor.name);
  const std::uint64_t first = begin / sizeof(float);
  const std::size_t count = bytes / sizeof(float);
  auto* values = static_cast<float*>(out);
  if (part.whole == nullptr) return add_product(part, first, count, values);
  read_difference(part, first, count, values);
  if (!part.has_factors()) return;
  std::vector<float> product(count);
  add_product(part, first, count, product.data());
  for (std::size_t i = 0; i < count; ++i) values[i] += product[i];
}

std::uint64_t AdapterSource::stored_bytes(const Part& part) const {
  std::uint64_t bytes = part.base != nullptr ? part.base->bytes : 0;
  for (const TensorInfo* stored : part.stored) bytes += stored->bytes;
  return bytes;
}

std::uint64_t AdapterSource::bytes_behind(const TensorInfo& tensor, std::uint64_t first,
                                          std::uint64_t count) const {
  const std::uint64_t bytes = stored_bytes(parts_.at(tensor.name));
  return share_of(bytes, first + count, tensor.elements) - share_of(bytes, first, tensor.elements);
}

[[noreturn]] void ask_for_base(const Checkpoint& weights, const AdapterTensors& tensors) {
  constexpr std::size_t kMaxShown = 6;
  std::string names;
  std::size_t shown = 0;
  for (const auto& [name, unused] : tensors.whole) {
    if (shown++ < kMaxShown) names += (names.empty() ? "" : ", ") + printable(name);
  }
  if (shown > kMaxShown) names += ", and " + std::to_string(shown - kMaxShown) + " more";
  throw UsageError({weights.location(),
                    {},
                    "an adapter that stores tensors whole: " + names,
                    "its base, from which they are differences",
                    "write 'ADAPTER - BASE', or extract the vector: suture extract ADAPTER BASE"});
}

}  // namespace

bool is_adapter(const std::string& location) { return format::find_adapter(location).has_value(); }

SourcePtr open_adapter(const std::string& location, const std::optional<Checkpoint>& base) {
  const auto files = format::find_adapter(location);
  if (!files)
    throw UsageError({location, {}, "no adapter", "a folder with an adapter_config.json", {}});
  const std::string text = read_adapter_config(files->config);
  const AdapterConfig config = parse_adapter_config(text, files->config.string());
  const ModuleScales scales(config, files->config.string());
  const Checkpoint weights = CheckpointAccess::open_adapter(*files, location);
  const AdapterTensors tensors = sort_adapter_tensors(weights);
  if (!tensors.whole.empty() && !base) ask_for_base(weights, tensors);
  std::optional<AdapterBase> shown_base;
  if (base) shown_base.emplace(*base, tensors, config.fan_in_fan_out);
  const NameMapping mapping = shown_base ? shown_base->mapping() : NameMapping();
  auto source = std::make_shared<AdapterSource>(weights, base, std::move(shown_base));
  for (const auto& [module, factors] : tensors.factors)
    source->add_factors(module, factors, scales, config.fan_in_fan_out);
  for (const auto& [name, tensor] : tensors.whole) source->add_whole(name, *tensor);
  source->finish(config, text);
  if (mapping.empty()) return source;
  return rename_source(source, mapping, {}, Absent::kZero);
}

}  // namespace suture::lora
