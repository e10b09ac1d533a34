#include "names/name_mapping.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/tensor_info.h"
#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::tensor_info;
using Tensors = std::vector<TensorInfo>;

struct Names {
  std::string prefix = "model.";
  bool fused = false;
  int layers = 2;
  std::int64_t q = 8, kv = 4, width = 8;
};

void add_layer(const Names& names, int number, Tensors& tensors) {
  const std::string layer = names.prefix + "layers." + std::to_string(number) + ".";
  const auto add = [&](const std::string& name, std::int64_t rows) {
    tensors.push_back(tensor_info(layer + name + ".weight", {rows, names.width}));
    tensors.push_back(tensor_info(layer + name + ".bias", {rows}));
  };
  tensors.push_back(tensor_info(layer + "input_layernorm.weight", {names.width}));
  if (names.fused) {
    add("self_attn.qkv_proj", names.q + 2 * names.kv);
    add("mlp.gate_up_proj", 2 * 12);
  } else {
    add("self_attn.q_proj", names.q);
    add("self_attn.k_proj", names.kv);
    add("self_attn.v_proj", names.kv);
    add("mlp.gate_proj", 12);
    add("mlp.up_proj", 12);
  }
}

Tensors model(const Names& names, bool with_head = true) {
  Tensors tensors{tensor_info(names.prefix + "embed_tokens.weight", {20, names.width})};
  for (int layer = 0; layer < names.layers; ++layer) add_layer(names, layer, tensors);
  tensors.push_back(tensor_info(names.prefix + "norm.weight", {names.width}));
  if (with_head) tensors.push_back(tensor_info("lm_head.weight", {20, names.width}));
  return tensors;
}

Tensors operator+(Tensors a, const Tensors& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Tensors without(Tensors tensors, const std::string& part) {
  std::erase_if(tensors,
                [&](const TensorInfo& one) { return one.name.find(part) != std::string::npos; });
  return tensors;
}

// A vision tower as several models have it: some names are those of a decoder.
Tensors vision(const std::string& prefix) {
  Tensors tensors;
  for (int block = 0; block < 5; ++block) {
    const std::string name = prefix + "layers." + std::to_string(block) + ".";
    tensors.push_back(tensor_info(name + "self_attn.q_proj.weight", {6, 6}));
    tensors.push_back(tensor_info(name + "mlp.fc1.weight", {12, 6}));
  }
  tensors.push_back(tensor_info(prefix + "patch_embed.weight", {6, 3}));
  return tensors;
}

const NameMapping::Tensor* named(const NameMapping& mapping, const std::string& name) {
  for (const NameMapping::Tensor& one : mapping.tensors)
    if (one.name == name) return &one;
  return nullptr;
}

// Nothing is mapped, and the problem is said.
testing::AssertionResult refuses(const NameMapping& mapping, const std::string& problem) {
  if (!mapping.empty()) return testing::AssertionFailure() << mapping.to_string();
  std::string problems;
  for (const std::string& one : mapping.problems) problems += one + "\n";
  return holds(problems, problem);
}

TEST(NameMapping, EqualNamesNeedNone) {
  for (const Tensors& to : {model({}), model({}) + vision("visual."), model({}, false)}) {
    const NameMapping mapping = mapping_between(model({}, false), to);
    EXPECT_TRUE(mapping.empty());
    EXPECT_TRUE(mapping.problems.empty());
  }
}

TEST(NameMapping, ExchangesPrefixes) {
  for (const char* from : {"model.", "", "language_model.model.", "model.language_model."}) {
    for (const char* to : {"model.", "", "language_model.model.", "model.language_model."}) {
      if (std::string(from) == to) continue;
      const NameMapping mapping = mapping_between(model({from}), model({to}));
      EXPECT_TRUE(mapping.problems.empty()) << from << to;
      ASSERT_EQ(mapping.tensors.size(), 24u) << from << to;
      EXPECT_EQ(mapping.to_string(), std::string(from) + "* -> " + to + "* (24 tensors)");
      const auto* one = named(mapping, std::string(to) + "layers.1.self_attn.k_proj.bias");
      ASSERT_NE(one, nullptr);
      EXPECT_EQ(one->parts, (std::vector<NameMapping::Part>{
                                {std::string(from) + "layers.1.self_attn.k_proj.bias", 0, 4}}));
    }
  }
}

TEST(NameMapping, LeavesOtherTowersAlone) {
  const Tensors target = model({"model.language_model."}) + vision("model.visual.");
  EXPECT_EQ(mapping_between(model({}), target).to_string(),
            "model.* -> model.language_model.* (24 tensors)");
  EXPECT_EQ(mapping_between(target, model({})).to_string(),
            "model.language_model.* -> model.* (24 tensors)");
  // Both towers moved.
  const Tensors older = model({}) + vision("visual.");
  EXPECT_EQ(
      mapping_between(older, target).to_string(),
      "model.* -> model.language_model.* (24 tensors), visual.* -> model.visual.* (11 tensors)");
}

TEST(NameMapping, AStrayTensorMovesNoTower) {
  Tensors more = model({}) + vision("visual.");
  more.push_back(tensor_info("model.layers.0.self_attn.rotary_emb.inv_freq", {4}));
  const NameMapping mapping = mapping_between(more, model({}) + vision("visual."));
  EXPECT_TRUE(mapping.empty());
  EXPECT_EQ(mapping.problems, std::vector<std::string>());
}

TEST(NameMapping, FindsTheHeadBesideTheDecoder) {
  Tensors target = model({"language_model.model."}, false);
  target.push_back(tensor_info("language_model.lm_head.weight", {20, 8}));
  const NameMapping mapping = mapping_between(model({}), target);
  EXPECT_NE(named(mapping, "language_model.lm_head.weight"), nullptr);
  EXPECT_TRUE(holds(mapping.to_string(), "lm_head.weight -> language_model.lm_head.weight"));
  target.push_back(tensor_info("audio.lm_head.weight", {20, 8}));
  EXPECT_TRUE(refuses(mapping_between(model({}), target), "lm_head.weight could be"));
}

TEST(NameMapping, JoinsAndCutsProjections) {
  const NameMapping joins = mapping_between(model({}), model({"model.", true}));
  EXPECT_EQ(joins.to_string(),
            "gate_proj + up_proj -> gate_up_proj (2 layers), "
            "q_proj + k_proj + v_proj -> qkv_proj (2 layers)");
  ASSERT_EQ(joins.tensors.size(), 8u);
  const std::string layer = "model.layers.1.self_attn.";
  EXPECT_EQ(named(joins, layer + "qkv_proj.weight")->parts,
            (std::vector<NameMapping::Part>{{layer + "q_proj.weight", 0, 8},
                                            {layer + "k_proj.weight", 0, 4},
                                            {layer + "v_proj.weight", 0, 4}}));
  const NameMapping cuts = mapping_between(model({"", true}), model({}));
  EXPECT_EQ(cuts.to_string(),
            "* -> model.* (12 tensors), gate_up_proj -> gate_proj + up_proj (2 layers), "
            "qkv_proj -> q_proj + k_proj + v_proj (2 layers)");
  EXPECT_EQ(named(cuts, layer + "v_proj.bias")->parts,
            (std::vector<NameMapping::Part>{{"layers.1.self_attn.qkv_proj.bias", 12, 4}}));
}

TEST(NameMapping, MayDifferFromLayerToLayer) {
  Tensors mixed = model({"", false, 1});
  add_layer({"", true}, 1, mixed);
  const NameMapping mapping = mapping_between(mixed, model({}));
  EXPECT_TRUE(mapping.problems.empty());
  EXPECT_TRUE(holds(mapping.to_string(), "qkv_proj -> q_proj + k_proj + v_proj (1 layer)"));
  EXPECT_NE(named(mapping, "model.layers.0.self_attn.q_proj.weight"), nullptr);
}

TEST(NameMapping, APartOfAModelIsEnough) {
  const Tensors first_layer = without(without(model({}, false), "layers.1."), "norm");
  EXPECT_EQ(mapping_between(first_layer, model({"", true})).to_string(),
            "model.* -> * (11 tensors), gate_proj + up_proj -> gate_up_proj (1 layer), "
            "q_proj + k_proj + v_proj -> qkv_proj (1 layer)");
  EXPECT_EQ(mapping_between({tensor_info("embed_tokens.weight", {20, 8})}, model({})).to_string(),
            "* -> model.* (1 tensor)");
}

TEST(NameMapping, EmbeddingsMayDifferInRows) {
  Tensors target = model({""});
  target.front().shape[0] = 24;
  EXPECT_FALSE(mapping_between(model({}), target).empty());
  target.front().shape[1] = 9;
  EXPECT_TRUE(refuses(mapping_between(model({}), target), "embed_tokens.weight is [20, 8]"));
}

TEST(NameMapping, TwoPlacesAreOneTooMany) {
  EXPECT_TRUE(
      refuses(mapping_between(model({""}), model({"model."}) + model({"language_model.model."})),
              "names without prefix could be language_model.model.* or model.*"));
  EXPECT_TRUE(refuses(mapping_between(model({"a."}) + model({"b."}), model({"model."})),
                      "a.* and b.* could both be model.*"));
  // Under its own prefix in another form, or as it is under another.
  EXPECT_TRUE(refuses(mapping_between(model({}), model({"model.", true}) + model({"other."})),
                      "model.* could be model.* or other.*"));
}

TEST(NameMapping, AStrayTensorUnderTheOldNameIsAContradiction) {
  Tensors target = model({"other."});
  target.push_back(tensor_info("model.layers.0.input_layernorm.weight", {8}));
  EXPECT_TRUE(refuses(mapping_between(model({}), target), "is there under its own name"));
}

TEST(NameMapping, FusedAndSplitBesideEachOtherAreRefused) {
  Tensors both = model({"model.", true});
  both.push_back(tensor_info("model.layers.0.self_attn.q_proj.weight", {8, 8}));
  EXPECT_TRUE(refuses(mapping_between(model({}), both), "either could be meant"));
  EXPECT_TRUE(refuses(mapping_between(model({""}), both), "either could be meant"));
  both.back().name = "layers.0.self_attn.q_proj.weight";
  Tensors donor = model({"", true});
  donor.push_back(both.back());
  EXPECT_TRUE(refuses(mapping_between(donor, model({})), "two tensors would be"));
  EXPECT_TRUE(refuses(mapping_between(donor, model({"model.", true})), "either could be meant"));
}

TEST(NameMapping, WrongRowsAreRefused) {
  EXPECT_TRUE(
      refuses(mapping_between(model({}), model({"model.", true, 2, 8, 5})),
              "qkv_proj.weight is [18, 8], q_proj + k_proj + v_proj [8, 8] + [4, 8] + [4, 8]"));
  EXPECT_TRUE(
      refuses(mapping_between(model({"", true, 2, 9}), model({})), "qkv_proj.weight is [17, 8]"));
  EXPECT_TRUE(refuses(mapping_between(model({"", false, 2, 8, 4, 9}), model({})), "is [20, 9]"));
  Tensors halves = model({});
  for (TensorInfo& one : halves) {
    if (one.name.find("gate_proj") != std::string::npos) one.shape[0] = 11;
    if (one.name.find("up_proj") != std::string::npos) one.shape[0] = 13;
  }
  EXPECT_TRUE(
      refuses(mapping_between(halves, model({"model.", true})), "gate_up_proj.weight is [24, 8]"));
  Tensors huge = model({});
  for (TensorInfo& one : huge)
    if (one.name.find("_proj.bias") != std::string::npos) one.shape[0] = INT64_MAX;
  EXPECT_FALSE(mapping_between(huge, model({"model.", true})).problems.empty());
}

TEST(NameMapping, AMissingPartIsRefused) {
  EXPECT_TRUE(refuses(mapping_between(without(model({}), "layers.1.self_attn.k_proj.weight"),
                                      model({"model.", true})),
                      "no model.layers.1.self_attn.k_proj.weight to go with"));
  EXPECT_TRUE(refuses(mapping_between(model({"", true}), without(model({}), "v_proj.bias")),
                      "no model.layers.0.self_attn.v_proj.bias"));
}

TEST(NameMapping, WhatAVectorLacksIsZeroAndItsRowsAreTold) {
  const Tensors fused = model({"model.", true});
  for (const char* lacking : {"k_proj", "v_proj", "q_proj", "up_proj"}) {
    const Tensors vector = without(model({}), lacking);
    const NameMapping mapping = mapping_between(vector, fused, Absent::kZero);
    EXPECT_EQ(mapping.problems, std::vector<std::string>()) << lacking;
    const auto* qkv = named(mapping, "model.layers.1.self_attn.qkv_proj.weight");
    const auto* gate_up = named(mapping, "model.layers.1.mlp.gate_up_proj.bias");
    ASSERT_TRUE(qkv != nullptr && gate_up != nullptr) << lacking;
    EXPECT_EQ(qkv->parts, named(mapping_between(model({}), fused), qkv->name)->parts);
    EXPECT_EQ(gate_up->parts, named(mapping_between(model({}), fused), gate_up->name)->parts);
    EXPECT_TRUE(holds(mapping.to_string(), std::string("without ") + lacking));
  }
  const Tensors queries = without(without(without(model({}), "k_proj"), "v_proj"), "mlp.");
  const NameMapping mapping = mapping_between(queries, fused, Absent::kZero);
  EXPECT_EQ(named(mapping, "model.layers.0.self_attn.qkv_proj.weight")->parts[1].rows, 4);
  EXPECT_TRUE(holds(mapping.to_string(), "q_proj -> qkv_proj without k_proj + v_proj (2 layers)"));
}

TEST(NameMapping, RowsThatCannotBeToldAreRefused) {
  Tensors odd = without(without(model({}), "k_proj"), "v_proj");
  for (TensorInfo& one : odd)
    if (one.name.find("q_proj") != std::string::npos) one.shape[0] = 9;  // leaves 7 for two
  EXPECT_TRUE(refuses(mapping_between(odd, model({"model.", true}), Absent::kZero),
                      "qkv_proj.weight is [16, 8], q_proj [9, 8]"));
}

TEST(NameMapping, AModuleOfNoLayerHasNoPlace) {
  const Tensors layer{tensor_info("layers.0.input_layernorm.weight", {8})};
  for (const char* module : {"model.mlp.gate_up_proj.weight", "model.mlp.gate_proj.weight"}) {
    const Tensors stray{tensor_info("model.layers.0.input_layernorm.weight", {8}),
                        tensor_info(module, {8, 8})};
    EXPECT_EQ(mapping_between(stray, layer).tensors.size(), 1u);
    EXPECT_EQ(mapping_between(layer, stray).tensors.size(), 1u);
  }
}

TEST(NameMapping, APartThatIsThereUnderTheNewNamesIsNotAbsent) {
  const Tensors from{tensor_info("a.layers.0.self_attn.q_proj.weight", {8, 8})};
  const Tensors to{tensor_info("a.layers.0.self_attn.k_proj.weight", {4, 8}),
                   tensor_info("b.layers.0.self_attn.qkv_proj.weight", {16, 8})};
  EXPECT_TRUE(refuses(mapping_between(from, to, Absent::kZero), "either could be meant"));
}

TEST(NameMapping, OfHundredsOfTowersIsNotRead) {
  Tensors from, to;
  for (int i = 0; i < 1000; ++i) {
    from.push_back(tensor_info("a" + std::to_string(i) + ".layers.0.w", {2, 2}));
    to.push_back(tensor_info("b" + std::to_string(i) + ".layers.0.w", {2, 2}));
  }
  EXPECT_TRUE(refuses(mapping_between(from, to), "1000 prefixes stand before layers"));
}

TEST(NameMapping, TheWayBackHasTheRowsOfEmbeddingsThatAreThere) {
  Tensors larger = model({});
  larger[0].shape[0] = 24;
  const Tensors now = model({""});
  const NameMapping back = inverse_of(mapping_between(larger, now), now);
  const NameMapping::Tensor* embedding = named(back, "model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->parts, (std::vector<NameMapping::Part>{{"embed_tokens.weight", 0, 20}}));
}

TEST(NameMapping, HasAWayBack) {
  for (const Names& to : {Names{"", true}, Names{"x.", false}}) {
    for (const Names& from : {Names{}, Names{"model.", true}}) {
      const NameMapping mapping = mapping_between(model(from), model(to));
      const NameMapping back = inverse_of(mapping, model(to));
      const NameMapping expected = mapping_between(model(to), model(from));
      ASSERT_EQ(back.tensors.size(), expected.tensors.size());
      for (const NameMapping::Tensor& tensor : expected.tensors) {
        ASSERT_NE(named(back, tensor.name), nullptr) << tensor.name;
        EXPECT_EQ(named(back, tensor.name)->parts, tensor.parts) << tensor.name;
      }
    }
  }
}

TEST(NameMapping, CodesAreNotCut) {
  Tensors coded = model({"", true});
  for (TensorInfo& one : coded)
    if (one.name.find("qkv_proj.weight") != std::string::npos) one.dtype = Dtype::kI8;
  EXPECT_TRUE(refuses(mapping_between(coded, model({})), "qkv_proj.weight"));
}

TEST(NameMapping, OtherLayoutsAreNamed) {
  Tensors neox = without(model({}), "self_attn");
  neox.push_back(tensor_info("model.layers.0.attention.query_key_value.weight", {16, 8}));
  EXPECT_TRUE(refuses(mapping_between(neox, model({})), "interleaved head by head"));
  EXPECT_TRUE(refuses(mapping_between(model({}), neox), "interleaved head by head"));
}

TEST(NameMapping, StrangersAreLeftToTheCheck) {
  Tensors more = model({});
  more.push_back(tensor_info("model.layers.0.self_attn.q_norm.weight", {4}));
  for (const Tensors& from : {more, model({"model.", false, 3}),
                              Tensors{tensor_info("x", {}), tensor_info("y.weight", {3})}}) {
    const NameMapping mapping = mapping_between(from, model({}));
    EXPECT_TRUE(mapping.empty());
    EXPECT_TRUE(mapping.problems.empty());
  }
}

}  // namespace
}  // namespace suture
