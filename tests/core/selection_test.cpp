#include "suture/selection.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::is_one_plain_line;
using test::thrown_by;

const std::vector<std::string>& names() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> made{"model.embed_tokens.weight"};
    for (int i = 0; i < 6; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      for (const char* part :
           {"self_attn.q_proj.weight", "self_attn.q_proj.bias", "self_attn.o_proj.weight",
            "mlp.up_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight"}) {
        made.push_back(layer + part);
      }
    }
    made.insert(made.end(), {"model.norm.weight", "lm_head.weight"});
    return made;
  }();
  return all;
}

// One character a name: `x` where it is selected.
std::string picked(const Selection& selection) {
  std::string text;
  for (const std::string& name : names()) text += selection.matches(name) ? 'x' : '.';
  return text;
}
std::string picked(const std::string& text) { return picked(Selection::parse(text)); }

template <class Predicate>
std::string expected(Predicate predicate) {
  std::string text;
  for (const std::string& name : names()) text += predicate(name) ? 'x' : '.';
  return text;
}

bool has(const std::string& name, const char* part) { return name.find(part) != std::string::npos; }

TEST(Selection, OfNothingSaidSelectsEveryTensor) {
  EXPECT_TRUE(Selection().is_all());
  EXPECT_EQ(Selection().to_string(), "all");
  EXPECT_TRUE(Selection::parse("all").is_all());
  EXPECT_TRUE(Selection().matches("anything"));
  EXPECT_NO_THROW(Selection().require_matches({}));
}

TEST(Selection, PicksLayers) {
  EXPECT_EQ(picked("layer=3"), expected([](auto& n) { return has(n, "layers.3."); }));
  EXPECT_EQ(picked("layer=0-1,5"), expected([](auto& n) {
              return has(n, "layers.0.") || has(n, "layers.1.") || has(n, "layers.5.");
            }));
  EXPECT_EQ(picked("layer=4-"),
            expected([](auto& n) { return has(n, "layers.4.") || has(n, "layers.5."); }));
  EXPECT_EQ(picked("layer=2-2"), picked("layer=2"));
}

TEST(Selection, PicksBlocksModulesNamesAndPatterns) {
  EXPECT_EQ(picked("block=attention"), expected([](auto& n) { return has(n, "self_attn"); }));
  EXPECT_EQ(picked("block=norm,head"),
            expected([](auto& n) { return has(n, "norm") || has(n, "lm_head"); }));
  EXPECT_EQ(picked("module=q_proj,up_proj"),
            expected([](auto& n) { return has(n, "q_proj") || has(n, "up_proj"); }));
  EXPECT_EQ(picked("name=*.bias"), expected([](auto& n) { return has(n, ".bias"); }));
  EXPECT_EQ(picked("name=model.layers.[0-2].*_proj.weight"), expected([](auto& n) {
              return (has(n, "layers.0.") || has(n, "layers.1.") || has(n, "layers.2.")) &&
                     has(n, "_proj.weight");
            }));
  EXPECT_EQ(picked("re=(q|o)_proj\\.weight$"),
            expected([](auto& n) { return has(n, "q_proj.weight") || has(n, "o_proj.weight"); }));
}

TEST(Selection, MatchesModulesWhole) { EXPECT_EQ(picked("module=proj"), picked("!name=*")); }

TEST(Selection, NotBindsTighterThanAndTighterThanOr) {
  EXPECT_EQ(picked("layer=0 | layer=1 & block=mlp"), picked("layer=0 | (layer=1 & block=mlp)"));
  EXPECT_NE(picked("layer=0 | layer=1 & block=mlp"), picked("(layer=0 | layer=1) & block=mlp"));
  EXPECT_EQ(picked("!layer=0 & block=mlp"), picked("(!layer=0) & block=mlp"));
  EXPECT_NE(picked("!layer=0 & block=mlp"), picked("!(layer=0 & block=mlp)"));
  EXPECT_EQ(picked("!!layer=0"), picked("layer=0"));
  EXPECT_EQ(picked("block=mlp & layer=0 | layer=1"), picked("(block=mlp & layer=0) | layer=1"));
}

TEST(Selection, SpacesDoNotMatter) {
  EXPECT_EQ(picked(" layer=0-2&!block=mlp|name=lm_head* "),
            picked("layer=0-2  &  ! block=mlp  |  name=lm_head*"));
  EXPECT_EQ(picked("( layer=1 )"), picked("layer=1"));
}

TEST(Selection, QuotedPatternsMayHoldAnything) {
  EXPECT_TRUE(Selection::parse("name='a b & c'").matches("a b & c"));
  EXPECT_TRUE(Selection::parse("re=\"x | y\\)\" | layer=0").matches("model.layers.0.mlp.w"));
  EXPECT_TRUE(Selection::parse("re='a b'").matches("xa by"));
}

TEST(Selection, OperatorsEqualTheGrammar) {
  const auto a = Selection::parse("layer=0-2"), b = Selection::parse("block=mlp");
  EXPECT_EQ(picked(a & b), picked("layer=0-2 & block=mlp"));
  EXPECT_EQ(picked(a | b), picked("layer=0-2 | block=mlp"));
  EXPECT_EQ(picked(!a), picked("!layer=0-2"));
  EXPECT_EQ(picked(Selection() & a), picked(a));
  EXPECT_EQ(picked(a & Selection()), picked(a));
  EXPECT_TRUE((a | Selection()).is_all());
  EXPECT_EQ(picked(!Selection()), expected([](auto&) { return false; }));
  EXPECT_EQ(picked(!!Selection()), picked(Selection()));
}

TEST(Selection, ItsTextReadsBackToTheSame) {
  for (const char* text :
       {"all", "layer=0-2,4-", "block=mlp,norm", "module=q_proj", "name=*.bias",
        "re=(q|o)_proj\\.weight$", "!layer=0", "!(layer=0 | block=mlp) & !name=*bias",
        "layer=0 | layer=1 & block=mlp | !module=o_proj", "name='a b'", "re='x\"y z'",
        "name=a'b\"c", "re='^(model|lm_head)'"}) {
    const Selection once = Selection::parse(text);
    const Selection twice = Selection::parse(once.to_string());
    EXPECT_EQ(picked(twice), picked(once)) << text;
    EXPECT_EQ(twice.to_string(), once.to_string()) << text;
    EXPECT_EQ(twice.matches("a b"), once.matches("a b")) << text;
    EXPECT_EQ(twice.matches("a'b\"c"), once.matches("a'b\"c")) << text;
  }
}

TEST(Selection, LongListsOfConditionsReadBackToo) {
  for (const char* operation : {" | ", " & "}) {
    std::string text = "layer=0";
    for (int i = 0; i < 200; ++i)
      text += std::string(operation) + "!name=nothing" + std::to_string(i);
    const Selection once = Selection::parse(text);
    EXPECT_EQ(picked(Selection::parse(once.to_string())), picked(once)) << operation;
  }
}

TEST(Selection, RefusesWhatIsNoRangeOfLayers) {
  for (const char* text :
       {"layer=5-3", "layer=-1", "layer=a", "layer=1-a", "layer=1,,2", "layer=,", "layer=1,",
        "layer=1--2", "layer=-", "layer=0x1", "layer=1.5", "layer=9999999"}) {
    const std::string message = thrown_by<UsageError>([&] { Selection::parse(text); });
    EXPECT_TRUE(holds(message, "range of layers")) << text;
    EXPECT_TRUE(holds(message, "0-7")) << text;
  }
}

TEST(Selection, RefusesWhatIsNoSelectionAndSaysWhere) {
  for (const char* text :
       {"", "  ", "layer", "=3", "layer=", "module=", "(layer=1", "layer=1)", "layer=1 &",
        "layer=1 layer=2", "& layer=1", "!", "()", "name='x", "layer =1 2", "LAYER=1"}) {
    const std::string message = thrown_by<UsageError>([&] { Selection::parse(text); });
    EXPECT_TRUE(is_one_plain_line(message)) << text;
  }
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Selection::parse("layer=1 & (block=mlp"); }),
                    "a closing )"));
  EXPECT_TRUE(
      holds(thrown_by<UsageError>([] { Selection::parse("layer=1 block=mlp"); }), "character 8"));
}

TEST(Selection, RefusesUnknownConditionsAndBlocks) {
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Selection::parse("layers=1"); }), "'layers='"));
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Selection::parse("layers=1"); }), "module="));
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Selection::parse("block=attn"); }), "'attn'"));
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Selection::parse("block=attn"); }), "embedding"));
}

TEST(Selection, RefusesABrokenPattern) {
  EXPECT_TRUE(holds(thrown_by<UsageError>([] { Selection::parse("re=[a"); }), "'[a'"));
}

TEST(Selection, RefusesBombs) {
  thrown_by<UsageError>(
      [] { Selection::parse(std::string(100, '(') + "layer=1" + std::string(100, ')')); });
  thrown_by<UsageError>([] { Selection::parse(std::string(60'000, '!') + "layer=1"); });
  thrown_by<UsageError>([] { Selection::parse("name=" + std::string(70'000, 'a')); });
}

TEST(Selection, BoundsTheEffortOfAPattern) {
  const Selection selection = Selection::parse("re=(a+)+$");
  const std::string message =
      thrown_by<UsageError>([&] { (void)selection.matches(std::string(64, 'a') + "!"); });
  EXPECT_TRUE(holds(message, "(a+)+$"));
}

TEST(Selection, BoundsTheEffortOfAGlob) {
  std::string glob = "name=";
  for (int i = 0; i < 30; ++i) glob += "*a";
  EXPECT_FALSE(Selection::parse(glob + "*b").matches(std::string(200, 'a')));
}

TEST(SelectionRequireMatches, TakesWhatSelectsSomething) {
  for (const char* text : {"layer=5", "layer=5-", "module=q_proj", "name=lm_head*", "re=up_proj",
                           "layer=0 & block=mlp", "!layer=0"}) {
    EXPECT_NO_THROW(Selection::parse(text).require_matches(names())) << text;
  }
}

TEST(SelectionRequireMatches, RefusesLayersBeyondTheLast) {
  for (const char* text :
       {"layer=6", "layer=0-6", "layer=6-", "layer=0-9999", "layer=0 | layer=77"}) {
    EXPECT_TRUE(
        holds(thrown_by<UsageError>([&] { Selection::parse(text).require_matches(names()); }),
              "layers 0 to 5"))
        << text;
  }
  EXPECT_TRUE(
      holds(thrown_by<UsageError>([] { Selection::parse("layer=0").require_matches({"weight"}); }),
            "no layers"));
}

TEST(SelectionRequireMatches, SuggestsNearNames) {
  const auto refused = [](const char* text) {
    return thrown_by<UsageError>([&] { Selection::parse(text).require_matches(names()); });
  };
  EXPECT_TRUE(holds(refused("module=q_prj"), "did you mean 'q_proj'"));
  EXPECT_TRUE(holds(refused("name=lm_hed.weight"), "did you mean 'lm_head.weight'"));
  EXPECT_TRUE(holds(refused("layer=0 | module=qproj"), "module=qproj selects no tensor"));
  EXPECT_TRUE(holds(refused("re=^nothing$"), "selects no tensor"));
}

TEST(SelectionRequireMatches, RefusesConditionsThatExcludeEachOther) {
  thrown_by<UsageError>(
      [] { Selection::parse("layer=0 & name=lm_head.weight").require_matches(names()); });
}

}  // namespace
}  // namespace suture
