#include "report/heat_map.h"

#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "support/sample_analysis.h"
#include "support/thrown.h"

namespace suture::report {
namespace {

using test::holds;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const TextStyle kShades, kAscii{false, 80};
const TextStyle kTrue{true, 80, ColourDepth::kTrue}, kPalette{true, 80, ColourDepth::k256};

AnalysisRow tensor(const std::string& name, double norm, std::optional<double> base) {
  VectorStatistics statistics;
  statistics.norm = norm;
  statistics.base_norm = base;
  if (base && *base > 0) statistics.relative_norm = norm / *base;
  return {name, {statistics}, {}};
}

Analysis analysis_of(std::vector<AnalysisRow> tensors) {
  Analysis analysis;
  analysis.vectors = {"v"};
  analysis.tensors = std::move(tensors);
  return analysis;
}

HeatMap map_of(std::vector<std::string> modules, std::vector<std::optional<double>> values) {
  HeatMap map;
  for (std::size_t layer = 0; layer * modules.size() < values.size(); ++layer)
    map.layers.push_back(static_cast<int>(layer));
  map.modules = std::move(modules);
  map.values = std::move(values);
  return map;
}

HeatMap small_map() {
  return map_of({"q_proj", "input_layernorm"}, {1, 0, 0.5, std::nullopt, 0.25, 0.75});
}

// As many modules and layers as wanted, with all kinds of values.
HeatMap large_map(std::size_t layers, std::size_t modules) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < modules; ++i) names.push_back("expert_number" + std::to_string(i));
  std::vector<std::optional<double>> values(layers * modules);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i % 7 != 3) values[i] = static_cast<double>(i % 11) / 10;
  return map_of(names, values);
}

std::string text_of(const HeatMap& map, const TextStyle& style = kShades) {
  return to_text(map, common_scale({map}), style);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// --- Values --------------------------------------------------------------------------------------

TEST(HeatMaps, JoinTheTensorsOfAModuleInALayer) {
  const std::string layers = "model.layers.";
  const auto maps = heat_maps_of(analysis_of({tensor(layers + "10.mlp.up_proj.weight", 1, 4),
                                              tensor(layers + "2.self_attn.q_proj.weight", 3, 6),
                                              tensor(layers + "2.self_attn.q_proj.bias", 4, 8),
                                              tensor("model.norm.weight", 9, 9)}));
  ASSERT_EQ(maps.size(), 1u);
  EXPECT_EQ(maps[0].layers, (std::vector<int>{2, 10}));
  EXPECT_EQ(maps[0].modules, (std::vector<std::string>{"up_proj", "q_proj"}));
  EXPECT_TRUE(maps[0].is_relative);
  EXPECT_EQ(maps[0].at(0, 0), std::nullopt);
  EXPECT_DOUBLE_EQ(maps[0].at(0, 1).value(), 5.0 / 10);
  EXPECT_DOUBLE_EQ(maps[0].at(1, 0).value(), 0.25);
  EXPECT_EQ(maps[0].at(1, 1), std::nullopt);
}

TEST(HeatMaps, AreOfNormsWhereAModuleHasNoRelativeOne) {
  for (const std::optional<double>& base : {std::optional<double>(), std::optional<double>(0)}) {
    const auto maps = heat_maps_of(
        analysis_of({tensor("layers.0.a.weight", 3, 6), tensor("layers.0.b.weight", 2, base)}));
    EXPECT_FALSE(maps.at(0).is_relative);
    EXPECT_EQ(maps.at(0).at(0, 0), 3);
    EXPECT_EQ(maps.at(0).at(0, 1), 2);
  }
}

TEST(HeatMaps, AreOfNormsWhereAPartOfAModuleHasNoRelativeOne) {
  const auto maps = heat_maps_of(
      analysis_of({tensor("layers.0.a.weight", 3, 6), tensor("layers.0.a.bias", 4, std::nullopt)}));
  EXPECT_FALSE(maps.at(0).is_relative);
  EXPECT_DOUBLE_EQ(maps.at(0).at(0, 0).value(), 5);
}

TEST(HeatMaps, OfSeveralVectorsShareMeasureAndScale) {
  Analysis analysis = analysis_of({tensor("layers.0.a.weight", 3, 6)});
  analysis.vectors.push_back("w");
  analysis.tensors[0].vectors.push_back(tensor("", 12, 6).vectors[0]);
  auto maps = heat_maps_of(analysis);
  ASSERT_EQ(maps.size(), 2u);
  EXPECT_EQ(maps[1].at(0, 0), 2);
  EXPECT_EQ(common_scale(maps).largest, 2);
  EXPECT_EQ(common_scale(maps).maps, 2u);
  analysis.tensors[0].vectors[1].base_norm.reset();
  maps = heat_maps_of(analysis);
  EXPECT_FALSE(maps[0].is_relative);
  EXPECT_EQ(maps[0].at(0, 0), 3);
}

TEST(HeatMaps, HoldNumbersWhoseSquaresAreTooLargeOrSmall) {
  const auto maps = heat_maps_of(analysis_of(
      {tensor("layers.0.a.weight", 1e200, 1e201), tensor("layers.1.a.weight", 1e-200, 1e-199)}));
  EXPECT_DOUBLE_EQ(maps.at(0).at(0, 0).value(), 0.1);
  EXPECT_DOUBLE_EQ(maps.at(0).at(1, 0).value(), 0.1);
}

TEST(HeatMaps, AreEmptyWhereNobodyCouldLookAtThem) {
  std::vector<AnalysisRow> tensors;
  for (int i = 0; i < 1001; ++i)
    tensors.push_back(
        tensor("layers." + std::to_string(i) + ".m" + std::to_string(i) + ".w", 1, 1));
  const std::vector<HeatMap> maps = heat_maps_of(analysis_of(tensors));
  EXPECT_TRUE(maps.at(0).values.empty());
  EXPECT_EQ(text_of(maps[0]), "");
  tensors.pop_back();
  EXPECT_EQ(heat_maps_of(analysis_of(tensors)).at(0).values.size(), 1000000u);
}

TEST(HeatMaps, TakeAnAnalysisOfNothing) {
  EXPECT_TRUE(heat_maps_of(Analysis()).empty());
  const auto maps = heat_maps_of(analysis_of({tensor("model.norm.weight", 1, 2)}));
  EXPECT_EQ(text_of(maps.at(0)), "");
}

// --- Drawings ------------------------------------------------------------------------------------

TEST(HeatMapText, IsShadesWithoutColours) {
  EXPECT_EQ(text_of(small_map()),
            "norm by layer and module\n"
            "             input\n"
            "layer  q     norm\n"
            "0      █████\n"
            "1      ▓▓▓▓▓ ·····\n"
            "2      ▒▒▒▒▒ █████\n"
            "       0 ░░░░░░▒▒▒▒▒▒▓▓▓▓▓▓██████ 1\n"
            "linear, up to the largest value; blank: zero; ·: no tensor there\n");
}

TEST(HeatMapText, IsTheRampInAscii) {
  EXPECT_EQ(text_of(small_map(), kAscii),
            "norm by layer and module\n"
            "             input\n"
            "layer  q     norm\n"
            "0      @@@@@\n"
            "1      +++++ xxxxx\n"
            "2      ----- #####\n"
            "       0 ..::--==++**##%%@@ 1\n"
            "linear, up to the largest value; blank: zero; x: no tensor there\n");
}

TEST(HeatMapText, IsTwoLayersALineInColours) {
  const std::vector<std::string> lines = lines_of(text_of(small_map(), kTrue));
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_EQ(lines[0], "norm by layer and module");
  EXPECT_EQ(lines[1], "             input");
  EXPECT_EQ(lines[2], "layer  q     norm");
  EXPECT_EQ(lines[3],
            "0-1    \x1b[38;2;253;231;37m\x1b[48;2;33;145;140m▀▀▀▀▀▀\x1b[0m"
            "\x1b[38;2;68;1;84m▀▀▀▀▀▀\x1b[0m");
  EXPECT_EQ(lines[4], "2      \x1b[38;2;59;82;139m▀▀▀▀▀▀\x1b[0m\x1b[38;2;94;201;98m▀▀▀▀▀▀\x1b[0m");
  EXPECT_EQ(without_colours(lines[5]), "       0 ████████████████████████ 1");
  EXPECT_TRUE(holds(lines[5], "0 \x1b[38;2;68;1;84m█"));
  EXPECT_TRUE(holds(lines[5], "\x1b[38;2;253;231;37m█\x1b[0m 1"));
  EXPECT_EQ(lines[6] + lines[7],
            "linear, up to the largest value; two layers a line, one above the other; blank:"
            "  no tensor there");
}

TEST(HeatMapText, DrawsALowerLayerAlone) {
  EXPECT_TRUE(holds(text_of(map_of({"a"}, {std::nullopt, 1}), kTrue),
                    "0-1    \x1b[38;2;253;231;37m▄▄▄▄\x1b[0m\n"));
}

TEST(HeatMapText, TakesThePaletteWhereThatIsAll) {
  const std::string text = text_of(small_map(), kPalette);
  EXPECT_TRUE(holds(text, "0-1    \x1b[38;5;220m"));
  EXPECT_EQ(text.find(";2;"), std::string::npos);
  EXPECT_EQ(without_colours(text), without_colours(text_of(small_map(), kTrue)));
}

TEST(HeatMapText, WithSixteenColoursOrAsciiIsUncoloured) {
  EXPECT_EQ(text_of(small_map(), {true, 80, ColourDepth::k16}), text_of(small_map()));
  EXPECT_EQ(text_of(small_map(), {false, 80, ColourDepth::kTrue}), text_of(small_map(), kAscii));
}

TEST(HeatMapText, OfFewerThanTwoLayersIsEmpty) {
  EXPECT_EQ(text_of(map_of({"a"}, {1})), "");
  EXPECT_NE(text_of(map_of({"a"}, {1, 1})), "");
}

TEST(HeatMapText, SaysWhatItsScaleIs) {
  HeatMap map = small_map();
  EXPECT_TRUE(holds(text_of(map), "██ 1\nlinear, up to the largest value; "));
  map.is_relative = true;
  const std::string text = to_text(map, {2, 3}, kShades);
  EXPECT_TRUE(holds(text, "norm relative to the base, by layer and module\n"));
  EXPECT_TRUE(holds(text, "██ 200.0 %\nlinear, up to the largest value of all 3 vectors; "));
  EXPECT_TRUE(holds(text, "\n0      ▓▓▓▓▓\n")) << "half of the scale";
}

TEST(HeatMapText, DrawsOnlyZeroAsBlank) {
  const std::string text = text_of(map_of({"a"}, {1, 1e-9, 0, 0.5}), kAscii);
  EXPECT_TRUE(holds(text, "\n0      @@@\n1      ...\n2\n3      +++\n"));
}

TEST(HeatMapText, OfZerosAndOfWhatIsNotFiniteStaysOnTheScale) {
  EXPECT_TRUE(holds(text_of(map_of({"a"}, {0, 0})), "\n0\n1\n"));
  const HeatMap odd = map_of({"a"}, {kInfinity, 1, std::nan("")});
  EXPECT_EQ(common_scale({odd}).largest, 1);
  EXPECT_TRUE(holds(text_of(odd), "\n0      ███\n1      ███\n2      ███\n"));
}

TEST(HeatMapText, NamesModulesShortlyUnlessTwoWouldBeTheSame) {
  EXPECT_TRUE(holds(text_of(map_of({"q_proj", "k_proj"}, {1, 1, 1, 1})), "\nlayer  q   k\n"));
  EXPECT_TRUE(holds(text_of(map_of({"q_proj", "q"}, {1, 1, 1, 1})), "\n       q\nlayer  proj q\n"));
}

TEST(HeatMapText, TellsApartNamesThatAreShortenedToTheSame) {
  const std::string half(40, 'x');
  const HeatMap map = map_of({half + "1" + half, half + "2" + half}, {1, 1, 1, 1});
  EXPECT_TRUE(holds(text_of(map, {true, 14}), "\n       #1 #2\n"));
}

TEST(HeatMapText, LeavesOutTheSmallestModulesThatHaveNoRoom) {
  HeatMap map = map_of({"a", "b", "c"}, {1, 0.25, 3, 1, 0.125, 2});
  const std::string text = text_of(map, {true, 12});
  EXPECT_TRUE(holds(text, "\nlayer  a c\n"));
  std::string joined;
  for (const std::string& line : lines_of(text))
    joined += " " + line.substr(line.find_first_not_of(' '));
  EXPECT_TRUE(
      holds(joined, "; 2 of 3 modules, those with the largest values: the others reach 0.25"));
}

TEST(HeatMapText, FitsEightyLayersAndHundredsOfModules) {
  const std::string text = text_of(large_map(80, 300), kTrue);
  EXPECT_TRUE(holds(text, "\n78-79  "));
  EXPECT_EQ(text.find("\n80"), std::string::npos);
  EXPECT_TRUE(holds(text, "36 of 300 modules, those with the"));
  EXPECT_LE(lines_of(text).size(), 60u);
}

TEST(HeatMapText, NamesTheLayersThatAreThere) {
  HeatMap map = map_of({"a"}, {1, 1, 1});
  map.layers = {3, 7, 8};
  EXPECT_TRUE(holds(without_colours(text_of(map, kTrue)), "\n3,7    ▀▀▀▀\n8      ▀▀▀▀\n"));
}

TEST(HeatMapText, IsNeverWiderThanTheTerminal) {
  for (const auto& [layers, modules] : {std::pair<std::size_t, std::size_t>{3, 2}, {5, 40}})
    for (const TextStyle& like : {kShades, kAscii, kTrue, kPalette})
      for (int width = 1; width <= 130; ++width)
        for (const std::string& line :
             lines_of(text_of(large_map(layers, modules), {like.unicode, width, like.colours})))
          ASSERT_LE(columns_of(line), static_cast<std::size_t>(width)) << line;
}

TEST(HeatMapText, EndsEveryColourOnItsLine) {
  for (const std::string& line : lines_of(text_of(large_map(5, 9), kTrue))) {
    const std::size_t last = line.rfind('\x1b');
    EXPECT_TRUE(last == std::string::npos || line.substr(last, 4) == "\x1b[0m") << line;
  }
}

TEST(HeatMapText, HasNoHostileName) {
  const std::string text = text_of(map_of({test::kHostileName, "b"}, {1, 1, 1, 1}));
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << text;
  EXPECT_EQ(text.find("\xE2\x80\xAE"), std::string::npos);
}

}  // namespace
}  // namespace suture::report
