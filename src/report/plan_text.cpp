#include "report/plan_text.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "suture/error.h"
#include "suture/tensor_info.h"

#include "report/text.h"

namespace suture::report {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kMaxFilesShown = 12;

// A row of the table: its label once, on the first row that it holds for.
void add_row(Rows& rows, std::string label, const std::string& name, std::uint64_t bytes,
             const std::string& note = {}) {
  label.resize(8, ' ');
  rows.push_back({label + printable(name), human_bytes(bytes), note});
}

void add_inputs(Rows& rows, const Plan& plan) {
  for (std::size_t i = 0; i < plan.inputs.size(); ++i)
    add_row(rows, i == 0 ? "read" : "", plan.inputs[i].model, plan.inputs[i].bytes);
  if (plan.inputs.size() != 1)
    add_row(rows, plan.inputs.empty() ? "read" : "", "in all", plan.bytes_to_read);
}

void add_files(Rows& rows, const Plan& plan) {
  const std::size_t shown = std::min(plan.files.size(), kMaxFilesShown);
  std::uint64_t hidden = plan.bytes_to_write;
  for (std::size_t i = 0; i < shown; ++i) {
    const Plan::File& file = plan.files[i];
    add_row(rows, i == 0 ? "write" : "", file.name, file.bytes);
    if (!file.is_known) rows.back() = {rows.back()[0], "?", "known after the first pass"};
    hidden -= file.bytes;
  }
  if (shown < plan.files.size()) {
    add_row(rows, "", "and " + std::to_string(plan.files.size() - shown) + " more", hidden,
            "--json lists all");
  }
  const bool may_grow =
      std::any_of(plan.tensors.begin(), plan.tensors.end(),
                  [](const PlannedTensor& tensor) { return tensor.may_become_double; });
  if (!plan.knows_bytes_to_write())
    return add_row(rows, "", "at most", plan.bytes_to_write_at_most, "were no element zero");
  add_row(rows, "", "in all", plan.bytes_to_write,
          may_grow ? "at most " + human_bytes(plan.bytes_to_write_at_most) +
                         ", were float64 needed everywhere to be exact"
                   : "");
}

std::string disk_note(const Plan& plan) {
  const std::string needed = human_bytes(plan.bytes_to_write_at_most);
  if (plan.fits_on_disk()) return "enough: at most " + needed + " is needed";
  return (plan.bytes_to_write > plan.disk_bytes_free ? "NOT ENOUGH: " : "may not be enough: ") +
         needed + " may be needed";
}

std::string memory_note(const Plan& plan) {
  const bool within = plan.buffer_bytes <= plan.memory_budget_bytes;
  return "at most, on " + std::to_string(plan.threads) +
         (plan.threads == 1 ? " thread; " : " threads; ") +
         (within ? "--memory allows " : "the least there can be; --memory says ") +
         human_bytes(plan.memory_budget_bytes);
}

// The shortest text that reads back as the same number.
std::string exact_number(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

std::string describe(const PlannedOperand& operand, const PlannedTensor& tensor) {
  std::string text = "    " + printable(operand.model) + ": ";
  if (!operand.parts.empty()) {
    text += (operand.stored_as.empty() ? "sparse, " : "in parts, ") + human_bytes(operand.bytes);
  } else if (operand.file.empty()) {
    text += "in memory";
  } else if (operand.strided) {
    text += printable(operand.file) + ", with strides from byte " +
            std::to_string(operand.first_byte) + " on";
  } else {
    text += printable(operand.file) + ", bytes " + std::to_string(operand.first_byte) + " to " +
            std::to_string(operand.first_byte + operand.bytes);
  }
  text += ", " + std::string(name_of(operand.dtype));
  if (operand.shape != tensor.shape) text += " " + to_string(operand.shape);
  if (!operand.stored_as.empty()) text += ", there " + printable(operand.stored_as);
  text += "\n";
  for (const PlannedPart& part : operand.parts) {
    text += "      " + printable(part.name) + ": " + printable(part.file) + ", bytes " +
            std::to_string(part.first_byte) + " to " +
            std::to_string(part.first_byte + part.bytes) + "\n";
  }
  return text;
}

std::string describe(const PlannedTerm& term, const PlannedTensor& tensor) {
  std::string text = "  + " + exact_number(term.scale) + " * ";
  if (!term.subtrahend)
    return text + printable(term.minuend.model) + "\n" + describe(term.minuend, tensor);
  return text + "(" + printable(term.minuend.model) + " - " + printable(term.subtrahend->model) +
         ")\n" + describe(term.minuend, tensor) + describe(*term.subtrahend, tensor);
}

std::string describe_making(const PlannedTensor& tensor) {
  switch (tensor.making) {
    case Making::kCopied:
      return "copied as bytes";
    case Making::kConverted:
      return "converted from " + std::string(name_of(tensor.origin->dtype));
    default:
      return tensor.terms.empty() ? "zero" : "computed";
  }
}

std::string explain_one(const PlannedTensor& tensor) {
  const std::string name = printable(tensor.name) + ": ";
  if (tensor.making == Making::kLeftOut)
    return name + "left out: " + printable(tensor.reason) + "\n";
  std::string text = name + describe_making(tensor) + ", " + std::string(name_of(tensor.dtype));
  if (tensor.may_become_double) text += " by a sample (F64 if that is needed to be exact)";
  text += " " + to_string(tensor.shape) + ", " +
          (tensor.may_be_sparse ? "less if sparse than " : "") + human_bytes(tensor.bytes) +
          ", into " + printable(tensor.output_file) + "\n";
  if (tensor.origin) text += describe(*tensor.origin, tensor);
  for (const PlannedTerm& term : tensor.terms) text += describe(term, tensor);
  if (tensor.rows > 0) {
    text += "    " + std::to_string(tensor.mapped_rows) + " of " + std::to_string(tensor.rows) +
            " rows matched by token text; the others " +
            (tensor.origin ? "stay as they are" : "are zero") + "\n";
  }
  return text;
}

}  // namespace

std::string to_text(const Plan& plan) {
  Rows rows;
  add_inputs(rows, plan);
  add_files(rows, plan);
  add_row(rows, "disk", "free", plan.disk_bytes_free, disk_note(plan));
  add_row(rows, "memory", "buffers", plan.buffer_bytes, memory_note(plan));
  return align(rows) + "tensors " + std::to_string(plan.count(Making::kComputed)) + " computed, " +
         std::to_string(plan.count(Making::kCopied)) + " copied as bytes, " +
         std::to_string(plan.count(Making::kConverted)) + " converted, " +
         std::to_string(plan.count(Making::kLeftOut)) + " left out\n";
}

std::string explanation_text(const std::vector<PlannedTensor>& tensors) {
  std::string text;
  for (const PlannedTensor& tensor : tensors) text += explain_one(tensor);
  return text;
}

}  // namespace suture::report
