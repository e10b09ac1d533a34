#include "surgery/plan_report.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/model_trio.h"
#include "support/thrown.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using test::holds;
using test::thrown_by;
using test::TinyModel;

class PlanReport : public test::ModelTrio {
 protected:
  TaskVector skill() const { return open("tuned") - open("base"); }

  Plan plan_of(const TaskVector& vector, InjectOptions options = {},
               const std::string& out = "out") {
    options.dry_run = true;
    return inject(open("target"), vector, path(out), options).plan.value();
  }
  Plan plan_of_extract(ExtractOptions options = {}, const std::string& out = "v") {
    options.dry_run = true;
    return extract(open("tuned"), open("base"), path(out), options).plan.value();
  }

  static std::map<std::string, std::uint64_t> planned_files(const Plan& plan) {
    std::map<std::string, std::uint64_t> sizes;
    for (const Plan::File& file : plan.files) sizes[file.name] = file.bytes;
    return sizes;
  }
  std::map<std::string, std::uint64_t> files_in(const std::string& folder) const {
    std::map<std::string, std::uint64_t> sizes;
    for (const auto& entry : fs::directory_iterator(dir_ / folder))
      sizes[entry.path().filename().string()] = entry.file_size();
    return sizes;
  }

  static const PlannedTensor& tensor(const Plan& plan, const std::string& name) {
    for (const PlannedTensor& found : plan.tensors)
      if (found.name == name) return found;
    throw std::out_of_range(name);
  }

  // The operand's byte range holds what the state dict does.
  static void expect_bytes(const PlannedOperand& operand, const at::Tensor& values) {
    const std::string file = test::read_file(operand.file);
    ASSERT_EQ(operand.bytes, values.nbytes());
    EXPECT_EQ(file.substr(operand.first_byte, operand.bytes),
              std::string(static_cast<const char*>(values.const_data_ptr()), values.nbytes()));
  }
};

constexpr const char* kUp = "model.layers.1.mlp.up_proj.weight";
constexpr const char* kEmbedding = "model.embed_tokens.weight";

TEST_F(PlanReport, OfAnInjectionNamesTheFilesThatTheRunWrites) {
  write_all(6000);
  InjectOptions kept, split, converted;
  split.max_shard_bytes = 3000;
  converted.dtype = Dtype::kF32;
  for (const InjectOptions& options : {kept, split, converted}) {
    fs::remove_all(dir_ / "out");
    const Plan plan = plan_of(0.5 * skill(), options);
    inject(open("target"), 0.5 * skill(), path("out"), options);
    std::map<std::string, std::uint64_t> planned = planned_files(plan), real = files_in("out");
    EXPECT_GE(planned.at("suture.json"), real.at("suture.json"));  // what it measures is to come
    std::uint64_t bytes = planned.at("suture.json");
    planned.erase("suture.json");
    real.erase("suture.json");
    EXPECT_EQ(planned, real);
    for (const auto& [name, size] : real) bytes += size;
    EXPECT_EQ(plan.bytes_to_write, bytes);
    EXPECT_EQ(plan.bytes_to_write_at_most, bytes);
  }
}

TEST_F(PlanReport, OfASingleFileIsThatFile) {
  write_all();
  const Plan plan = plan_of(0.5 * skill(), {}, "one.safetensors");
  inject(open("target"), 0.5 * skill(), path("one.safetensors"));
  EXPECT_EQ(planned_files(plan),
            (std::map<std::string, std::uint64_t>{
                {"one.safetensors", fs::file_size(dir_ / "one.safetensors")}}));
  EXPECT_EQ(tensor(plan, kUp).output_file, "one.safetensors");
}

TEST_F(PlanReport, OfAnExtractionIsAnUpperBound) {
  tuned_.set(kUp, tuned_.at(kUp) * 1e-6);  // needs float64 to be exact
  write_all();
  for (const std::string out : {"v", "v.safetensors"}) {
    ExtractOptions options;
    options.check.allowed.insert("kinship");
    const Plan plan = plan_of_extract(options, out);
    const ExtractReport real = extract(open("tuned"), open("base"), path(out), options);
    EXPECT_EQ(real.widened_tensors, 1u);
    std::uint64_t bytes = 0;
    if (fs::is_directory(dir_ / out)) {
      for (const auto& [name, size] : files_in(out)) bytes += size;
    } else {
      bytes = fs::file_size(dir_ / out);
    }
    EXPECT_GE(plan.bytes_to_write_at_most, bytes) << out;
    EXPECT_LE(plan.bytes_to_write, bytes) << out;
    EXPECT_TRUE(tensor(plan, kUp).dtype == Dtype::kF64 || tensor(plan, kUp).may_become_double);
  }
}

TEST_F(PlanReport, OfAnExtractionWithADtypeLeavesNoDoubt) {
  write_all();
  ExtractOptions options;
  options.dtype = Dtype::kBF16;
  const PlannedTensor planned = tensor(plan_of_extract(options), kUp);
  EXPECT_FALSE(planned.may_become_double);
  EXPECT_EQ(planned.dtype, Dtype::kBF16);
  EXPECT_EQ(planned.bytes, tuned_.at(kUp).nbytes());
}

TEST_F(PlanReport, TellsWhereEachOperandStands) {
  write_all(6000);
  const PlannedTensor planned = tensor(plan_of(0.5 * skill()), kUp);
  EXPECT_EQ(planned.making, Making::kComputed);
  expect_bytes(planned.origin.value(), target_.at(kUp));
  ASSERT_EQ(planned.terms.size(), 1u);
  expect_bytes(planned.terms[0].minuend, tuned_.at(kUp));
  expect_bytes(planned.terms[0].subtrahend.value(), base_.at(kUp));
  EXPECT_EQ(planned.terms[0].minuend.model, "tuned");
  EXPECT_EQ(planned.terms[0].subtrahend->model, "base");
}

TEST_F(PlanReport, ScalesAreThoseAfterMasksAndLayers) {
  write_all();
  extract(open("tuned"), open("base"), path("stored.safetensors"));
  const TaskVector vector = 0.5 * skill().scaled_by_layer({1, 3, 0}, 2) +
                            TaskVector::open(path("stored.safetensors")).only("block=mlp");
  const Plan plan = plan_of(vector);
  const auto scales = [&](const std::string& name) {
    std::vector<double> found;
    for (const PlannedTerm& term : tensor(plan, name).terms) found.push_back(term.scale);
    return found;
  };
  EXPECT_EQ(scales("model.layers.0.mlp.up_proj.weight"), (std::vector<double>{0.5, 1}));
  EXPECT_EQ(scales(kUp), (std::vector<double>{1.5, 1}));
  EXPECT_EQ(scales("model.layers.2.mlp.up_proj.weight"), (std::vector<double>{1}));
  EXPECT_EQ(scales("model.norm.weight"), (std::vector<double>{1}));
  EXPECT_EQ(scales("model.layers.2.self_attn.q_proj.weight"), std::vector<double>());
  EXPECT_EQ(tensor(plan, "model.layers.2.self_attn.q_proj.weight").making, Making::kCopied);
  EXPECT_FALSE(tensor(plan, kUp).terms[1].subtrahend.has_value());
}

TEST_F(PlanReport, SaysWhenTheWholeTensorIsTheTunedOne) {
  write_all();
  InjectOptions options;
  options.dry_run = true;
  const Plan plan = inject(open("base"), skill(), path("out"), options).plan.value();
  EXPECT_EQ(plan.count(Making::kCopied), plan.tensors.size());
  EXPECT_EQ(tensor(plan, kUp).origin->model, "tuned");
}

TEST_F(PlanReport, SaysWhatIsConverted) {
  set_in_all("model.layers.0.counter", at::arange(3));
  write_all();
  InjectOptions options;
  options.dtype = Dtype::kF32;
  const Plan plan = plan_of(skill().only("block=mlp"), options);
  EXPECT_EQ(tensor(plan, "model.norm.weight").making, Making::kConverted);
  EXPECT_EQ(tensor(plan, "model.norm.weight").origin->dtype, Dtype::kBF16);
  EXPECT_EQ(tensor(plan, "model.layers.0.counter").making, Making::kCopied);
  EXPECT_EQ(tensor(plan, kUp).making, Making::kComputed);
}

TEST_F(PlanReport, NamesWhatIsLeftOutAndWhyWhateverTheName) {
  const std::string odd = "model.(odd) (name)\n.weight";
  for (StateDict* weights : {&base_, &tuned_}) weights->set(odd, at::ones({4}));
  tuned_.set("model.own.weight", at::ones({4}));
  write_all();
  ExtractOptions options;
  options.check.allowed.insert("tensors");
  options.only = Selection::parse("!block=mlp");
  const Plan plan = plan_of_extract(options);
  EXPECT_EQ(tensor(plan, "model.own.weight").reason, "only in tuned");
  EXPECT_EQ(tensor(plan, kUp).reason, "not selected");
  EXPECT_EQ(tensor(plan, odd).making, Making::kComputed);

  InjectOptions into;
  into.check.allowed.insert("tensors");
  extract(open("tuned"), open("base"), path("v.safetensors"), options);
  const Plan injection = plan_of(TaskVector::open(path("v.safetensors")), into);
  EXPECT_EQ(tensor(injection, odd).making, Making::kLeftOut);
  EXPECT_EQ(tensor(injection, odd).reason, "no tensor of the target");
  EXPECT_EQ(injection.count(Making::kLeftOut), 1u);
}

TEST_F(PlanReport, CountsRowsThatAreMatched) {
  TinyModel wordy = model_;
  wordy.vocab = model_.vocab + 2;
  target_.set(kEmbedding,
              at::cat({target_.at(kEmbedding), at::ones({2, model_.hidden}, at::kBFloat16)}));
  write_all();
  test::write_file(dir_ / "target" / "tokenizer.json", test::tokenizer_json(wordy.vocab));
  test::write_file(dir_ / "target" / "config.json", test::config_json(wordy));
  InjectOptions options;
  options.check.vocabulary = VocabularyPolicy::kCommon;
  const Plan plan = plan_of(skill(), options);
  EXPECT_EQ(tensor(plan, kEmbedding).rows, wordy.vocab);
  EXPECT_EQ(tensor(plan, kEmbedding).mapped_rows, model_.vocab);
  EXPECT_EQ(tensor(plan, kUp).rows, 0);
}

TEST_F(PlanReport, OfADifferenceInMemoryHasNoFiles) {
  write_all();
  const Plan plan = plan_of(TaskVector::difference(tuned_, base_));
  const PlannedTerm term = tensor(plan, kUp).terms.at(0);
  EXPECT_EQ(term.minuend.file, "");
  EXPECT_EQ(term.minuend.shape, tuned_.at(kUp).sizes().vec());
}

TEST_F(PlanReport, BytesToReadAreToldByModel) {
  write_all();
  const auto bytes_of = [](const Plan& plan) {
    std::map<std::string, std::uint64_t> bytes;
    for (const Plan::Input& input : plan.inputs) bytes[input.model] = input.bytes;
    return bytes;
  };
  const std::uint64_t all = open("target").total_bytes();
  const Plan injection = plan_of(0.5 * skill() + 0.25 * skill());  // opens both donors twice
  EXPECT_EQ(bytes_of(injection), (std::map<std::string, std::uint64_t>{
                                     {"base", 2 * all}, {"target", all}, {"tuned", 2 * all}}));
  InjectOptions options;
  options.dry_run = true;
  const InjectReport report =
      inject(open("target"), 0.5 * skill() + 0.25 * skill(), path("out"), options);
  EXPECT_EQ(injection.bytes_to_read, report.bytes_read);
  ExtractOptions dry;
  dry.dry_run = true;
  const ExtractReport extraction = extract(open("tuned"), open("base"), path("v"), dry);
  EXPECT_EQ(extraction.plan->bytes_to_read, extraction.bytes_read);
}

TEST_F(PlanReport, BuffersKeepWithinTheBudgetDownToATileAThread) {
  set_in_all("model.wide.weight", at::zeros({1 << 20}, at::kBFloat16));
  write_all();
  std::uint64_t last = 0;
  for (const std::uint64_t budget : {1u << 16, 1u << 23, 1u << 24, 1u << 30}) {
    InjectOptions options;
    options.run.threads = 2;
    options.run.memory_budget_bytes = budget;
    const Plan plan = plan_of(0.5 * skill(), options);
    EXPECT_EQ(plan.threads, 2u);
    EXPECT_EQ(plan.memory_budget_bytes, budget);
    EXPECT_GE(plan.buffer_bytes, last);
    EXPECT_TRUE(plan.buffer_bytes <= budget || budget == 1u << 16) << plan.buffer_bytes;
    last = plan.buffer_bytes;
  }
  EXPECT_GT(last, std::uint64_t{2} * 65536 * 8);
}

TEST_F(PlanReport, IsThereAfterADryRunOnly) {
  write_all();
  EXPECT_FALSE(inject(open("target"), skill(), path("out")).plan.has_value());
  EXPECT_FALSE(extract(open("tuned"), open("base"), path("v")).plan.has_value());
}

TEST_F(PlanReport, ExplainTakesNamesAndPatterns) {
  write_all();
  const Plan plan = plan_of(skill());
  const auto names = [&](const std::vector<std::string>& patterns) {
    std::vector<std::string> found;
    for (const PlannedTensor& tensor : explain(plan, patterns)) found.push_back(tensor.name);
    return found;
  };
  EXPECT_EQ(names({kUp}), std::vector<std::string>{kUp});
  EXPECT_EQ(names({"*.up_proj.weight"}).size(), 3u);
  EXPECT_EQ(names({"*.up_proj.weight", kUp, "model.norm.*"}).size(), 4u);
  EXPECT_EQ(names({"model.layers.[02].mlp.up_proj.weight"}).size(), 2u);
  EXPECT_EQ(names({}), std::vector<std::string>());
  const std::string message =
      thrown_by<UsageError>([&] { explain(plan, {"model.layers.1.mlp.upproj.weight"}); });
  EXPECT_TRUE(holds(message, "did you mean 'model.layers.1.mlp.up_proj.weight'"));
  thrown_by<UsageError>([&] { explain(plan, {kUp, ""}); });
}

}  // namespace
}  // namespace suture
