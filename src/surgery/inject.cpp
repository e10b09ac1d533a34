#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"
#include "suture/surgery.h"

#include "format/checkpoint_access.h"
#include "format/model_folder.h"
#include "format/staged_output.h"
#include "stream/weights_writer.h"
#include "stream/worker_pool.h"
#include "surgery/injected_tensors.h"
#include "surgery/model_config.h"
#include "surgery/output.h"
#include "surgery/plan.h"
#include "surgery/plan_report.h"
#include "surgery/provenance.h"
#include "surgery/realised_change.h"
#include "surgery/target_layout.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProvenanceKey = "suture_provenance";

class Injection {
 public:
  Injection(const Checkpoint& target, const TaskVector& vector, const std::string& path,
            const InjectOptions& options)
      : target_(make_source(target)), asked_(vector), path_(path), options_(options) {}

  InjectReport run() {
    refuse_inputs();
    report_.compatibility = check(checkpoint(), asked_, options_.check);
    require_fit(report_.compatibility);
    vector_ = under_names_of(checkpoint(), asked_, options_.check);
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

  void refuse_inputs() const;
  void plan_tensors();
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
  const TaskVector& asked_;  // under the names of its donors
  TaskVector vector_;        // under those of the target
  std::string path_;
  const InjectOptions& options_;
  std::optional<InjectedTensors> tensors_;
  InjectReport report_;
  std::vector<OutputTensor> outputs_;
  std::vector<fs::path> side_files_;  // of the target, that come along
};

void Injection::refuse_inputs() const {
  std::vector<SourcePtr> sources = sources_of(asked_.form());
  sources.push_back(target_);
  refuse_output_on_sources(path_, sources);
  refuse_unwritable(path_, options_.replace_existing);
}

void Injection::plan_tensors() {
  tensors_.emplace(target_, vector_, options_.check.vocabulary);
  for (const TensorInfo& tensor : target_->tensors()) {
    outputs_.push_back(tensors_->plan(tensor, options_.dtype));
    ++(outputs_.back().is_copied() &&
               outputs_.back().segments.front().origin_source == target_.get()
           ? report_.copied_tensors
           : report_.computed_tensors);
  }
  report_.mapped_rows = tensors_->mapped_rows();
  note_unused_vector_tensors();
  report_.bytes_read = bytes_to_read(outputs_);
  report_.bytes_written = bytes_to_write(outputs_);
}

void Injection::note_unused_vector_tensors() {
  for (const std::string& name : vector_.names()) {
    const TensorInfo* own = target_->find(name);
    if (own != nullptr && is_computable(own->dtype) && tensors_->used(name)) continue;
    const bool has_floats = own != nullptr && is_computable(own->dtype);
    const bool tied = has_floats || (own == nullptr && tensors_->ties_head() &&
                                     site_of(name).block == Block::kHead);
    report_.left_out.push_back(printable(name) +
                               (tied             ? " (the target's head is tied to its embedding)"
                                : own == nullptr ? " (no tensor of the target)"
                                                 : " (no floats in the target)"));
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
  made.formula = target_->name() + " + " + asked_.formula();
  made.target = target_->name();
  made.sources = sources_of(asked_.form());
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
  report_.realised = roll_up(outputs_, execute(outputs_, writer.layout().by_name(), writer,
                                               options_.run, options_.stochastic_seed));
  if (!single) write_side_files(stage);
  if (single && report_.computed_tensors > 0)
    writer.replace_metadata(metadata_like_target(checkpoint(), {{kProvenanceKey, provenance()}}));
  writer.finish();
  target_->verify_unchanged();
  for (const SourcePtr& source : sources_of(asked_.form())) source->verify_unchanged();
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
