#include "surgery/renamed_vector.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"
#include "suture/surgery.h"

#include "format/json.h"
#include "names/mapped_source.h"
#include "support/model_trio.h"
#include "support/other_names.h"
#include "support/tensor_bytes.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::named;
using test::Naming;
using test::read_file;
using test::same_bits;
using test::thrown_by;

// One family of models under several names; what they are called must not show in a weight.
class OtherNames : public test::ModelTrio {
 protected:
  const std::vector<Naming> namings_{{"model.", false},
                                     {"", false},
                                     {"model.", true},
                                     {"model.language_model.", true},
                                     {"language_model.model.", false}};

  static std::string word(const Naming& naming) {
    return naming.prefix + (naming.fused ? "fused" : "split");
  }
  void write(const std::string& role, const StateDict& weights, const Naming& naming) {
    test::write_model(dir_ / (role + "-" + word(naming)), model_, named(weights, naming));
  }
  void write_all_names() {
    for (const Naming& naming : namings_) {
      write("base", base_, naming);
      write("tuned", tuned_, naming);
      write("target", target_, naming);
    }
  }
  Checkpoint open_named(const std::string& role, const Naming& naming) const {
    return open(role + "-" + word(naming));
  }

  StateDict injected(const Checkpoint& target, const TaskVector& vector,
                     const InjectOptions& asked = {}) {
    InjectOptions options = asked;
    options.replace_existing = true;
    report_ = inject(target, vector, path("out"), options);
    return load(path("out"));
  }

  static std::vector<Finding> on_names(const Compatibility& compatibility) {
    std::vector<Finding> found;
    for (const Finding& finding : compatibility.findings)
      if (finding.topic == "names") found.push_back(finding);
    return found;
  }

  InjectReport report_;
};

TEST_F(OtherNames, GiveTheSameBitsAsOneName) {
  write_all_names();
  const Naming plain;
  for (const double scale : {1.0, -0.8}) {
    const TaskVector vector = open_named("tuned", plain) - open_named("base", plain);
    const StateDict expected = injected(open_named("target", plain), scale * vector);
    EXPECT_TRUE(report_.compatibility.names.empty());
    for (const Naming& donors : namings_) {
      const TaskVector lazy = open_named("tuned", donors) - open_named("base", donors);
      EXPECT_TRUE(lazy.name_mappings().empty());
      for (const Naming& target : namings_) {
        EXPECT_TRUE(same_bits(injected(open_named("target", target), scale * lazy),
                              named(expected, target)))
            << word(donors) << " in " << word(target);
        EXPECT_EQ(report_.compatibility.names.size(), word(donors) == word(target) ? 0u : 2u);
        EXPECT_TRUE(report_.left_out.empty());
      }
    }
  }
}

TEST_F(OtherNames, OfAStoredVectorGiveTheSameBits) {
  write_all_names();
  const Naming plain;
  const StateDict expected =
      injected(open_named("target", plain), open_named("tuned", plain) - open_named("base", plain));
  for (const Naming& donors : namings_) {
    for (const bool sparse : {false, true}) {
      ExtractOptions options;
      options.sparse = sparse;
      options.replace_existing = true;
      extract(open_named("tuned", donors), open_named("base", donors), path("v.safetensors"),
              options);
      for (const Naming& target : namings_) {
        EXPECT_TRUE(same_bits(
            injected(open_named("target", target), TaskVector::open(path("v.safetensors"))),
            named(expected, target)))
            << word(donors) << " in " << word(target);
        EXPECT_FALSE(report_.compatibility.kinship.empty());
      }
    }
  }
}

TEST_F(OtherNames, TheVectorHasThoseOfTheBase) {
  write_all_names();
  const Naming plain, fused = namings_[3];
  const ExtractReport report =
      extract(open_named("tuned", fused), open_named("base", plain), path("v.safetensors"));
  ASSERT_EQ(report.compatibility.names.size(), 1u);
  EXPECT_EQ(report.compatibility.names[0].under, "base-" + word(plain));
  extract(open_named("tuned", plain), open_named("base", plain), path("w.safetensors"));
  EXPECT_TRUE(same_bits(load(path("v.safetensors")), load(path("w.safetensors"))));
  const std::string metadata = Checkpoint::open(path("v.safetensors")).metadata().at("suture");
  EXPECT_TRUE(holds(metadata, "qkv_proj -> q_proj + k_proj + v_proj (3 layers)"));
  EXPECT_FALSE(holds(Checkpoint::open(path("w.safetensors")).metadata().at("suture"), "\"names\""));
  // The lazy one is the same, and says what it did.
  const TaskVector lazy = open_named("tuned", fused) - open_named("base", plain);
  ASSERT_EQ(lazy.name_mappings().size(), 1u);
  EXPECT_TRUE(
      same_bits(injected(open_named("target", fused), lazy),
                injected(open_named("target", fused), TaskVector::open(path("w.safetensors")))));
}

TEST_F(OtherNames, MasksGoWithTheNamesOfTheVector) {
  write_all_names();
  const Naming plain, fused = namings_[2];
  const TaskVector vector = open_named("tuned", plain) - open_named("base", plain);
  for (const char* selection :
       {"module=q_proj", "module=k_proj,up_proj", "layer=1 & !module=v_proj"}) {
    const TaskVector part = vector.only(selection).scaled_by_layer({0.5, 1, 2});
    const StateDict expected = injected(open_named("target", plain), part);
    EXPECT_TRUE(same_bits(injected(open_named("target", fused), part), named(expected, fused)))
        << selection;
  }
  EXPECT_TRUE(
      holds(under_names_of(open_named("target", fused), vector.only("module=q_proj")).formula(),
            ".only(module=q_proj)"));
}

TEST_F(OtherNames, AreSaidInEveryReport) {
  write_all_names();
  const Naming plain, fused = namings_[3];
  const TaskVector vector = open_named("tuned", plain) - open_named("base", plain);
  const auto found = on_names(check(open_named("target", fused), vector));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].severity, Severity::kWarning);
  EXPECT_TRUE(holds(found[0].found, "model.* -> model.language_model.* (32 tensors)"));
  EXPECT_TRUE(holds(found[0].found, "q_proj + k_proj + v_proj -> qkv_proj (3 layers)"));
  injected(open_named("target", fused), vector);
  const auto json = format::Json::parse(read_file(dir_ / "out" / "suture.json"));
  EXPECT_EQ(json["names"].size(), 2u);
  EXPECT_EQ(json["names"][0]["under"], "target-" + word(fused));
  injected(open_named("target", plain), vector);
  EXPECT_FALSE(holds(read_file(dir_ / "out" / "suture.json"), "\"names\""));

  InjectOptions options;
  options.dry_run = true;
  const InjectReport dry = inject(open_named("target", fused), vector, path("none"), options);
  const auto explained = explain(*dry.plan, {"*.layers.1.self_attn.qkv_proj.weight"});
  ASSERT_EQ(explained.size(), 1u);
  ASSERT_EQ(explained[0].terms.size(), 1u);
  EXPECT_TRUE(holds(explained[0].terms[0].minuend.stored_as,
                    "k_proj.weight + model.layers.1.self_attn.v_proj"));
  EXPECT_EQ(explained[0].terms[0].minuend.parts.size(), 3u);
  const InjectReport cut =
      inject(open_named("target", plain), open_named("tuned", fused) - open_named("base", fused),
             path("none"), options);
  const auto rows = explain(*cut.plan, {"model.layers.1.self_attn.k_proj.weight"});
  EXPECT_EQ(rows[0].terms[0].minuend.stored_as,
            "rows 16 to 24 of model.language_model.layers.1.self_attn.qkv_proj.weight");
}

TEST_F(OtherNames, StrangersAreStillFound) {
  const Naming plain, other = namings_[3];
  write("base", base_, plain);
  write("tuned", tuned_, plain);
  write("target", test::make_weights(model_, 99), other);
  extract(open_named("tuned", plain), open_named("base", plain), path("v.safetensors"));
  for (const TaskVector& vector : {TaskVector::open(path("v.safetensors")),
                                   open_named("tuned", plain) - open_named("base", plain)}) {
    const Compatibility found = check(open_named("target", other), vector);
    EXPECT_FALSE(found.fit());
    EXPECT_EQ(found.findings.front().topic, "kinship");
  }
}

TEST_F(OtherNames, OfAStoredVectorThatWasRenamedAreKin) {
  const Naming fused{"model.language_model.", true};
  write("base", base_, fused);
  write("tuned", tuned_, fused);
  write("target", target_, {});
  write("stranger", test::make_weights(model_, 77), {});
  extract(open_named("tuned", fused), open_named("base", fused), path("v.safetensors"));
  const TaskVector stored = TaskVector::open(path("v.safetensors"));
  const Checkpoint target = open_named("target", {}), stranger = open_named("stranger", {});
  const TaskVector renamed = stored.renamed(mapping_between(stored, target));
  const Compatibility kin = check(target, renamed);
  ASSERT_EQ(kin.kinship.size(), 1u);
  EXPECT_NEAR(kin.kinship[0].relative_distance, check(target, stored).kinship[0].relative_distance,
              1e-12);
  EXPECT_TRUE(kin.fit());
  EXPECT_FALSE(check(stranger, renamed).fit());
}

TEST_F(OtherNames, OfATargetWithAVisionTower) {
  write_all_names();
  StateDict target = named(target_, {"model.language_model.", false});
  for (int block = 0; block < 7; ++block)
    target.set("model.visual.blocks." + std::to_string(block) + ".attn.qkv.weight",
               at::ones({6, 2}));
  target.set("model.visual.merger.weight", at::ones({3}));
  test::write_model(dir_ / "vision", model_, target);
  const Naming plain;
  const TaskVector vector = open_named("tuned", plain) - open_named("base", plain);
  const StateDict expected = injected(open_named("target", plain), vector);
  const StateDict found = injected(open("vision"), vector);
  for (const auto& [name, tensor] : named(expected, {"model.language_model.", false}))
    EXPECT_TRUE(same_bits(found.at(name), tensor)) << name;
  EXPECT_TRUE(same_bits(found.at("model.visual.merger.weight"), at::ones({3})));
  EXPECT_EQ(report_.copied_tensors, 8u);
}

TEST_F(OtherNames, RefusedWhenTwoReadingsAreThere) {
  write_all_names();
  StateDict target = named(target_, {"a.", false});
  for (const auto& [name, tensor] : named(target_, {"b.", false})) target.set(name, tensor);
  test::write_model(dir_ / "two", model_, target);
  const Naming plain;
  const TaskVector vector = open_named("tuned", plain) - open_named("base", plain);
  const Compatibility found = check(open("two"), vector);
  ASSERT_FALSE(on_names(found).empty());
  EXPECT_EQ(on_names(found)[0].severity, Severity::kBlocker);
  EXPECT_TRUE(holds(thrown_by<IncompatibleModels>([&] { injected(open("two"), vector); }),
                    "model.* could be a.* or b.*"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "out"));
  InjectOptions options;
  options.check.allowed = {"names", "tensors"};
  EXPECT_TRUE(same_bits(injected(open("two"), vector, options), target));
}

TEST_F(OtherNames, RowsMustFitTheHeadsOfTheConfig) {
  write("base", base_, namings_[2]);
  write("tuned", tuned_, namings_[2]);
  model_.config["num_attention_heads"] = "8";  // 2 pairs of 4 are then not of the queries' size
  write("target", target_, {});
  const auto found = check(open_named("target", {}),
                           open_named("tuned", namings_[2]) - open_named("base", namings_[2]));
  ASSERT_FALSE(on_names(found).empty());
  EXPECT_TRUE(holds(on_names(found)[0].found, "16, 8 and 8 rows for 8 heads"));
}

TEST_F(OtherNames, RowsAreMatchedByTokenTextToo) {
  const Naming plain, other = namings_[3];
  write("base", base_, plain);
  write("tuned", tuned_, plain);
  test::TinyModel larger = model_;
  larger.vocab = 44;
  StateDict target = test::make_relative(test::make_weights(larger, 1), 3);
  for (const auto& [name, tensor] : target_)
    if (name != "model.embed_tokens.weight") target.set(name, tensor);
  model_ = larger;
  write("target", target, plain);
  write("target", target, other);
  const TaskVector vector = open_named("tuned", plain) - open_named("base", plain);
  InjectOptions options;
  options.check.vocabulary = VocabularyPolicy::kCommon;
  const StateDict expected = injected(open_named("target", plain), vector, options);
  EXPECT_EQ(report_.mapped_rows, 40u);
  EXPECT_TRUE(
      same_bits(injected(open_named("target", other), vector, options), named(expected, other)));
}

TEST_F(OtherNames, OfATiedDonorsHead) {
  const Naming plain, other{"language_model.model.", false, "language_model.lm_head.weight"};
  write("base", base_, plain);
  write("tuned", tuned_, plain);
  model_.tied = false;
  target_.set("lm_head.weight", at::randn({40, 16}).to(at::kBFloat16));
  write("target", target_, plain);
  write("target", target_, other);
  extract(open_named("tuned", plain), open_named("base", plain), path("v.safetensors"));
  for (const TaskVector& vector : {TaskVector::open(path("v.safetensors")),
                                   open_named("tuned", plain) - open_named("base", plain)}) {
    const std::string refusal =
        thrown_by<IncompatibleModels>([&] { injected(open_named("target", plain), vector); });
    EXPECT_TRUE(holds(refusal, "--head embedding"));
    EXPECT_TRUE(holds(refusal, "--allow tied"));
    InjectOptions options;
    options.check.allowed = {"tied", "tensors"};
    EXPECT_TRUE(
        same_bits(injected(open_named("target", plain), vector, options).at("lm_head.weight"),
                  target_.at("lm_head.weight")));
    options = {};
    options.check.head = HeadPolicy::kEmbedding;
    StateDict found = injected(open_named("target", plain), vector, options);
    const at::Tensor delta = tuned_.at("model.embed_tokens.weight").to(at::kFloat) -
                             base_.at("model.embed_tokens.weight").to(at::kFloat);
    for (const char* name : {"lm_head.weight", "model.embed_tokens.weight"})
      EXPECT_TRUE(
          same_bits(found.at(name), (target_.at(name).to(at::kFloat) + delta).to(at::kBFloat16)))
          << name;
    EXPECT_TRUE(
        same_bits(injected(open_named("target", other), vector, options), named(found, other)));
    EXPECT_TRUE(holds(on_names(report_.compatibility)[0].found, "too (a tied head)"));
  }
}

TEST_F(OtherNames, OfAnUntiedDonorsHeadInATiedTarget) {
  write("target", target_, namings_[1]);
  model_.tied = false;
  for (StateDict* weights : {&base_, &tuned_})
    weights->set("lm_head.weight", at::randn({40, 16}).to(at::kBFloat16));
  write("base", base_, {});
  write("tuned", tuned_, {});
  const TaskVector vector = open_named("tuned", {}) - open_named("base", {});
  EXPECT_TRUE(holds(
      thrown_by<IncompatibleModels>([&] { injected(open_named("target", namings_[1]), vector); }),
      "leave the head's part out"));
  InjectOptions options;
  options.check.allowed = {"tied"};
  injected(open_named("target", namings_[1]), vector, options);
  ASSERT_EQ(report_.left_out.size(), 1u);
  EXPECT_EQ(report_.left_out[0], "lm_head.weight (the target's head is tied to its embedding)");
}

TEST_F(OtherNames, OfAStateDictAreMappedWhenAsked) {
  const TaskVector vector = TaskVector::difference(tuned_, base_);
  for (const Naming& naming : namings_) {
    StateDict expected = target_.clone(), weights = named(target_, naming).clone();
    vector.apply_to(expected, 0.7);
    const NameMapping mapping = mapping_between(vector, weights);
    if (!mapping.empty()) {
      const std::string refusal =
          thrown_by<CompatibilityError>([&] { vector.apply_to(weights, 0.7); });
      EXPECT_TRUE(holds(refusal, "vector.renamed(mapping_between(vector, weights))"));
      EXPECT_TRUE(same_bits(weights, named(target_, naming)));
    }
    const TaskVector renamed = vector.renamed(mapping);
    EXPECT_EQ(renamed.name_mappings().size(), mapping.empty() ? 0u : 2u);
    renamed.apply_to(weights, 0.7);
    EXPECT_TRUE(same_bits(weights, named(expected, naming))) << word(naming);
    EXPECT_NEAR(renamed.norm(), vector.norm(), 1e-9 * vector.norm());
    EXPECT_TRUE(same_bits(renamed.materialize(), named(vector.materialize(), naming)));
    // And back.
    EXPECT_TRUE(same_bits(renamed.renamed(mapping_between(renamed, target_)).materialize(),
                          vector.materialize()));
  }
}

TEST_F(OtherNames, DifferencesOfStateDictsAreUnderTheBasesNames) {
  const TaskVector vector = TaskVector::difference(named(tuned_, namings_[3]), base_);
  EXPECT_EQ(vector.name_mappings().size(), 1u);
  EXPECT_TRUE(same_bits(vector.materialize(), TaskVector::difference(tuned_, base_).materialize()));
}

TEST_F(OtherNames, AMappingWithProblemsIsRefused) {
  NameMapping mapping;
  mapping.problems.push_back("two readings");
  EXPECT_TRUE(
      holds(thrown_by<UsageError>([&] { TaskVector::difference(tuned_, base_).renamed(mapping); }),
            "two readings"));
}

}  // namespace
}  // namespace suture
