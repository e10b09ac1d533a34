#include "report/plan_text.h"

#include <gtest/gtest.h>

#include "support/sample_analysis.h"
#include "support/thrown.h"

namespace suture::report {
namespace {

using test::holds;

PlannedOperand operand(const std::string& model, std::uint64_t first_byte) {
  return {model, model + "/model.safetensors", Dtype::kBF16, {2, 4}, first_byte, 16, false, {}, {}};
}

PlannedTensor computed() {
  PlannedTensor tensor;
  tensor.name = "a.weight";
  tensor.making = Making::kComputed;
  tensor.dtype = Dtype::kBF16;
  tensor.shape = {2, 4};
  tensor.bytes = 16;
  tensor.output_file = "model.safetensors";
  tensor.origin = operand("target", 64);
  tensor.terms = {{0.1, operand("tuned", 96), operand("base", 128)}};
  return tensor;
}

Plan sample_plan() {
  Plan plan;
  plan.inputs = {{"target", 2000}, {"tuned", 1000}};
  plan.files = {{"model.safetensors", 2000}, {"config.json", 500}};
  plan.bytes_to_read = 3000;
  plan.bytes_to_write = plan.bytes_to_write_at_most = 2500;
  plan.disk_bytes_free = 5'000'000;
  plan.threads = 2;
  plan.buffer_bytes = 4'000'000;
  plan.memory_budget_bytes = 500'000'000;
  plan.tensors = {computed()};
  return plan;
}

TEST(PlanText, IsATableOfWhatIsReadWrittenAndNeeded) {
  EXPECT_EQ(to_text(sample_plan()),
            "read    target             2.0 kB\n"
            "        tuned              1.0 kB\n"
            "        in all             3.0 kB\n"
            "write   model.safetensors  2.0 kB\n"
            "        config.json         500 B\n"
            "        in all             2.5 kB\n"
            "disk    free               5.0 MB  enough: at most 2.5 kB is needed\n"
            "memory  buffers            4.0 MB  at most, on 2 threads; --memory allows 500.0 MB\n"
            "tensors 1 computed, 0 copied as bytes, 0 converted, 0 left out\n");
}

TEST(PlanText, SaysAtMostWhereTheDataDecides) {
  Plan plan = sample_plan();
  plan.tensors[0].may_become_double = true;
  plan.bytes_to_write_at_most = 4500;
  EXPECT_TRUE(holds(to_text(plan), "in all             2.5 kB  at most 4.5 kB"));
  EXPECT_TRUE(holds(explanation_text(plan.tensors), "F64 if that is needed"));
}

TEST(PlanText, WarnsOfAFullDiskAndATightBudget) {
  Plan plan = sample_plan();
  plan.bytes_to_write_at_most = 3000;
  plan.disk_bytes_free = 2600;
  EXPECT_TRUE(holds(to_text(plan), "may not be enough: 3.0 kB"));
  plan.disk_bytes_free = 2400;
  EXPECT_TRUE(holds(to_text(plan), "NOT ENOUGH"));
  plan.memory_budget_bytes = 1000;
  plan.threads = 1;
  EXPECT_TRUE(holds(to_text(plan), "at most, on 1 thread; the least there can be; --memory says"));
}

TEST(PlanText, ListsAFewOfManyFiles) {
  Plan plan = sample_plan();
  plan.files.assign(40, {"shard", 100});
  plan.bytes_to_write = 4000;
  const std::string text = to_text(plan);
  EXPECT_TRUE(holds(text, "and 28 more"));
  EXPECT_TRUE(holds(text, "2.8 kB"));
}

TEST(PlanText, OfAnEmptyPlanIsStillATable) {
  EXPECT_TRUE(holds(to_text(Plan()), "read    in all"));
}

TEST(Explanation, NamesFilesRangesAndScales) {
  EXPECT_EQ(explanation_text({computed()}),
            "a.weight: computed, BF16 [2, 4], 16 B, into model.safetensors\n"
            "    target: target/model.safetensors, bytes 64 to 80, BF16\n"
            "  + 0.1 * (tuned - base)\n"
            "    tuned: tuned/model.safetensors, bytes 96 to 112, BF16\n"
            "    base: base/model.safetensors, bytes 128 to 144, BF16\n");
}

TEST(Explanation, OfWhatIsNotComputedSaysSo) {
  PlannedTensor tensor = computed();
  tensor.terms.clear();
  tensor.making = Making::kCopied;
  EXPECT_TRUE(holds(explanation_text({tensor}), "a.weight: copied as bytes, BF16"));
  tensor.making = Making::kConverted;
  tensor.dtype = Dtype::kF32;
  EXPECT_TRUE(holds(explanation_text({tensor}), "converted from BF16, F32"));
  tensor.making = Making::kLeftOut;
  tensor.reason = "not selected";
  EXPECT_EQ(explanation_text({tensor}), "a.weight: left out: not selected\n");
}

TEST(Explanation, TellsOddOperandsApart) {
  PlannedTensor tensor = computed();
  tensor.origin->strided = true;
  tensor.terms[0].subtrahend.reset();
  tensor.terms[0].minuend.file.clear();
  tensor.terms[0].minuend.shape = {3, 4};
  tensor.rows = 2;
  tensor.mapped_rows = 1;
  const std::string text = explanation_text({tensor});
  EXPECT_TRUE(holds(text, "with strides from byte 64 on"));
  EXPECT_TRUE(holds(text, "  + 0.1 * tuned\n    tuned: in memory, BF16 [3, 4]\n"));
  EXPECT_TRUE(holds(text, "1 of 2 rows matched by token text; the others stay as they are"));
}

TEST(Explanation, OfHostileNamesCannotBreakTheTerminal) {
  PlannedTensor tensor = computed();
  tensor.name = tensor.output_file = tensor.origin->model = tensor.origin->file =
      tensor.terms[0].minuend.model = test::kHostileName;
  Plan plan = sample_plan();
  plan.inputs[0].model = plan.files[0].name = test::kHostileName;
  const std::string text = to_text(plan) + explanation_text({tensor});
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

}  // namespace
}  // namespace suture::report
