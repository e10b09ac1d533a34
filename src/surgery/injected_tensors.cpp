#include "surgery/injected_tensors.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "surgery/model_config.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

bool same_storage(const Checkpoint& a, const TensorInfo& in_a, const Checkpoint& b,
                  const TensorInfo& in_b) {
  std::error_code error;
  return in_a.offset == in_b.offset && in_a.bytes == in_b.bytes && in_a.dtype == in_b.dtype &&
         in_a.strides == in_b.strides &&
         fs::equivalent(a.files()[in_a.file], b.files()[in_b.file], error);
}

// target + 1 * (tuned - target) is tuned: the whole segment is then a copy, exact where float32
// arithmetic would not be.
void simplify(Segment& segment) {
  if (segment.terms.size() != 1) return;
  const ActiveTerm& term = segment.terms.front();
  if (term.scale != 1 || term.subtrahend == nullptr || term.minuend_shift != 0 ||
      term.subtrahend_shift != 0)
    return;
  const Checkpoint* target = segment.origin_source->checkpoint();
  const Checkpoint* base = term.subtrahend_source->checkpoint();
  if (target == nullptr || base == nullptr || !segment.origin_source->is_in_file(*segment.origin) ||
      !term.subtrahend_source->is_in_file(*term.subtrahend) ||
      !same_storage(*target, *segment.origin, *base, *term.subtrahend))
    return;
  segment.origin_source = term.minuend_source;
  segment.origin = term.minuend;
  segment.terms.clear();
}

}  // namespace

InjectedTensors::InjectedTensors(SourcePtr target, const TaskVector& vector,
                                 VocabularyPolicy vocabulary)
    : target_(std::move(target)), vector_(vector), vocabulary_(vocabulary) {
  const fs::path& folder = target_->checkpoint()->folder();
  const auto config = read_model_config(folder);
  if (config && config->tied_embeddings) {
    for (const TensorInfo& tensor : target_->tensors()) {
      if (site_of(tensor.name).block == Block::kEmbedding && embedding_.empty())
        embedding_ = tensor.name;
    }
  }
  if (!maps_rows()) return;
  target_tokenizer_ = read_tokenizer_content(folder);
  for (const SourcePtr& source : sources_of(vector_.form())) {
    auto& tokenizer = donor_tokenizers_[source.get()];
    if (source->vocabulary() != nullptr)
      tokenizer = read_tokenizer_content(source->vocabulary()->folder());
  }
}

OutputTensor InjectedTensors::plan(const TensorInfo& tensor, std::optional<Dtype> dtype) {
  TensorInfo out = tensor;
  out.strides.clear();
  if (dtype && is_computable(tensor.dtype)) {
    out.dtype = *dtype;
    out.bytes = out.elements * static_cast<std::uint64_t>(bytes_of(out.dtype));
  }
  Segment whole;
  whole.count = tensor.elements;
  whole.origin_source = target_.get();
  whole.origin = &tensor;
  if (is_computable(tensor.dtype)) whole.terms = terms_for(tensor);
  const Block block = site_of(tensor.name).block;
  const bool has_token_rows =
      (block == Block::kEmbedding || block == Block::kHead) && tensor.shape.size() == 2;
  if (maps_rows() && has_token_rows && !whole.terms.empty())
    return {std::move(out), map_rows(whole, tensor)};
  simplify(whole);
  return whole_tensor(std::move(out), std::move(whole));
}

// A head that is stored although it is tied follows the embedding.
std::vector<ActiveTerm> InjectedTensors::terms_for(const TensorInfo& tensor) {
  const bool follows = !embedding_.empty() && site_of(tensor.name).block == Block::kHead;
  const std::string& name = follows ? embedding_ : tensor.name;
  used_.insert(name);
  return active_terms(vector_.form(), name);
}

std::vector<Segment> InjectedTensors::map_rows(const Segment& whole, const TensorInfo& tensor) {
  std::vector<DonorVocabulary> donors;
  const auto add_donor = [&](const TensorSource* source, const TensorInfo& info) {
    const auto& tokenizer = donor_tokenizers_[source];
    if (!tokenizer || tokenizer->ids.empty()) {
      throw UsageError({source->name(), tensor.name, "no readable tokenizer beside it",
                        "one, to match rows by token text",
                        "name the model's folder, or extract the vector into a folder"});
    }
    donors.push_back({&*tokenizer, info.shape.empty() ? 0 : info.shape[0]});
  };
  for (const ActiveTerm& term : whole.terms) {
    add_donor(term.minuend_source, *term.minuend);
    if (term.subtrahend != nullptr) add_donor(term.subtrahend_source, *term.subtrahend);
  }
  if (!target_tokenizer_ || target_tokenizer_->ids.empty()) {
    throw UsageError({target_->checkpoint()->location(), tensor.name,
                      "no readable tokenizer beside the target", "one, to match rows by token text",
                      "name the model's folder"});
  }
  const auto runs = match_rows(*target_tokenizer_, tensor.shape[0], donors);
  mapped_rows_ = std::max(mapped_rows_, count_rows(runs));
  return segments_by_row(whole, tensor.shape[1], runs);
}

}  // namespace suture
