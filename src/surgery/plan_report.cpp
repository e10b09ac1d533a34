#include "surgery/plan_report.h"

#include <algorithm>
#include <filesystem>
#include <fnmatch.h>
#include <limits>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "suture/error.h"

#include "core/nearest_name.h"
#include "stream/worker_pool.h"
#include "surgery/output.h"

namespace suture {
namespace {

namespace fs = std::filesystem;

// What a header that holds measured numbers may grow by, beyond its estimate.
constexpr std::uint64_t kHeaderSlackBytesPerTensor = 32;

// Stands for the weight files where their number is not known yet.
constexpr const char* kWeightsOfUnknownNumber = "*.safetensors";

PlannedOperand operand_of(const TensorSource& source, const TensorInfo& tensor) {
  PlannedOperand operand;
  operand.model = source.name();
  operand.dtype = tensor.dtype;
  operand.shape = tensor.shape;
  operand.bytes = source.bytes_behind(tensor, 0, tensor.elements);
  operand.strided = !tensor.strides.empty();
  operand.stored_as = source.stored_as(tensor);
  const auto file_of = [&](const TensorInfo& stored) {
    return source.checkpoint()->files()[stored.file].string();
  };
  for (const TensorInfo* part : source.parts_in_file(tensor))
    operand.parts.push_back({part->name, file_of(*part), part->offset, part->bytes});
  if (source.checkpoint() != nullptr && source.is_in_file(tensor)) {
    operand.file = file_of(tensor);
    operand.first_byte = tensor.offset;
  }
  return operand;
}

PlannedTerm term_of(const ActiveTerm& term) {
  PlannedTerm planned{term.scale, operand_of(*term.minuend_source, *term.minuend), {}};
  if (term.subtrahend != nullptr)
    planned.subtrahend = operand_of(*term.subtrahend_source, *term.subtrahend);
  return planned;
}

Making making_of(const OutputTensor& output) {
  const Segment& first = output.segments.front();
  if (!output.is_copied() || first.origin == nullptr) return Making::kComputed;
  const bool as_bytes = first.origin->dtype == output.info.dtype && first.origin->strides.empty();
  return as_bytes ? Making::kCopied : Making::kConverted;
}

// Matched rows show as several segments, or as one that has moved.
bool has_mapped_rows(const OutputTensor& output) {
  const Segment& first = output.segments.front();
  const bool moved = std::any_of(
      first.terms.begin(), first.terms.end(),
      [](const ActiveTerm& term) { return term.minuend_shift != 0 || term.subtrahend_shift != 0; });
  return output.segments.size() > 1 || moved;
}

void describe_rows(const OutputTensor& output, PlannedTensor& planned) {
  const auto row = static_cast<std::uint64_t>(std::max<std::int64_t>(planned.shape.back(), 1));
  planned.rows = planned.shape.front();
  for (const Segment& segment : output.segments) {
    if (!segment.terms.empty())
      planned.mapped_rows += static_cast<std::int64_t>(segment.count / row);
  }
}

PlannedTensor describe(const OutputTensor& output, const PlanContext& context) {
  PlannedTensor planned;
  planned.name = output.info.name;
  planned.making = making_of(output);
  planned.dtype = output.info.dtype;
  planned.may_become_double = context.may_widen && output.info.dtype != Dtype::kF64;
  planned.may_be_sparse = context.may_be_sparse;
  planned.shape = output.info.shape;
  planned.bytes = output.info.bytes;
  const Segment& first = output.segments.front();
  if (first.origin != nullptr) planned.origin = operand_of(*first.origin_source, *first.origin);
  const auto with_terms = std::find_if(output.segments.begin(), output.segments.end(),
                                       [](const Segment& s) { return !s.terms.empty(); });
  if (with_terms != output.segments.end()) {
    for (const ActiveTerm& term : with_terms->terms) planned.terms.push_back(term_of(term));
  }
  if (has_mapped_rows(output)) describe_rows(output, planned);
  return planned;
}

// The notes on what is left out are text for people; this finds the tensors that they speak of.
// What is no tensor (another file of the folder) stays a name and a reason.
std::vector<PlannedTensor> describe_left_out(const PlanContext& context) {
  std::unordered_map<std::string, const TensorInfo*> by_shown_name;
  for (const SourcePtr& source : context.sources) {
    for (const TensorInfo& tensor : source->tensors())
      by_shown_name.emplace(printable(tensor.name), &tensor);
  }
  std::vector<PlannedTensor> tensors;
  for (const std::string& note : context.left_out) {
    for (std::size_t at = note.find(" ("); at != std::string::npos; at = note.find(" (", at + 1)) {
      const auto found = by_shown_name.find(note.substr(0, at));
      if (found == by_shown_name.end() || note.back() != ')') continue;
      PlannedTensor planned;
      planned.name = found->second->name;
      planned.making = Making::kLeftOut;
      planned.dtype = found->second->dtype;
      planned.shape = found->second->shape;
      planned.reason = note.substr(at + 2, note.size() - at - 3);
      tensors.push_back(std::move(planned));
      break;
    }
  }
  return tensors;
}

// What is read, by the model it is read from, in the order of first use.
class InputBytes {
 public:
  void add(const TensorSource& source, const TensorInfo& tensor, std::uint64_t first,
           std::int64_t shift, std::uint64_t count) {
    const std::uint64_t bytes =
        source.bytes_behind(tensor, first + static_cast<std::uint64_t>(shift), count);
    const Checkpoint* checkpoint = source.checkpoint();
    const std::string key = checkpoint != nullptr ? checkpoint->location() : source.name();
    const auto [place, is_new] = places_.emplace(key, inputs_.size());
    if (is_new) inputs_.push_back({source.name(), 0});
    inputs_[place->second].bytes += bytes;
  }

  void add(const OutputTensor& output) {
    for (const Segment& segment : output.segments) {
      const std::uint64_t first = segment.first, count = segment.count;
      if (segment.origin != nullptr) add(*segment.origin_source, *segment.origin, first, 0, count);
      for (const ActiveTerm& term : segment.terms) {
        add(*term.minuend_source, *term.minuend, first, term.minuend_shift, count);
        if (term.subtrahend != nullptr)
          add(*term.subtrahend_source, *term.subtrahend, first, term.subtrahend_shift, count);
      }
    }
  }

  std::vector<Plan::Input> take() { return std::move(inputs_); }

 private:
  std::vector<Plan::Input> inputs_;
  std::unordered_map<std::string, std::size_t> places_;
};

void describe_inputs(const std::vector<OutputTensor>& outputs, const PlanContext& context,
                     Plan& plan) {
  InputBytes bytes;
  for (const OutputTensor& output : outputs) bytes.add(output);
  plan.inputs = bytes.take();
  for (Plan::Input& input : plan.inputs) {
    input.bytes *= context.passes;
    plan.bytes_to_read += input.bytes;
  }
}

// The shards and their index. What may be sparse may also take fewer shards than its dense layout.
void describe_weight_files(const PlanContext& context, Plan& plan) {
  const stream::WeightsLayout& layout = *context.layout;
  const std::string single = fs::path(context.output_path).filename().string();
  for (const stream::ShardLayout& shard : layout.shards) {
    plan.files.push_back(
        {is_single_file(context.output_path) ? single : shard.file_name, shard.file_bytes});
    plan.bytes_to_write_at_most += shard.file_bytes;
  }
  if (layout.index) {
    plan.files.push_back({layout.index->first, layout.index->second.size()});
    plan.bytes_to_write_at_most += layout.index->second.size();
  }
  if (!context.may_be_sparse) return;
  plan.bytes_to_write_at_most += context.sparse_header_bytes;
  plan.files.resize(1);
  plan.files.front().bytes = 0;
  plan.files.front().is_known = false;
  if (layout.index) plan.files.front().name = kWeightsOfUnknownNumber;
}

void describe_files(const PlanContext& context, Plan& plan) {
  describe_weight_files(context, plan);
  plan.files.insert(plan.files.end(), context.side_files.begin(), context.side_files.end());
  for (const Plan::File& file : context.side_files) plan.bytes_to_write_at_most += file.bytes;
  for (const Plan::File& file : plan.files) plan.bytes_to_write += file.bytes;
}

std::uint64_t free_bytes_beside(const std::string& path) {
  std::error_code error;
  const fs::path parent = fs::absolute(path, error).parent_path();
  const fs::space_info space = fs::space(parent, error);
  return error ? std::numeric_limits<std::uint64_t>::max() : space.available;
}

}  // namespace

Plan describe(const std::vector<OutputTensor>& outputs, const PlanContext& context,
              const RunOptions& options) {
  Plan plan;
  describe_inputs(outputs, context, plan);
  describe_files(context, plan);
  const auto places = context.layout->by_name();
  for (const OutputTensor& output : outputs) {
    plan.tensors.push_back(describe(output, context));
    PlannedTensor& tensor = plan.tensors.back();
    const std::size_t shard = context.may_be_sparse ? 0 : places.at(tensor.name)->file;
    tensor.output_file = plan.files[shard].name;
    plan.sizes_are_forecast = plan.sizes_are_forecast || tensor.may_become_double;
    if (tensor.may_become_double)
      plan.bytes_to_write_at_most += output.info.elements * sizeof(double) - tensor.bytes;
    if (context.estimated_header) plan.bytes_to_write_at_most += kHeaderSlackBytesPerTensor;
  }
  for (PlannedTensor& tensor : describe_left_out(context))
    plan.tensors.push_back(std::move(tensor));
  plan.disk_bytes_free = free_bytes_beside(context.output_path);
  plan.threads = stream::thread_count(options);
  plan.buffer_bytes = buffer_bytes(outputs, options);
  plan.memory_budget_bytes = options.memory_budget_bytes;
  return plan;
}

std::vector<Plan::File> sizes_of(const fs::path& folder, const std::vector<fs::path>& names) {
  std::vector<Plan::File> files;
  for (const fs::path& name : names) {
    std::error_code error;
    const std::uintmax_t bytes = fs::file_size(folder / name, error);
    files.push_back({name.string(), error ? 0 : bytes});
  }
  return files;
}

bool Plan::knows_bytes_to_write() const {
  return std::all_of(files.begin(), files.end(), [](const File& file) { return file.is_known; });
}

std::size_t Plan::count(Making making) const {
  return static_cast<std::size_t>(
      std::count_if(tensors.begin(), tensors.end(),
                    [making](const PlannedTensor& tensor) { return tensor.making == making; }));
}

std::vector<PlannedTensor> explain(const Plan& plan, const std::vector<std::string>& patterns) {
  std::vector<bool> wanted(plan.tensors.size(), false);
  for (const std::string& pattern : patterns) {
    bool found = false;
    for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
      const std::string& name = plan.tensors[i].name;
      if (name != pattern && ::fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
      wanted[i] = found = true;
    }
    if (found) continue;
    std::vector<std::string> names;
    for (const PlannedTensor& tensor : plan.tensors) names.push_back(tensor.name);
    throw UsageError({{},
                      {},
                      "no tensor is called '" + printable(pattern) + "'",
                      "a tensor of the output or one left out, or a pattern with *",
                      did_you_mean(pattern, std::move(names))});
  }
  std::vector<PlannedTensor> explained;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i]) explained.push_back(plan.tensors[i]);
  }
  return explained;
}

}  // namespace suture
