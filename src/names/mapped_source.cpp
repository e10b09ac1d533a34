#include "names/mapped_source.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "suture/error.h"

#include "kernels/convert.h"
#include "names/tensors_by_name.h"

namespace suture {
namespace {

std::uint64_t width_of(Dtype dtype) { return static_cast<std::uint64_t>(bytes_of(dtype)); }

// A run of elements that stand in one tensor of the source, or zeros.
struct Run {
  std::string name;
  const TensorInfo* tensor = nullptr;    // in the source; of an absent part, one that is like it
  std::uint64_t first = 0, count = 0;    // of its elements
  std::int64_t first_row = 0, rows = 0;  // the same in rows
  bool is_zero = false;
};

// A tensor under its new name, and what it is made from.
struct Mapped {
  TensorInfo info;
  std::vector<Run> runs;

  bool is_joined() const { return runs.size() > 1; }
  bool is_whole() const {
    return !is_joined() && runs.front().rows == rows_of(*runs.front().tensor);
  }
};

// Calls `visit(run, first element in the run, count)` for what [first, first + count) is made from.
template <typename Visit>
void for_each_run(const Mapped& mapped, std::uint64_t first, std::uint64_t count, Visit&& visit) {
  for (const Run& run : mapped.runs) {
    if (count == 0) return;
    if (first >= run.count) {
      first -= run.count;
      continue;
    }
    const std::uint64_t here = std::min(count, run.count - first);
    visit(run, first, here);
    count -= here;
    first = 0;
  }
}

class MappedSource final : public TensorSource {
 public:
  MappedSource(SourcePtr source, const NameMapping& mapping, const std::set<std::string>& masked,
               Absent absent)
      : source_(std::move(source)), mapping_(mapping), absent_(absent) {
    collect(masked);
    for (const Mapped& mapped : mapped_) tensors_.push_back(mapped.info);
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (!positions_.emplace(tensors_[i].name, i).second)
        refuse(tensors_[i].name, "two tensors of this name after mapping", "one");
    }
  }

  const NameMapping& mapping() const { return mapping_; }

  const std::string& name() const override { return source_->name(); }
  const AdapterFacts* adapter() const override { return source_->adapter(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* find(std::string_view name) const override {
    const auto at = positions_.find(name);
    return at == positions_.end() ? nullptr : &tensors_[at->second];
  }
  void read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
            void* out) const override;
  const at::Tensor* in_memory(const TensorInfo& tensor) const override {
    const Mapped& mapped = mapped_of(tensor);
    return mapped.is_joined() ? nullptr : source_->in_memory(*mapped.runs.front().tensor);
  }
  std::uint64_t first_in_memory(const TensorInfo& tensor) const override {
    const Run& run = mapped_of(tensor).runs.front();
    return run.first + source_->first_in_memory(*run.tensor);
  }
  void verify_unchanged() const override { source_->verify_unchanged(); }
  const Checkpoint* checkpoint() const override { return source_->checkpoint(); }
  const Checkpoint* vocabulary() const override { return source_->vocabulary(); }
  bool is_in_file(const TensorInfo& tensor) const override {
    const Mapped& mapped = mapped_of(tensor);
    return !mapped.is_joined() && source_->is_in_file(*mapped.runs.front().tensor);
  }
  std::vector<const TensorInfo*> parts_in_file(const TensorInfo& tensor) const override;
  std::uint64_t bytes_behind(const TensorInfo& tensor, std::uint64_t first,
                             std::uint64_t count) const override;
  std::string stored_as(const TensorInfo& tensor) const override;

 private:
  void collect(const std::set<std::string>& masked);
  std::vector<Run> runs_of(const NameMapping::Tensor& tensor) const;
  void place_elements(Run& run, const TensorInfo* like) const;
  Mapped join(const NameMapping::Tensor& tensor, std::vector<Run> runs) const;
  const Mapped& mapped_of(const TensorInfo& tensor) const {
    return mapped_[positions_.at(tensor.name)];
  }
  [[noreturn]] void refuse(const std::string& tensor, const std::string& found,
                           const std::string& expected) const {
    throw UsageError({source_->name(), tensor, found, expected,
                      "make the mapping with mapping_between, from this model's tensors"});
  }

  SourcePtr source_;
  NameMapping mapping_;
  Absent absent_;
  std::vector<Mapped> mapped_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, std::size_t> positions_;  // into both
};

// In the order of the source, each where the first of its parts that are there stands.
void MappedSource::collect(const std::set<std::string>& masked) {
  std::unordered_map<std::string_view, std::vector<const NameMapping::Tensor*>> by_first_part;
  std::unordered_set<std::string_view> moved;
  for (const NameMapping::Tensor& tensor : mapping_.tensors) {
    if (tensor.parts.empty()) refuse(tensor.name, "a tensor without parts", "one at least");
    const auto first = std::find_if(
        tensor.parts.begin(), tensor.parts.end(),
        [&](const NameMapping::Part& part) { return source_->find(part.name) != nullptr; });
    if (first != tensor.parts.end()) by_first_part[first->name].push_back(&tensor);
    for (const NameMapping::Part& part : tensor.parts) moved.insert(part.name);
  }
  for (const NameMapping::Tensor& tensor : mapping_.tensors) runs_of(tensor);  // refuses half ones
  for (const TensorInfo& tensor : source_->tensors()) {
    if (moved.count(tensor.name) == 0)
      mapped_.push_back(
          {tensor, {{tensor.name, &tensor, 0, tensor.elements, 0, rows_of(tensor), false}}});
    const auto at = by_first_part.find(tensor.name);
    if (at == by_first_part.end()) continue;
    for (const NameMapping::Tensor* named : at->second) {
      std::vector<Run> runs = runs_of(*named);
      if (runs.empty()) continue;
      for (Run& run : runs)
        run.is_zero = run.is_zero || (runs.size() > 1 && masked.count(run.name) > 0);
      mapped_.push_back(join(*named, std::move(runs)));
    }
  }
}

std::vector<Run> MappedSource::runs_of(const NameMapping::Tensor& tensor) const {
  std::vector<Run> runs;
  const TensorInfo* like = nullptr;
  std::size_t present = 0;
  for (const NameMapping::Part& part : tensor.parts) {
    const TensorInfo* found = source_->find(part.name);
    runs.push_back({part.name, found, 0, 0, part.first_row, part.rows, found == nullptr});
    if (found == nullptr) continue;
    ++present;
    if (like == nullptr) like = found;
    const std::int64_t rows = rows_of(*found);
    if (part.first_row < 0 || part.rows < 0 || part.first_row > rows ||
        part.rows > rows - part.first_row) {
      refuse(
          part.name, to_string(found->shape),
          std::to_string(part.rows) + " rows from row " + std::to_string(part.first_row) + " on");
    }
  }
  if (present == 0) return {};
  if (present < runs.size() && absent_ == Absent::kRefused)
    refuse(tensor.name, std::to_string(present) + " of its parts",
           "all " + std::to_string(runs.size()) + ", or none");
  for (Run& run : runs) place_elements(run, like);
  return runs;
}

// Where the run's rows are among the elements of its tensor, or how many zeros it is.
void MappedSource::place_elements(Run& run, const TensorInfo* like) const {
  if (run.tensor == nullptr) run.tensor = like;
  std::uint64_t row = 1;
  for (std::size_t i = 1; i < run.tensor->shape.size(); ++i) {
    if (__builtin_mul_overflow(row, static_cast<std::uint64_t>(run.tensor->shape[i]), &row))
      refuse(run.name, to_string(run.tensor->shape), "rows that can be counted");
  }
  if (run.is_zero) {
    if (run.rows < 0 ||
        __builtin_mul_overflow(row, static_cast<std::uint64_t>(run.rows), &run.count))
      refuse(run.name, std::to_string(run.rows) + " rows", "a number of rows that fits");
    return;
  }
  run.first = row * static_cast<std::uint64_t>(run.first_row);
  run.count = row * static_cast<std::uint64_t>(run.rows);
}

Dtype joined_dtype(const std::vector<Run>& runs) {
  Dtype dtype = runs.front().tensor->dtype;
  for (const Run& run : runs) {
    const Dtype other = run.tensor->dtype;
    if (other == dtype) continue;
    dtype = other == Dtype::kF64 || dtype == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32;
  }
  return dtype;
}

Mapped MappedSource::join(const NameMapping::Tensor& tensor, std::vector<Run> runs) const {
  const TensorInfo& first = *runs.front().tensor;
  Mapped mapped{first, std::move(runs)};
  TensorInfo& info = mapped.info;
  info.name = tensor.name;
  if (mapped.is_whole()) return mapped;
  if (info.shape.empty()) refuse(tensor.name, "a scalar", "tensors with rows");
  info.shape.front() = 0;
  info.elements = 0;
  for (std::size_t i = 0; i < mapped.runs.size(); ++i) {
    const TensorInfo& part = *mapped.runs[i].tensor;
    const bool stacks =
        part.shape.size() == info.shape.size() && is_computable(part.dtype) &&
        std::equal(info.shape.begin() + 1, info.shape.end(), part.shape.begin() + 1);
    if (!stacks ||
        __builtin_add_overflow(info.shape.front(), tensor.parts[i].rows, &info.shape.front()))
      refuse(part.name, std::string(name_of(part.dtype)) + " " + to_string(part.shape),
             "floats with rows like those of " + printable(first.name));
    if (__builtin_add_overflow(info.elements, mapped.runs[i].count, &info.elements))
      refuse(tensor.name, "more elements than can be counted", "fewer rows");
  }
  info.dtype = joined_dtype(mapped.runs);
  if (__builtin_mul_overflow(info.elements, width_of(info.dtype), &info.bytes))
    refuse(tensor.name, "more bytes than can be counted", "fewer rows");
  if (mapped.is_joined()) {
    info.strides.clear();
  } else if (source_->is_in_file(first)) {
    // Rows of a tensor in a file are a tensor there.
    const Run& run = mapped.runs.front();
    const std::uint64_t skipped =
        info.strides.empty() ? run.first
                             : static_cast<std::uint64_t>(run.first_row * info.strides.front());
    info.offset += skipped * width_of(info.dtype);
  }
  return mapped;
}

void MappedSource::read(const TensorInfo& tensor, std::uint64_t begin, std::size_t bytes,
                        void* out) const {
  const Mapped& mapped = mapped_of(tensor);
  const std::uint64_t width = width_of(mapped.info.dtype);
  if (!mapped.is_joined()) {
    const Run& run = mapped.runs.front();
    return source_->read(*run.tensor, run.first * width + begin, bytes, out);
  }
  auto* at = static_cast<char*>(out);
  for_each_run(mapped, begin / width, bytes / width,
               [&](const Run& run, std::uint64_t first, std::uint64_t count) {
                 const Dtype dtype = run.tensor->dtype;
                 const std::uint64_t own = width_of(dtype);
                 if (run.is_zero) {
                   std::memset(at, 0, count * width);
                 } else if (dtype == mapped.info.dtype) {
                   source_->read(*run.tensor, (run.first + first) * own, count * own, at);
                 } else {
                   thread_local std::vector<char> stored;
                   if (stored.size() < count * own) stored.resize(count * own);
                   source_->read(*run.tensor, (run.first + first) * own, count * own,
                                 stored.data());
                   if (mapped.info.dtype == Dtype::kF64) {
                     kernels::widen(dtype, stored.data(), reinterpret_cast<double*>(at), count);
                   } else {
                     kernels::widen(dtype, stored.data(), reinterpret_cast<float*>(at), count);
                   }
                 }
                 at += count * width;
               });
}

std::vector<const TensorInfo*> MappedSource::parts_in_file(const TensorInfo& tensor) const {
  const Mapped& mapped = mapped_of(tensor);
  std::vector<const TensorInfo*> parts;
  if (is_in_file(tensor)) return parts;
  for (const Run& run : mapped.runs) {
    if (run.is_zero) continue;
    if (source_->is_in_file(*run.tensor)) {
      parts.push_back(run.tensor);
    } else {
      const auto own = source_->parts_in_file(*run.tensor);
      parts.insert(parts.end(), own.begin(), own.end());
    }
  }
  return parts;
}

std::uint64_t MappedSource::bytes_behind(const TensorInfo& tensor, std::uint64_t first,
                                         std::uint64_t count) const {
  const Mapped& mapped = mapped_of(tensor);
  if (mapped.is_whole()) return source_->bytes_behind(*mapped.runs.front().tensor, first, count);
  std::uint64_t bytes = 0;
  for_each_run(mapped, first, count, [&](const Run& run, std::uint64_t begin, std::uint64_t here) {
    if (!run.is_zero) bytes += source_->bytes_behind(*run.tensor, run.first + begin, here);
  });
  return bytes;
}

std::string MappedSource::stored_as(const TensorInfo& tensor) const {
  const Mapped& mapped = mapped_of(tensor);
  if (mapped.is_whole() && mapped.runs.front().tensor->name == tensor.name)
    return source_->stored_as(*mapped.runs.front().tensor);
  std::string text;
  for (const Run& run : mapped.runs) {
    const std::string below = run.is_zero ? std::string() : source_->stored_as(*run.tensor);
    const std::string name = below.empty() ? run.name : below;
    text += (text.empty() ? "" : " + ") + (run.is_zero ? "zeros for " + name : name);
  }
  if (mapped.is_whole() || mapped.is_joined()) return text;
  const std::int64_t first = mapped.runs.front().first_row;
  return "rows " + std::to_string(first) + " to " +
         std::to_string(first + mapped.info.shape.front()) + " of " + text;
}

}  // namespace

SourcePtr rename_source(SourcePtr source, const NameMapping& mapping,
                        const std::set<std::string>& masked, Absent absent) {
  return std::make_shared<MappedSource>(std::move(source), mapping, masked, absent);
}

const NameMapping* mapping_of(const TensorSource& source) {
  const auto* mapped = dynamic_cast<const MappedSource*>(&source);
  return mapped == nullptr ? nullptr : &mapped->mapping();
}

}  // namespace suture
