#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"
#include "suture/surgery.h"

#include "format/checkpoint_access.h"
#include "format/model_folder.h"
#include "format/staged_output.h"
#include "stream/weights_writer.h"
#include "stream/worker_pool.h"
#include "surgery/model_config.h"
#include "surgery/output.h"
#include "surgery/plan.h"
#include "surgery/plan_report.h"
#include "surgery/provenance.h"
#include "surgery/realised_change.h"
#include "surgery/target_layout.h"
#include "surgery/tokenizer_content.h"

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

constexpr const char* kProvenanceKey = "suture_provenance";

class Injection {
 public:
  Injection(const Checkpoint& target, const TaskVector& vector, const std::string& path,
            const InjectOptions& options)
      : target_(make_source(target)), vector_(vector), path_(path), options_(options) {}

  InjectReport run() {
    refuse_inputs();
    report_.compatibility = check(checkpoint(), vector_, options_.check);
    require_fit(report_.compatibility);
    read_settings();
    for (const Term& term : vector_.form().terms) {
      if (term.subtrahend) note_left_out(require_equal_non_floats(*term.minuend, *term.subtrahend));
    }
    plan_tensors();
    plan_side_files();
    if (options_.dry_run) {
      report_.plan = describe_plan();
    } else {
      write();
    }
    return std::move(report_);
  }

 private:
  const Checkpoint& checkpoint() const { return *target_->checkpoint(); }
  bool maps_rows() const { return options_.check.vocabulary == VocabularyPolicy::kCommon; }

  void refuse_inputs() const;
  void read_settings();
  void plan_tensors();
  OutputTensor plan_tensor(const TensorInfo& tensor);
  std::vector<ActiveTerm> terms_for(const TensorInfo& tensor);
  std::vector<Segment> map_rows(const Segment& whole, const TensorInfo& tensor);
  void note_unused_vector_tensors();
  void note_left_out(const std::vector<std::string>& items) {
    report_.left_out.insert(report_.left_out.end(), items.begin(), items.end());
  }
  void plan_side_files();
  std::string provenance() const;
  std::size_t room_for_realised() const;
  stream::WeightsLayout layout() const;
  Plan describe_plan() const;
  void write();
  void write_side_files(format::StagedOutput& stage);

  SourcePtr target_;
  const TaskVector& vector_;
  std::string path_;
  const InjectOptions& options_;
  InjectReport report_;
  ModelConfig config_;
  std::string embedding_;  // the target's input embedding, when its head is tied to it
  std::optional<TokenizerContent> target_tokenizer_;
  std::map<const TensorSource*, std::optional<TokenizerContent>> donor_tokenizers_;
  std::set<std::string, std::less<>> used_;
  std::vector<OutputTensor> outputs_;
  std::vector<fs::path> side_files_;  // of the target, that come along
};

void Injection::refuse_inputs() const {
  std::vector<SourcePtr> sources = sources_of(vector_.form());
  sources.push_back(target_);
  refuse_output_on_sources(path_, sources);
  refuse_unwritable(path_, options_.replace_existing);
}

void Injection::read_settings() {
  const auto config = read_model_config(checkpoint().folder());
  if (config) config_ = *config;
  if (config_.tied_embeddings) {
    for (const TensorInfo& tensor : target_->tensors()) {
      if (site_of(tensor.name).block == Block::kEmbedding && embedding_.empty())
        embedding_ = tensor.name;
    }
  }
  if (!maps_rows()) return;
  target_tokenizer_ = read_tokenizer_content(checkpoint().folder());
  for (const SourcePtr& source : sources_of(vector_.form())) {
    auto& tokenizer = donor_tokenizers_[source.get()];
    if (source->checkpoint() != nullptr)
      tokenizer = read_tokenizer_content(source->checkpoint()->folder());
  }
}

void Injection::plan_tensors() {
  for (const TensorInfo& tensor : target_->tensors()) {
    outputs_.push_back(plan_tensor(tensor));
    ++(outputs_.back().is_copied() &&
               outputs_.back().segments.front().origin_source == target_.get()
           ? report_.copied_tensors
           : report_.computed_tensors);
  }
  note_unused_vector_tensors();
  report_.bytes_read = bytes_to_read(outputs_);
  report_.bytes_written = bytes_to_write(outputs_);
}

OutputTensor Injection::plan_tensor(const TensorInfo& tensor) {
  TensorInfo out = tensor;
  out.strides.clear();
  if (options_.dtype && is_computable(tensor.dtype)) {
    out.dtype = *options_.dtype;
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
std::vector<ActiveTerm> Injection::terms_for(const TensorInfo& tensor) {
  const bool follows = !embedding_.empty() && site_of(tensor.name).block == Block::kHead;
  const std::string& name = follows ? embedding_ : tensor.name;
  used_.insert(name);
  return active_terms(vector_.form(), name);
}

std::vector<Segment> Injection::map_rows(const Segment& whole, const TensorInfo& tensor) {
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
    throw UsageError({checkpoint().location(), tensor.name,
                      "no readable tokenizer beside the target", "one, to match rows by token text",
                      "name the model's folder"});
  }
  const auto runs = match_rows(*target_tokenizer_, tensor.shape[0], donors);
  report_.mapped_rows = std::max(report_.mapped_rows, count_rows(runs));
  return segments_by_row(whole, tensor.shape[1], runs);
}

void Injection::note_unused_vector_tensors() {
  for (const std::string& name : vector_.names()) {
    const TensorInfo* own = target_->find(name);
    if (own != nullptr && is_computable(own->dtype) && used_.count(name) > 0) continue;
    const bool tied = own != nullptr || site_of(name).block == Block::kHead;
    report_.left_out.push_back(printable(name) +
                               (tied ? " (the target's head is tied to its embedding)"
                                     : " (not a float tensor of the target)"));
  }
}

// A file by itself has nothing beside it.
void Injection::plan_side_files() {
  const fs::path& folder = checkpoint().folder();
  if (is_single_file(path_) || folder.empty()) return;
  format::SideFiles files = format::find_side_files(folder);
  for (const fs::path& name : files.left_out) {
    const bool is_weight_of_target =
        std::any_of(checkpoint().files().begin(), checkpoint().files().end(),
                    [&](const fs::path& file) { return file == folder / name; });
    const bool is_index = name.string().find(".index.json") != std::string::npos;
    if (!is_weight_of_target && !is_index)
      report_.left_out.push_back(printable(name.string()) + " (other weights of the target)");
  }
  side_files_ = std::move(files.copied);
}

std::string Injection::provenance() const {
  Provenance made;
  made.formula = target_->name() + " + " + vector_.formula();
  made.target = target_->name();
  made.sources = sources_of(vector_.form());
  made.dtype = options_.dtype;
  made.mapped_rows = report_.mapped_rows;
  made.computed_tensors = report_.computed_tensors;
  made.copied_tensors = report_.copied_tensors;
  made.left_out = report_.left_out;
  made.stochastic_seed = options_.stochastic_seed;
  made.realised = &report_.realised;
  made.compatibility = &report_.compatibility;
  return to_json_text(made);
}

// Upper bound of what the table of realised changes takes in the provenance: it is measured while
// the file is written whose header holds it.
std::size_t Injection::room_for_realised() const {
  constexpr std::size_t kRowBytes = 512, kFrameBytes = 256;
  const RealisedChanges rows = roll_up(outputs_, std::vector<kernels::ChangeSums>(outputs_.size()));
  return (rows.layers.size() + 2) * kRowBytes + kFrameBytes;
}

stream::WeightsLayout Injection::layout() const {
  std::vector<TensorInfo> tensors;
  for (const OutputTensor& output : outputs_) tensors.push_back(output.info);
  TargetLayoutOptions wanted;
  wanted.single_file = is_single_file(path_);
  wanted.max_shard_bytes = options_.max_shard_bytes;
  if (wanted.single_file && report_.computed_tensors > 0)
    wanted.extra_metadata[kProvenanceKey] = provenance() + std::string(room_for_realised(), ' ');
  return lay_out_like_target(checkpoint(), tensors, wanted);
}

Plan Injection::describe_plan() const {
  const stream::WeightsLayout laid_out = layout();
  PlanContext context;
  context.output_path = path_;
  context.layout = &laid_out;
  context.side_files = sizes_of(checkpoint().folder(), side_files_);
  if (!is_single_file(path_))
    context.side_files.push_back({"suture.json", provenance().size() + room_for_realised()});
  for (Plan::File& file : context.side_files) {
    if (options_.dtype && file.name == "config.json")
      file.bytes = config_with_dtype(checkpoint().folder(), *options_.dtype).size();
  }
  context.left_out = report_.left_out;
  context.sources = sources_of(vector_.form());
  return describe(outputs_, context, options_.run);
}

void Injection::write() {
  const bool single = is_single_file(path_);
  format::StagedOutput stage(
      path_, single ? format::OutputKind::kFile : format::OutputKind::kFolder,
      options_.replace_existing ? format::Existing::kReplace : format::Existing::kRefuse);
  stream::WeightsWriter writer(stage, layout());
  report_.realised =
      roll_up(outputs_, execute(outputs_, writer, options_.run, options_.stochastic_seed));
  if (!single) write_side_files(stage);
  if (single && report_.computed_tensors > 0)
    writer.replace_metadata(metadata_like_target(checkpoint(), {{kProvenanceKey, provenance()}}));
  writer.finish();
  target_->verify_unchanged();
  for (const SourcePtr& source : sources_of(vector_.form())) source->verify_unchanged();
  stream::check_cancelled(options_.run);
  stage.commit();
}

void Injection::write_side_files(format::StagedOutput& stage) {
  const fs::path& folder = checkpoint().folder();
  std::vector<fs::path> copied = side_files_;
  const auto config = std::find(copied.begin(), copied.end(), fs::path("config.json"));
  if (options_.dtype && config != copied.end()) {
    format::write_small_file(stage.path_of("config.json"),
                             config_with_dtype(folder, *options_.dtype));
    copied.erase(config);
  }
  copy_side_files(folder, copied, stage);
  format::write_small_file(stage.path_of("suture.json"), provenance());
}

}  // namespace

InjectReport inject(const Checkpoint& target, const TaskVector& vector, const std::string& path,
                    const InjectOptions& options) {
  return Injection(target, vector, path, options).run();
}

}  // namespace suture
