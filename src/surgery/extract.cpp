#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"
#include "suture/surgery.h"

#include "format/staged_output.h"
#include "names/mapped_source.h"
#include "stream/weights_writer.h"
#include "stream/worker_pool.h"
#include "surgery/donor_survey.h"
#include "surgery/dtype_forecast.h"
#include "surgery/model_config.h"
#include "surgery/output.h"
#include "surgery/plan.h"
#include "surgery/plan_report.h"
#include "surgery/sparse_source.h"
#include "surgery/sparse_tensor.h"
#include "surgery/sparse_writer.h"
#include "surgery/tokenizer_content.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using Header = std::map<std::string, std::string>;

// What the metadata says of what only reading the donors can tell.
enum class Findings { kKnown, kStandIns };

class Extraction {
 public:
  Extraction(const Checkpoint& tuned, const Checkpoint& base, const std::string& path,
             const ExtractOptions& options)
      : tuned_(open_source(tuned)), base_(open_source(base)), path_(path), options_(options) {}

  // Of an adapter's differences instead of a tuned model.
  Extraction(SourcePtr adapter, const Checkpoint& base, const std::string& path,
             const ExtractOptions& options)
      : tuned_(std::move(adapter)), base_(open_source(base)), path_(path), options_(options) {}

  ExtractReport run() {
    for (const Checkpoint& model : {*tuned_->checkpoint(), *base_->checkpoint()})
      require_model(model, "models to subtract", "a stored vector is a difference already");
    refuse_output_on_sources(path_, {tuned_, base_});
    refuse_unwritable(path_, options_.replace_existing);
    report_.compatibility = check_donors();
    require_fit(report_.compatibility);
    tuned_ = under_names_of(tuned_, *base_);
    read_settings();
    report_.left_out = require_equal_non_floats(*tuned_, *base_);
    plan_tensors();
    choose_forecast_dtypes();
    if (options_.dry_run) {
      report_storage();
      report_.plan = describe_plan();
      report_.bytes_read = report_.plan->bytes_to_read;
      return std::move(report_);
    }
    format::StagedOutput stage(
        path_, is_single_file(path_) ? format::OutputKind::kFile : format::OutputKind::kFolder,
        options_.replace_existing ? format::Existing::kReplace : format::Existing::kRefuse);
    stream::WeightsWriter writer =
        options_.sparse ? write_in_two_passes(stage) : write_in_one_pass(stage);
    report_findings();
    report_storage();
    finish(stage, writer);
    return std::move(report_);
  }

 private:
  bool is_adapter() const { return tuned_->adapter() != nullptr; }
  // Beside an adapter stands no model: config and tokenizer are the base's.
  const fs::path& model_folder() const {
    return (is_adapter() ? base_ : tuned_)->checkpoint()->folder();
  }
  Compatibility check_donors() const;
  std::optional<Dtype> stored_dtype() const {
    return is_adapter() && !options_.dtype ? Dtype::kF32 : options_.dtype;
  }
  void read_settings();
  void plan_tensors();
  void plan_tensor(const TensorInfo& tensor);
  std::vector<Segment> segments_of(const TensorInfo& tensor, const TensorInfo& base);
  void choose_forecast_dtypes();
  bool choose_exact_dtypes();
  void refuse_stray_parts() const;
  void choose_sparse_tensors();
  void assume_all_sparse();
  std::vector<std::size_t> positions_without_clash() const;
  void report_findings();
  void report_storage();
  VectorMetadata describe(Findings findings) const;
  std::vector<TensorInfo> stored_tensors() const;
  stream::WeightsLayout layout(const std::vector<TensorInfo>& tensors) const;
  Plan describe_plan() const;
  stream::WeightsWriter open_writer(format::StagedOutput& stage);
  stream::WeightsWriter write_in_one_pass(format::StagedOutput& stage);
  stream::WeightsWriter write_in_two_passes(format::StagedOutput& stage);
  void write_again(stream::WeightsWriter& writer);
  void finish(format::StagedOutput& stage, stream::WeightsWriter& writer);
  void leave_out(const TensorInfo& tensor, const std::string& reason) {
    report_.left_out.push_back(printable(tensor.name) + " (" + reason + ")");
  }

  SourcePtr tuned_, base_;
  std::string path_;
  const ExtractOptions& options_;
  ExtractReport report_;
  ModelConfig config_;
  std::optional<TokenizerContent> tuned_tokenizer_, base_tokenizer_;
  std::vector<OutputTensor> outputs_;
  std::vector<std::size_t> sparse_;  // positions in outputs_, of those to be stored sparse
  DonorSurvey survey_;
};

Compatibility Extraction::check_donors() const {
  const Checkpoint& base = *base_->checkpoint();
  return is_adapter() ? check(base, TaskVector::of(single_term(tuned_, nullptr)), options_.check)
                      : check({base, *tuned_->checkpoint()}, options_.check);
}

void Extraction::read_settings() {
  if (auto config = read_model_config(model_folder())) config_ = std::move(*config);
  tuned_tokenizer_ = read_tokenizer_content(model_folder());
  base_tokenizer_ = read_tokenizer_content(base_->checkpoint()->folder());
}

void Extraction::plan_tensors() {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tuned_->tensors()) {
    if (is_computable(tensor.dtype)) names.push_back(tensor.name);
  }
  options_.only.require_matches(names);
  for (const TensorInfo& tensor : tuned_->tensors()) plan_tensor(tensor);
  for (const TensorInfo& tensor : base_->tensors()) {
    if (!is_adapter() && tuned_->find(tensor.name) == nullptr)
      leave_out(tensor, "only in " + base_->name());
  }
  refuse_stray_parts();
  if (outputs_.empty())
    throw UsageError({tuned_->name() + " - " + base_->name(),
                      {},
                      "no tensor to extract",
                      "at least one float tensor in both",
                      {}});
}

void Extraction::plan_tensor(const TensorInfo& tensor) {
  if (!is_computable(tensor.dtype)) return;
  const TensorInfo* base = base_->find(tensor.name);
  if (base == nullptr) return leave_out(tensor, "only in " + tuned_->name());
  if (!is_computable(base->dtype)) return leave_out(tensor, "no float in " + base_->name());
  if (config_.tied_embeddings && site_of(tensor.name).block == Block::kHead)
    return leave_out(tensor, "tied to the embedding");
  if (!options_.only.matches(tensor.name)) return leave_out(tensor, "not selected");
  TensorInfo out = tensor;
  out.strides.clear();
  outputs_.push_back({std::move(out), segments_of(tensor, *base)});
}

std::vector<Segment> Extraction::segments_of(const TensorInfo& tensor, const TensorInfo& base) {
  Segment whole;
  whole.count = tensor.elements;
  ActiveTerm term;
  term.minuend_source = tuned_.get();
  term.minuend = &tensor;
  term.subtrahend_source = base_.get();
  term.subtrahend = &base;
  whole.terms.push_back(term);
  const Block block = site_of(tensor.name).block;
  const bool has_token_rows =
      (block == Block::kEmbedding || block == Block::kHead) && tensor.shape.size() == 2;
  if (!has_token_rows || options_.check.vocabulary == VocabularyPolicy::kSame) return {whole};
  if (!tuned_tokenizer_ || !base_tokenizer_) {
    throw UsageError({path_, tensor.name, "no tokenizer beside the donors",
                      "both, to match rows by token text", "name the models' folders"});
  }
  const auto runs =
      match_rows(*tuned_tokenizer_, tensor.shape[0],
                 {{&*tuned_tokenizer_, tensor.shape[0]}, {&*base_tokenizer_, base.shape[0]}});
  return segments_by_row(whole, tensor.shape[1], runs);
}

std::uint64_t total_of(const std::vector<std::uint64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

void set_dtype(TensorInfo& info, Dtype dtype) {
  info.dtype = dtype;
  info.bytes = info.elements * static_cast<std::uint64_t>(bytes_of(dtype));
}

// A sparse vector is counted before it is laid out, so the sample has nothing to tell: any dtype
// that holds the differences will do.
void Extraction::choose_forecast_dtypes() {
  std::vector<Dtype> dtypes;
  if (!options_.dtype && !is_adapter() && (!options_.sparse || options_.dry_run))
    dtypes = forecast_dtypes(outputs_, options_.run);
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const Dtype natural =
        !is_adapter() && computes_in_double(outputs_[i]) ? Dtype::kF64 : Dtype::kF32;
    set_dtype(outputs_[i].info, options_.dtype.value_or(dtypes.empty() ? natural : dtypes[i]));
  }
}

// True when that changed none of them: what was written in them stands.
bool Extraction::choose_exact_dtypes() {
  if (is_adapter()) return true;  // products fill their float32
  bool stands = true;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const Dtype dtype = options_.dtype.value_or(kernels::narrowest_exact_dtype(
        survey_.tensors[i].findings, computes_in_double(outputs_[i])));
    stands = stands && dtype == outputs_[i].info.dtype;
    set_dtype(outputs_[i].info, dtype);
  }
  return stands;
}

// Whoever opens the vector would miss the tensor that this is a part of.
void Extraction::refuse_stray_parts() const {
  for (const OutputTensor& output : outputs_) {
    const auto whole = sparse_name_of_part(output.info.name);
    if (!whole) continue;
    const bool has_whole =
        std::any_of(outputs_.begin(), outputs_.end(),
                    [&](const OutputTensor& other) { return other.info.name == *whole; });
    if (has_whole) continue;
    throw UsageError({tuned_->name(), output.info.name,
                      "a tensor named like a part of a sparse one", "another name",
                      "leave it out with --except, or rename it"});
  }
}

// Tensors whose parts would have names of their own, none that a tensor of the model has.
std::vector<std::size_t> Extraction::positions_without_clash() const {
  std::unordered_set<std::string_view> taken;
  for (const OutputTensor& output : outputs_) taken.insert(output.info.name);
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const SparseParts parts = sparse_parts_of(outputs_[i].info, 0);
    if (taken.count(parts.bitmap.name) + taken.count(parts.values.name) +
            taken.count(parts.offsets.name) ==
        0)
      positions.push_back(i);
  }
  return positions;
}

// Where it saves room.
void Extraction::choose_sparse_tensors() {
  for (const std::size_t i : positions_without_clash()) {
    const auto& counts = survey_.tensors[i].block_values;
    if (!counts.empty() && is_smaller_sparse(outputs_[i].info, total_of(counts)))
      sparse_.push_back(i);
  }
}

// The most that headers can have to say: of sparse tensors, and of as many values as elements.
void Extraction::assume_all_sparse() {
  sparse_ = positions_without_clash();
  survey_.tensors.resize(outputs_.size());
  for (const std::size_t i : sparse_) survey_.tensors[i].block_values = {outputs_[i].info.elements};
}

void Extraction::report_findings() {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const kernels::DifferenceFindings& found = survey_.tensors[i].findings;
    const Dtype dtype = outputs_[i].info.dtype;
    report_.widened_tensors +=
        !stored_dtype() && dtype == Dtype::kF64 && !computes_in_double(outputs_[i]);
    report_.inexact_elements += options_.dtype && *options_.dtype != Dtype::kF64
                                    ? found.inexact_in_chosen
                                : dtype == Dtype::kF64 ? found.inexact_in_double
                                                       : found.inexact_in_float;
    report_.changed_elements += found.changed;
  }
  report_.norm = std::sqrt(survey_.squares);
  report_.base_norm = std::sqrt(survey_.base_squares);
}

void Extraction::report_storage() {
  report_.tensors = outputs_.size();
  report_.sparse_tensors = sparse_.size();
  for (const OutputTensor& output : outputs_) {
    ++report_.dtypes[output.info.dtype];
    report_.elements += output.info.elements;
  }
  if (report_.bytes_written == 0) report_.bytes_written = bytes_to_write(outputs_);
}

VectorMetadata Extraction::describe(Findings findings) const {
  VectorMetadata metadata;
  metadata.formula = is_adapter() ? tuned_->name() : tuned_->name() + " - " + base_->name();
  if (!options_.only.is_all())
    metadata.formula = "(" + metadata.formula + ").only(" + options_.only.to_string() + ")";
  metadata.architecture = config_.architecture;
  metadata.tied_embeddings = config_.tied_embeddings;
  metadata.structure = config_.structure;
  metadata.meaning = config_.meaning;
  if (tuned_tokenizer_) metadata.tokenizer_digest = to_hex(tuned_tokenizer_->digest());
  metadata.base_sample = sample_weights(*base_);
  metadata.left_out = report_.left_out;
  if (const NameMapping* mapping = mapping_of(*tuned_)) metadata.names = mapping->rules;
  for (const std::size_t i : sparse_) {
    const TensorInfo& info = outputs_[i].info;
    metadata.sparse[info.name] = {info.dtype, info.shape};
  }
  // Stand-ins take as much room as any findings.
  const bool is_known = findings == Findings::kKnown;
  const std::string unknown_digest(32, '0');
  metadata.donors = {{is_adapter() ? "adapter" : "tuned", tuned_->name(),
                      is_adapter() ? tuned_->adapter()->digest
                      : is_known   ? survey_.tuned_digest
                                   : unknown_digest},
                     {"base", base_->name(), is_known ? survey_.base_digest : unknown_digest}};
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    metadata.base_norms[outputs_[i].info.name] =
        is_known ? std::sqrt(survey_.tensors[i].findings.base_squares) : kLongestNorm;
  }
  return metadata;
}

Header header_of(const VectorMetadata& metadata) {
  return {{"format", "pt"}, {"suture", encode(metadata)}};
}

// Everything that the files hold: tensors, and the parts of sparse ones.
std::vector<TensorInfo> Extraction::stored_tensors() const {
  std::vector<TensorInfo> tensors;
  auto next_sparse = sparse_.begin();
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (next_sparse == sparse_.end() || *next_sparse != i) {
      tensors.push_back(outputs_[i].info);
      continue;
    }
    ++next_sparse;
    const SparseParts parts =
        sparse_parts_of(outputs_[i].info, total_of(survey_.tensors[i].block_values));
    tensors.insert(tensors.end(), {parts.offsets, parts.values, parts.bitmap});
  }
  return tensors;
}

// The size of the header is that of stand-ins also where the findings are known: the bytes do not
// tell in how many passes they were made.
stream::WeightsLayout Extraction::layout(const std::vector<TensorInfo>& tensors) const {
  const Header room = header_of(describe(Findings::kStandIns));
  return is_single_file(path_)
             ? stream::lay_out_single_file(tensors, {}, room)
             : stream::lay_out_shards(tensors, "task_vector", room, options_.max_shard_bytes);
}

std::uint64_t header_bytes(const stream::WeightsLayout& layout) {
  std::uint64_t bytes = layout.index ? layout.index->second.size() : 0;
  for (const stream::ShardLayout& shard : layout.shards) bytes += shard.first_bytes.size();
  return bytes;
}

// Of a sparse vector an upper bound alone: how many elements are zero is not known.
Plan Extraction::describe_plan() const {
  const stream::WeightsLayout laid_out = layout(stored_tensors());
  const fs::path& folder = model_folder();
  PlanContext context;
  context.output_path = path_;
  context.layout = &laid_out;
  if (!is_single_file(path_)) context.side_files = sizes_of(folder, tokenizer_files(folder));
  context.left_out = report_.left_out;
  context.sources = {tuned_, base_};
  context.passes = options_.sparse ? 2 : 1;
  context.may_widen = !options_.dtype && !is_adapter();
  context.estimated_header = true;
  context.may_be_sparse = options_.sparse;
  if (options_.sparse) {
    Extraction most = *this;
    most.assume_all_sparse();
    context.sparse_header_bytes = header_bytes(most.layout(most.stored_tensors()));
  }
  return suture::describe(outputs_, context, options_.run);
}

stream::WeightsWriter Extraction::open_writer(format::StagedOutput& stage) {
  const std::vector<TensorInfo> tensors = stored_tensors();
  report_.bytes_written = 0;
  for (const TensorInfo& tensor : tensors) report_.bytes_written += tensor.bytes;
  return {stage, layout(tensors)};
}

stream::WeightsWriter Extraction::write_in_one_pass(format::StagedOutput& stage) {
  stream::WeightsWriter writer = open_writer(stage);
  survey_ = survey_donors(outputs_, {stored_dtype(), false, is_adapter(), &writer}, options_.run);
  report_.bytes_read = bytes_to_read(outputs_);
  if (choose_exact_dtypes()) return writer;
  writer.discard();
  stream::WeightsWriter second = open_writer(stage);
  write_again(second);
  return second;
}

stream::WeightsWriter Extraction::write_in_two_passes(format::StagedOutput& stage) {
  survey_ = survey_donors(outputs_, {options_.dtype, true, false, nullptr}, options_.run);
  report_.bytes_read = bytes_to_read(outputs_);
  choose_exact_dtypes();
  choose_sparse_tensors();
  stream::WeightsWriter writer = open_writer(stage);
  write_again(writer);
  return writer;
}

void Extraction::write_again(stream::WeightsWriter& writer) {
  std::vector<OutputTensor> dense;
  std::vector<SparseOutput> sparse;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (std::binary_search(sparse_.begin(), sparse_.end(), i)) {
      sparse.push_back({&outputs_[i], survey_.tensors[i].block_values});
    } else {
      dense.push_back(outputs_[i]);
    }
  }
  report_.bytes_read += bytes_to_read(outputs_);
  if (!dense.empty()) execute(dense, writer.layout().by_name(), writer, options_.run);
  if (!sparse.empty()) write_sparse(sparse, writer, options_.run);
}

void Extraction::finish(format::StagedOutput& stage, stream::WeightsWriter& writer) {
  writer.replace_metadata(header_of(describe(Findings::kKnown)));
  if (!is_single_file(path_)) {
    const fs::path& folder = model_folder();
    copy_side_files(folder, tokenizer_files(folder), stage);
  }
  writer.finish();
  tuned_->verify_unchanged();
  base_->verify_unchanged();
  stream::check_cancelled(options_.run);
  stage.commit();
}

}  // namespace

ExtractReport extract(const Checkpoint& tuned, const Checkpoint& base, const std::string& path,
                      const ExtractOptions& options) {
  return Extraction(tuned, base, path, options).run();
}

ExtractReport extract(const std::string& adapter, const Checkpoint& base, const std::string& path,
                      const ExtractOptions& options) {
  if (options.sparse)
    throw UsageError({adapter,
                      {},
                      "a LoRA adapter, to be stored sparse",
                      "dense tensors: products of its factors are hardly ever zero",
                      {}});
  return Extraction(sources_of(TaskVector::open(adapter, base).form()).front(), base, path, options)
      .run();
}

}  // namespace suture
