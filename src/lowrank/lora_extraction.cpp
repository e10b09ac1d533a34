#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "suture/error.h"
#include "suture/lora.h"
#include "suture/site.h"

#include "analysis/weight_masks.h"
#include "core/one_torch_thread.h"
#include "core/scalar_type.h"
#include "format/staged_output.h"
#include "kernels/linear_form.h"
#include "kernels/statistics.h"
#include "lora/adapter_writer.h"
#include "lowrank/adapter_layout.h"
#include "lowrank/low_rank.h"
#include "names/fused_projections.h"
#include "names/tower.h"
#include "stream/weights_writer.h"
#include "stream/worker_pool.h"
#include "surgery/injected_tensors.h"
#include "surgery/materialize.h"
#include "surgery/measure.h"
#include "surgery/model_config.h"
#include "surgery/output.h"
#include "surgery/plan.h"
#include "surgery/sparse_source.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

constexpr const char* kWeightsFile = "adapter_model.safetensors";

// Factors as they are stored, dense and on the CPU.
struct Factors {
  at::Tensor up, down;
};

void require_options(const LoraOptions& options, const std::string& path) {
  const auto refuse = [](const std::string& found, const std::string& expected) {
    throw UsageError({{}, {}, found, expected, {}});
  };
  if (!options.rank && !options.energy) refuse("neither a rank nor an energy", "one of them");
  if (options.rank && *options.rank < 1)
    refuse("a rank of " + std::to_string(*options.rank), "1 or more");
  if (options.energy && !(*options.energy > 0 && *options.energy <= 1))
    refuse("an energy of " + std::to_string(*options.energy), "more than 0 and at most 1");
  if (options.dtype == Dtype::kF64) refuse("factors in float64", "bf16, f16 or f32");
  if (options.check.vocabulary != VocabularyPolicy::kSame)
    refuse("vocabularies matched by token text", "the same vocabulary: an adapter has no rows");
  if (is_single_file(path)) {
    throw UsageError({path, {}, "a file name", "a folder: an adapter is several files", {}});
  }
  require_device(options.device);
}

void add(LoraError& sum, const LoraError& part) {
  sum.norm = std::hypot(sum.norm, part.norm);
  sum.residual = std::hypot(sum.residual, part.residual);
  sum.merged_residual = std::hypot(sum.merged_residual, part.merged_residual);
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

class LoraExtraction {
 public:
  LoraExtraction(TaskVector vector, SourcePtr base, const std::string& path,
                 const LoraOptions& options)
      : vector_(vector.only(options.only)),
        base_(std::move(base)),
        path_(path),
        options_(options) {}

  // `report` says what was found so far: compatibility, and tensors that are no part of the vector.
  LoraReport run(LoraReport report) {
    report_ = std::move(report);
    report_.dry_run = options_.dry_run;
    read_base();
    warn_of_odd_names();
    list_tensors();
    if (options_.dry_run) {
      foresee();
      return std::move(report_);
    }
    format::StagedOutput stage(
        path_, format::OutputKind::kFolder,
        options_.replace_existing ? format::Existing::kReplace : format::Existing::kRefuse);
    decompose();
    measure_others();
    choose_whole_tensors();
    write(stage);
    return std::move(report_);
  }

 private:
  void read_base();
  void warn_of_odd_names();
  void list_tensors();
  void list_tensor(const std::string& name);
  void require_one_matrix() const;
  void foresee();
  void decompose();
  void decompose(std::size_t i);
  at::Tensor base_matrix(const TensorInfo& info) const;
  void measure_others();
  void note_other(std::size_t i, const kernels::ValueStatistics& found);
  void require_finite(const std::string& name, std::int64_t non_finite) const;
  void choose_whole_tensors();
  void save_module(const std::string& module);
  void add_whole(const TensorInfo& tensor);
  void add_up_errors();
  std::vector<TensorInfo> stored_tensors() const;
  void write(format::StagedOutput& stage);
  void write_factors(stream::WeightsWriter& writer);
  void write_whole(stream::WeightsWriter& writer);
  std::vector<std::size_t> positions_of(Holding holding) const;
  std::string formula() const { return vector_.formula(); }

  TaskVector vector_;
  SourcePtr base_;
  std::string path_;
  const LoraOptions& options_;
  LoraReport report_;
  ModelConfig config_;
  AdaptedModel model_;
  AdapterContent content_;
  std::vector<HeldTensor> held_;  // goes with report_.tensors
  std::vector<Factors> factors_;  // likewise; undefined where there are none
  std::optional<InjectedTensors> injected_;
  std::vector<OutputTensor> outputs_;             // the whole tensors, under PEFT's names
  std::map<std::string, std::string> output_of_;  // by such a name: that of the base's tensor
};

// Of the only file of a folder the folder, which is what PEFT opens.
std::string model_location(const Checkpoint& base) {
  const std::filesystem::path location = base.location();
  std::error_code error;
  const std::filesystem::path folder =
      location.has_parent_path() ? location.parent_path() : std::filesystem::path(".");
  const bool is_all_of_it = location.filename() == "model.safetensors" &&
                            std::filesystem::exists(folder / "config.json", error);
  return is_all_of_it ? folder.string() : location.string();
}

void LoraExtraction::read_base() {
  if (auto config = read_model_config(base_->checkpoint()->folder())) config_ = std::move(*config);
  model_ = {base_.get(), config_.tied_embeddings, options_.low_rank_embeddings};
  if (model_.tied && model_.low_rank_embeddings) {
    throw UsageError({base_->name(),
                      {},
                      "an embedding that is tied to the head",
                      "untied ones for factors: PEFT would leave the head as it was",
                      "without --low-rank-embeddings the embedding is stored whole"});
  }
  content_.base_model = model_location(*base_->checkpoint());
  content_.fan_in_fan_out = is_fan_in_fan_out(config_.architecture);
  for (const TensorInfo& tensor : base_->tensors())
    if (const std::string module = module_of(tensor.name); !module.empty())
      content_.model_modules.insert(module);
}

// PEFT goes by the names of the modules that transformers builds, whatever those in the file are.
void LoraExtraction::warn_of_odd_names() {
  const std::string& architecture = config_.architecture;
  const bool is_known = architecture == "LlamaForCausalLM" ||
                        architecture == "MistralForCausalLM" ||
                        architecture == "Qwen2ForCausalLM" || architecture == "Qwen3ForCausalLM" ||
                        architecture == "GemmaForCausalLM" || architecture == "Gemma2ForCausalLM";
  if (!is_known) return;
  for (const TensorInfo& tensor : base_->tensors()) {
    const auto tower = tower_of(tensor.name);
    if ((!tower || *tower == "model.") && !is_fused_projection(tensor.name)) continue;
    auto& findings = report_.compatibility.findings;
    findings.insert(
        findings.begin(),
        {Severity::kWarning, "names",
         printable(base_->name()) + " calls a tensor " + printable(tensor.name) +
             ", which is not what transformers calls its module in a " + printable(architecture),
         "PEFT may load the adapter onto nothing",
         "give the base the names that transformers writes, and extract again"});
    return;
  }
}

void LoraExtraction::list_tensors() {
  for (const std::string& name : vector_.names()) list_tensor(name);
  factors_.resize(held_.size());
  require_one_matrix();
}

void LoraExtraction::list_tensor(const std::string& name) {
  HeldTensor held;
  held.terms = active_terms(vector_.form(), name);
  if (held.terms.empty()) return;  // only in one of the models, which is told elsewhere
  held.base = base_->find(name);
  const TensorInfo& info = held.base != nullptr ? *held.base : *held.terms.front().minuend;
  if (model_.tied && site_of(name).block == Block::kHead) {
    report_.left_out.push_back(printable(name) + " (tied to the embedding)");
    return;
  }
  if (held.base == nullptr || !is_computable(held.base->dtype)) {
    held.reason = "no float in " + base_->name();
  } else {
    held.holding = holding_of(info, model_);
    if (held.holding == Holding::kNone)
      held.reason = "no part of a linear, embedding or norm module";
  }
  LoraTensor tensor;
  tensor.name = name;
  tensor.shape = info.shape;
  tensor.reason = held.reason;
  held_.push_back(std::move(held));
  report_.tensors.push_back(std::move(tensor));
}

std::vector<std::size_t> LoraExtraction::positions_of(Holding holding) const {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < held_.size(); ++i)
    if (held_[i].holding == holding) positions.push_back(i);
  return positions;
}

void LoraExtraction::require_one_matrix() const {
  if (positions_of(Holding::kFactors).empty()) {
    throw UsageError({vector_.formula(),
                      {},
                      "no weight matrix of a linear layer",
                      "at least one: PEFT loads no adapter without",
                      {}});
  }
}

// What there will be at most: whether a tensor differs is not known, and no energy either.
void LoraExtraction::foresee() {
  const auto width = static_cast<std::uint64_t>(bytes_of(options_.dtype));
  for (std::size_t i = 0; i < held_.size(); ++i) {
    LoraTensor& tensor = report_.tensors[i];
    const Holding holding = held_[i].holding;
    tensor.form = holding == Holding::kNone      ? LoraForm::kLeftOut
                  : holding == Holding::kFactors ? LoraForm::kLowRank
                                                 : LoraForm::kWhole;
    if (tensor.form == LoraForm::kWhole) report_.bytes_written += held_[i].base->bytes;
    if (tensor.form != LoraForm::kLowRank) continue;
    const std::int64_t side = std::min(tensor.shape[0], tensor.shape[1]);
    tensor.rank = std::min(options_.rank.value_or(side), side);
    report_.rank = std::max(report_.rank, tensor.rank);
    report_.bytes_written +=
        static_cast<std::uint64_t>(tensor.rank * (tensor.shape[0] + tensor.shape[1])) * width;
  }
}

// One matrix a job, each on one thread on the CPU: sums then do not depend on how many there are.
void LoraExtraction::decompose() {
  const std::vector<std::size_t> matrices = positions_of(Holding::kFactors);
  std::uint64_t bytes = 0;
  for (const std::size_t i : matrices) bytes += held_[i].base->elements * sizeof(float);
  stream::ProgressMeter progress(options_.run, "decomposing", bytes);
  RunOptions run = options_.run;
  if (!options_.device.is_cpu()) run.threads = 1;
  stream::run_jobs(matrices.size(), run, [&] {
    return [&](std::size_t job) {
      const OneTorchThread alone(options_.device.is_cpu());
      decompose(matrices[job]);
      progress.add(held_[matrices[job]].base->elements * sizeof(float));
    };
  });
  progress.finish();
  for (const std::size_t i : matrices) {
    const LoraTensor& tensor = report_.tensors[i];
    if (tensor.form != LoraForm::kLowRank) continue;
    const bool embedding = site_of(tensor.name).block == Block::kEmbedding;
    content_.modules[module_of(tensor.name)] = {tensor.rank, embedding};
    report_.rank = std::max(report_.rank, tensor.rank);
  }
  if (content_.modules.empty()) {
    throw UsageError({vector_.formula(),
                      {},
                      "no weight matrix that differs from the base",
                      "at least one: PEFT loads no adapter without",
                      "write the vector itself, without --lora and --energy"});
  }
}

void LoraExtraction::decompose(std::size_t i) {
  const at::NoGradGuard no_grad;
  RunOptions run = options_.run;
  run.on_progress = nullptr;
  run.threads = 1;
  LoraTensor& tensor = report_.tensors[i];
  const at::Tensor delta = materialize_terms(held_[i].terms, run).to(options_.device);
  require_finite(tensor.name, count_non_finite(delta));
  const LowRank found = low_rank(delta, {options_.rank, options_.energy, options_.seed, &run});
  if (found.rank() == 0) return;
  const at::ScalarType type = *scalar_type_of(options_.dtype);
  const at::Tensor up = found.up.to(type), down = found.down.to(type);
  const Leftover left = leftover_of(delta, up, down, base_matrix(*held_[i].base), &run);
  if (!std::isfinite(left.squares)) {
    throw UsageError({formula(), tensor.name,
                      "factors too large for " + std::string(name_of(options_.dtype)),
                      "a dtype that has room for them", "take --dtype f32"});
  }
  tensor.form = LoraForm::kLowRank;
  tensor.rank = found.rank();
  tensor.error = {std::sqrt(found.squares), std::sqrt(left.squares),
                  std::sqrt(left.merged_squares)};
  // PEFT transposes the product for an embedding, and for a layer that keeps inputs x outputs.
  const Block block = site_of(tensor.name).block;
  const bool swapped =
      block == Block::kEmbedding || (content_.fan_in_fan_out && block != Block::kHead);
  const auto stored = [](const at::Tensor& factor) { return factor.to(at::kCPU).contiguous(); };
  factors_[i] =
      swapped ? Factors{stored(down.t()), stored(up.t())} : Factors{stored(up), stored(down)};
}

at::Tensor LoraExtraction::base_matrix(const TensorInfo& info) const {
  const at::Tensor read = at::empty(info.shape, *scalar_type_of(info.dtype));
  base_->read(info, 0, info.bytes, read.mutable_data_ptr());
  return read.to(options_.device);
}

// A gate that lets through the tensors that get no factors.
NamedScales others_among(const std::vector<HeldTensor>& held,
                         const std::vector<LoraTensor>& tensors) {
  NamedScales gate;
  for (std::size_t i = 0; i < held.size(); ++i)
    if (held[i].holding != Holding::kFactors) gate.scales.emplace(tensors[i].name, 1);
  return gate;
}

// Whether the tensors that get no factors changed, and by how much.
void LoraExtraction::measure_others() {
  TaskVector::Form form = vector_.form();
  const NamedScales others = others_among(held_, report_.tensors);
  if (others.scales.empty()) return;
  for (Term& term : form.terms) term.gates.emplace_back(others);
  const TaskVector vector = TaskVector::of(std::make_shared<TaskVector::Form>(std::move(form)));
  std::unordered_map<std::string, kernels::ValueStatistics> found;
  for (const TensorMeasures& tensor : measure({{vector, nullptr}}, options_.run))
    found.emplace(tensor.name, tensor.values.front());
  for (std::size_t i = 0; i < held_.size(); ++i)
    if (const auto at = found.find(report_.tensors[i].name); at != found.end())
      note_other(i, at->second);
}

void LoraExtraction::note_other(std::size_t i, const kernels::ValueStatistics& found) {
  LoraTensor& tensor = report_.tensors[i];
  require_finite(tensor.name, static_cast<std::int64_t>(found.non_finite));
  tensor.error.norm = std::sqrt(found.sum_of_squares);
  if (found.non_zero == 0) return;
  tensor.form = held_[i].holding == Holding::kNone ? LoraForm::kLeftOut : LoraForm::kWhole;
  if (tensor.form == LoraForm::kLeftOut)
    tensor.error.residual = tensor.error.merged_residual = tensor.error.norm;
}

void LoraExtraction::require_finite(const std::string& name, std::int64_t non_finite) const {
  if (non_finite == 0) return;
  throw UsageError({formula(), name,
                    std::to_string(non_finite) + " entries of the change are NaN or infinite",
                    "finite ones", "leave the tensor out with --except"});
}

// A saved module comes with all of its tensors, whether they changed or not.
void LoraExtraction::choose_whole_tensors() {
  injected_.emplace(base_, vector_, VocabularyPolicy::kSame);
  std::set<std::string> modules;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (report_.tensors[i].form != LoraForm::kWhole) continue;
    const TensorInfo& tensor = *held_[i].base;
    if (held_[i].holding != Holding::kSavedModule) {
      content_.biases = content_.biases || held_[i].holding == Holding::kBias;
      add_whole(tensor);
    } else if (modules.insert(module_of(tensor.name)).second) {
      save_module(module_of(tensor.name));
    }
  }
}

void LoraExtraction::save_module(const std::string& module) {
  content_.modules_to_save.push_back(module);
  for (const TensorInfo& tensor : base_->tensors())
    if (module_of(tensor.name) == module) add_whole(tensor);
}

// In the dtype that the tuned model has it in, where there is one: then it is a copy.
void LoraExtraction::add_whole(const TensorInfo& tensor) {
  const auto terms = active_terms(vector_.form(), tensor.name);
  std::optional<Dtype> dtype;
  if (terms.size() == 1 && terms.front().subtrahend != nullptr)
    dtype = terms.front().minuend->dtype;
  OutputTensor output = injected_->plan(tensor, dtype);
  output.info.name = name_of_whole(tensor.name, content_);
  output_of_[output.info.name] = tensor.name;
  outputs_.push_back(std::move(output));
}

std::vector<TensorInfo> LoraExtraction::stored_tensors() const {
  std::vector<TensorInfo> tensors;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (!factors_[i].up.defined()) continue;
    const std::string module = module_of(report_.tensors[i].name);
    const AdaptedModule& adapted = content_.modules.at(module);
    tensors.push_back(describe(name_of_down(module, adapted), factors_[i].down));
    tensors.push_back(describe(name_of_up(module, adapted), factors_[i].up));
  }
  for (const OutputTensor& output : outputs_) tensors.push_back(output.info);
  return tensors;
}

void LoraExtraction::write_factors(stream::WeightsWriter& writer) {
  const auto places = writer.layout().by_name();
  const auto put = [&](const std::string& name, const at::Tensor& factor) {
    writer.write(*places.at(name), 0, factor.const_data_ptr(), factor.nbytes());
  };
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (!factors_[i].up.defined()) continue;
    const std::string module = module_of(report_.tensors[i].name);
    const AdaptedModule& adapted = content_.modules.at(module);
    put(name_of_down(module, adapted), factors_[i].down);
    put(name_of_up(module, adapted), factors_[i].up);
  }
}

// Rounding may take something of a whole tensor that is no copy.
void LoraExtraction::write_whole(stream::WeightsWriter& writer) {
  if (outputs_.empty()) return;
  const auto changes = execute(outputs_, writer.layout().by_name(), writer, options_.run);
  std::unordered_map<std::string, const kernels::ChangeSums*> by_name;
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    by_name.emplace(output_of_.at(outputs_[i].info.name), &changes[i]);
  for (LoraTensor& tensor : report_.tensors) {
    const auto found = by_name.find(tensor.name);
    if (found == by_name.end()) continue;
    const kernels::ChangeSums& sums = *found->second;
    tensor.error.residual = tensor.error.merged_residual =
        std::sqrt(std::max(0.0, sums.wanted_squares - 2 * sums.dot + sums.realised_squares));
  }
}

void LoraExtraction::add_up_errors() {
  for (const LoraTensor& tensor : report_.tensors) {
    if (tensor.form == LoraForm::kLeftOut)
      report_.left_out.push_back(printable(tensor.name) + " (" + tensor.reason + "; norm " +
                                 number_text(tensor.error.norm) + ")");
    add(report_.total, tensor.error);
    const Site site = site_of(tensor.name);
    if (!site.layer) {
      add(report_.outside_layers, tensor.error);
      continue;
    }
    const auto layer = static_cast<std::size_t>(*site.layer);
    report_.layers.resize(std::max(report_.layers.size(), layer + 1));
    add(report_.layers[layer], tensor.error);
  }
}

void LoraExtraction::write(format::StagedOutput& stage) {
  const std::vector<TensorInfo> tensors = stored_tensors();
  for (const TensorInfo& tensor : tensors) report_.bytes_written += tensor.bytes;
  stream::WeightsWriter writer(
      stage, stream::lay_out_single_file(tensors, kWeightsFile, {{"format", "pt"}}));
  write_factors(writer);
  write_whole(writer);
  add_up_errors();
  format::write_small_file(stage.path_of("adapter_config.json"), adapter_config_text(content_));
  format::write_small_file(stage.path_of("suture.json"),
                           adapter_provenance_text(formula(), base_->name(), options_, report_));
  writer.finish();
  for (const SourcePtr& source : sources_of(vector_.form())) source->verify_unchanged();
  base_->verify_unchanged();
  stream::check_cancelled(options_.run);
  stage.commit();
}

void refuse_unfit_output(const std::string& path, const LoraOptions& options,
                         const std::vector<SourcePtr>& sources) {
  require_options(options, path);
  refuse_output_on_sources(path, sources);
  refuse_unwritable(path, options.replace_existing);
}

}  // namespace

LoraReport extract_lora(const Checkpoint& tuned, const Checkpoint& base, const std::string& path,
                        const LoraOptions& options) {
  const SourcePtr base_source = open_source(base);
  SourcePtr tuned_source = open_source(tuned);
  refuse_unfit_output(path, options, {tuned_source, base_source});
  for (const Checkpoint& model : {tuned, base}) require_model(model, "two models");
  LoraReport report;
  report.compatibility = check({base, tuned}, options.check);
  require_fit(report.compatibility);
  tuned_source = under_names_of(tuned_source, *base_source);
  report.left_out = require_equal_non_floats(*tuned_source, *base_source);
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tuned_source->tensors()) {
    if (!is_computable(tensor.dtype)) continue;
    names.push_back(tensor.name);
    const TensorInfo* other = base_source->find(tensor.name);
    if (other == nullptr)
      report.left_out.push_back(printable(tensor.name) + " (only in " + tuned.name() + ")");
  }
  for (const TensorInfo& tensor : base_source->tensors())
    if (tuned_source->find(tensor.name) == nullptr)
      report.left_out.push_back(printable(tensor.name) + " (only in " + base.name() + ")");
  options.only.require_matches(names);
  const TaskVector vector = TaskVector::of(single_term(tuned_source, base_source));
  return LoraExtraction(vector, base_source, path, options).run(std::move(report));
}

LoraReport extract_lora(const TaskVector& vector, const Checkpoint& base, const std::string& path,
                        const LoraOptions& options) {
  const SourcePtr base_source = open_source(base);
  std::vector<SourcePtr> sources = sources_of(vector.form());
  sources.push_back(base_source);
  refuse_unfit_output(path, options, sources);
  require_model(base, "the model that the adapter is for");
  LoraReport report;
  report.compatibility = check(base, vector, options.check);
  require_fit(report.compatibility);
  const TaskVector named = under_names_of(base, vector, options.check);
  options.only.require_matches(named.names());
  return LoraExtraction(named, base_source, path, options).run(std::move(report));
}

}  // namespace suture
