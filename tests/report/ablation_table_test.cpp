#include "report/ablation_table.h"

#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "support/sample_ablation.h"
#include "support/thrown.h"

namespace suture::report {
namespace {

using test::holds;
using test::sample_ablation;

std::string table_of(const Ablation& ablation, const TextStyle& style = {}) {
  return effect_table(effects_of(ablation, ablation.arms[0].metrics[0]), style);
}

std::string line_with(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.find(part) != std::string::npos) return line;
  ADD_FAILURE() << "'" << part << "' is not in: " << text;
  return {};
}

// The line of the ends of the axis, where all effects are of one size, and one has the other sign.
std::string head_with_effects_of(double size) {
  Ablation ablation = sample_ablation();
  for (ArmResult& result : ablation.arms)
    if (result.effects[0]) result.effects[0] = test::effect(size, size / 4, 0.5);
  ablation.arms[4].effects[0] = test::effect(-size, size / 4, 0.5);
  return line_with(table_of(ablation), "arm ");
}

TEST(EffectTable, ColoursBarsByWhatIsTold) {
  Ablation ablation = sample_ablation();
  ablation.arms[4].effects[0]->p_holm = 0.01;
  ablation.arms[5].effects[0]->p_holm.reset();
  const std::string text = table_of(ablation, {true, 80, ColourDepth::k16});
  EXPECT_TRUE(holds(line_with(text, "  vector"), "\x1b[94m→\x1b[0m"));
  EXPECT_TRUE(holds(line_with(text, "  random seed=0"), "\x1b[2m←──────●────────┼─┤\x1b[0m"));
  EXPECT_TRUE(holds(line_with(text, "  layer=0"), "\x1b[33m├──────●───────┤\x1b[0m│"));
  EXPECT_EQ(line_with(text, "  layer=1").find('\x1b'), std::string::npos) << "not tested";
}

TEST(EffectTable, HasTheSameLayoutWithAndWithoutColours) {
  for (const bool unicode : {true, false})
    for (int width = 10; width <= 130; ++width)
      EXPECT_EQ(without_colours(table_of(sample_ablation(), {unicode, width, ColourDepth::kTrue})),
                table_of(sample_ablation(), {unicode, width}));
}

TEST(EffectTable, EndsOfTheAxisAreLegibleForSmallEffects) {
  EXPECT_TRUE(holds(head_with_effects_of(0.4), "  -0.500     0    +0.500"));
  EXPECT_TRUE(holds(head_with_effects_of(0.0004), "-0.0005 "));
  EXPECT_TRUE(holds(head_with_effects_of(0.0004), " +0.0005"));
  EXPECT_TRUE(holds(head_with_effects_of(4e-5), " +0.00005"));
  EXPECT_TRUE(holds(head_with_effects_of(4e-9), "-5.0e-9 "));
  EXPECT_TRUE(holds(head_with_effects_of(4e-9), " +5.0e-9"));
  EXPECT_TRUE(holds(head_with_effects_of(4e-19), "+5"));
  EXPECT_TRUE(holds(head_with_effects_of(0), "  -1.000      0     +1.000"));
}

}  // namespace
}  // namespace suture::report
