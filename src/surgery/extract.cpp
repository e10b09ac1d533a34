#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"
#include "suture/surgery.h"

#include "format/staged_output.h"
#include "stream/weights_writer.h"
#include "stream/worker_pool.h"
#include "surgery/donor_survey.h"
#include "surgery/model_config.h"
#include "surgery/output.h"
#include "surgery/plan.h"
#include "surgery/tokenizer_content.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

class Extraction {
 public:
  Extraction(const Checkpoint& tuned, const Checkpoint& base, const std::string& path,
             const ExtractOptions& options)
      : tuned_(make_source(tuned)), base_(make_source(base)), path_(path), options_(options) {}

  ExtractReport run() {
    refuse_output_on_sources(path_, {tuned_, base_});
    refuse_unwritable(path_, options_.replace_existing);
    report_.compatibility = check({*base_->checkpoint(), *tuned_->checkpoint()}, options_.check);
    require_fit(report_.compatibility);
    read_settings();
    report_.left_out = require_equal_non_floats(*tuned_, *base_);
    plan_tensors();
    if (options_.dry_run) {
      choose_dtypes(DonorSurvey{std::vector<SurveyedTensor>(outputs_.size()), 0, 0, {}, {}, 0});
      return std::move(report_);
    }
    format::StagedOutput stage(
        path_, is_single_file(path_) ? format::OutputKind::kFile : format::OutputKind::kFolder,
        options_.replace_existing ? format::Existing::kReplace : format::Existing::kRefuse);
    const DonorSurvey survey = survey_donors(outputs_, options_.dtype, options_.run);
    choose_dtypes(survey);
    write(stage, survey);
    return std::move(report_);
  }

 private:
  void read_settings();
  void plan_tensors();
  void plan_tensor(const TensorInfo& tensor);
  std::vector<Segment> segments_of(const TensorInfo& tensor, const TensorInfo& base);
  void choose_dtypes(const DonorSurvey& survey);
  VectorMetadata metadata(const DonorSurvey& survey) const;
  void write(format::StagedOutput& stage, const DonorSurvey& survey);
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
};

void Extraction::read_settings() {
  if (auto config = read_model_config(tuned_->checkpoint()->folder())) config_ = std::move(*config);
  tuned_tokenizer_ = read_tokenizer_content(tuned_->checkpoint()->folder());
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
    if (tuned_->find(tensor.name) == nullptr) leave_out(tensor, "only in " + base_->name());
  }
  if (outputs_.empty())
    throw UsageError({tuned_->name() + " - " + base_->name(),
                      {},
                      "no tensor to extract",
                      "at least one float tensor in both",
                      {}});
  report_.bytes_read = 2 * bytes_to_read(outputs_);
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

// f64 where some rows are computed so, else f32.
Dtype natural_dtype(const OutputTensor& output) {
  return std::any_of(output.segments.begin(), output.segments.end(),
                     [](const Segment& segment) { return sum_dtype(segment.terms) == Dtype::kF64; })
             ? Dtype::kF64
             : Dtype::kF32;
}

void Extraction::choose_dtypes(const DonorSurvey& survey) {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const SurveyedTensor& found = survey.tensors[i];
    TensorInfo& info = outputs_[i].info;
    // A widening that would not help is not made.
    const bool widen = found.inexact_in_double < found.inexact_in_float;
    info.dtype = options_.dtype.value_or(widen ? Dtype::kF64 : natural_dtype(outputs_[i]));
    info.bytes = info.elements * static_cast<std::uint64_t>(bytes_of(info.dtype));
    report_.widened_tensors += !options_.dtype && widen;
    report_.inexact_elements += options_.dtype && *options_.dtype != Dtype::kF64
                                    ? found.inexact_in_chosen
                                : info.dtype == Dtype::kF64 ? found.inexact_in_double
                                                            : found.inexact_in_float;
    report_.changed_elements += found.changed;
    report_.elements += info.elements;
  }
  report_.tensors = outputs_.size();
  report_.norm = std::sqrt(survey.squares);
  report_.base_norm = std::sqrt(survey.base_squares);
  report_.bytes_written = bytes_to_write(outputs_);
}

VectorMetadata Extraction::metadata(const DonorSurvey& survey) const {
  VectorMetadata metadata;
  metadata.formula = tuned_->name() + " - " + base_->name();
  if (!options_.only.is_all())
    metadata.formula = "(" + metadata.formula + ").only(" + options_.only.to_string() + ")";
  metadata.donors = {{"tuned", tuned_->name(), survey.tuned_digest},
                     {"base", base_->name(), survey.base_digest}};
  metadata.architecture = config_.architecture;
  metadata.tied_embeddings = config_.tied_embeddings;
  metadata.structure = config_.structure;
  metadata.meaning = config_.meaning;
  if (tuned_tokenizer_) metadata.tokenizer_digest = to_hex(tuned_tokenizer_->digest());
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    metadata.base_norms[outputs_[i].info.name] = std::sqrt(survey.tensors[i].base_squares);
  }
  metadata.base_sample = sample_weights(*base_);
  metadata.left_out = report_.left_out;
  return metadata;
}

void Extraction::write(format::StagedOutput& stage, const DonorSurvey& survey) {
  const std::map<std::string, std::string> header{{"format", "pt"},
                                                  {"suture", encode(metadata(survey))}};
  std::vector<TensorInfo> tensors;
  for (const OutputTensor& output : outputs_) tensors.push_back(output.info);
  const bool single = is_single_file(path_);
  stream::WeightsWriter writer(
      stage,
      single ? stream::lay_out_single_file(tensors, {}, header)
             : stream::lay_out_shards(tensors, "task_vector", header, options_.max_shard_bytes));
  execute(outputs_, writer, options_.run);
  if (!single) {
    const auto& folder = tuned_->checkpoint()->folder();
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

}  // namespace suture
