#include "report/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "suture/error.h"
#include "suture/site.h"

#include "report/colour.h"

namespace suture::report {
namespace {

using Headings = std::vector<std::vector<std::string>>;  // by column, then by line

constexpr std::size_t kGap = 2;  // between layers' names and cells
constexpr std::size_t kMinCellColumns = 2, kUsualCellColumns = 4;
constexpr std::size_t kMaxHeadingLines = 12;
constexpr std::size_t kMaxCells = 1'000'000;
constexpr std::size_t kMinLegendColumns = 9, kLegendColumns = 24;

// --- The values ----------------------------------------------------------------------------------

// A module in one layer. Squares might be more than a double holds.
struct Norms {
  double norm = 0, base = 0;
  bool has_base = true;

  void add(const VectorStatistics& tensor) {
    norm = std::hypot(norm, tensor.norm);
    base = std::hypot(base, tensor.base_norm.value_or(0));
    has_base = has_base && tensor.base_norm;
  }
  bool is_relative() const { return has_base && base > 0; }
};

// By layer and the module's place in order of appearance.
using NormsByPlace = std::map<std::pair<int, std::size_t>, Norms>;

NormsByPlace norms_of(const Analysis& analysis, std::size_t vector,
                      std::map<std::string, std::size_t>& modules) {
  NormsByPlace norms;
  for (const AnalysisRow& tensor : analysis.tensors) {
    const Site site = site_of(tensor.name);
    if (!site.layer) continue;
    const std::size_t module = modules.emplace(site.module, modules.size()).first->second;
    norms[{*site.layer, module}].add(tensor.vectors[vector]);
  }
  return norms;
}

// Every tensor of a hostile file may have a layer and a module of its own.
bool is_drawable(const NormsByPlace& norms, std::size_t modules) {
  std::set<int> layers;
  for (const auto& [place, sums] : norms) layers.insert(place.first);
  return modules == 0 || layers.size() <= kMaxCells / modules;
}

HeatMap map_of(const NormsByPlace& norms, const std::map<std::string, std::size_t>& modules,
               bool is_relative) {
  HeatMap map;
  map.is_relative = is_relative;
  if (!is_drawable(norms, modules.size())) return map;
  map.modules.resize(modules.size());
  for (const auto& [name, place] : modules) map.modules[place] = name;
  for (const auto& [place, sums] : norms) {
    // In ascending order of layers.
    if (map.layers.empty() || map.layers.back() != place.first) {
      map.layers.push_back(place.first);
      map.values.resize(map.layers.size() * map.modules.size());
    }
    map.values[(map.layers.size() - 1) * map.modules.size() + place.second] =
        is_relative ? sums.norm / sums.base : sums.norm;
  }
  return map;
}

// --- What fits -----------------------------------------------------------------------------------

// `post_attention_layernorm` is `post_attn_norm`, `q_proj` is `q`.
std::string compact(std::string name) {
  for (const auto& [from, to] :
       {std::pair<std::string, std::string>{"layernorm", "norm"}, {"attention", "attn"}})
    if (const std::size_t at = name.find(from); at != std::string::npos)
      name.replace(at, from.size(), to);
  const std::string suffix = "_proj";
  if (name.size() > suffix.size() && name.ends_with(suffix))
    name.resize(name.size() - suffix.size());
  return name;
}

// Short names, unless two modules would share one.
std::vector<std::string> short_names(const std::vector<std::string>& modules) {
  std::vector<std::string> names;
  for (const std::string& module : modules) names.push_back(compact(printable(module)));
  if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = printable(modules[i]);
  return names;
}

// The name over lines of `columns`, broken at `_`, and within words that are wider.
std::vector<std::string> stacked(const std::string& name, std::size_t columns) {
  std::vector<std::string> lines(1);
  for (const char c : name) {
    const bool begins = (c & 0xC0) != 0x80;
    const bool is_full = begins && columns_of(lines.back()) == columns;
    if ((c == '_' || is_full) && !lines.back().empty()) lines.emplace_back();
    if (c != '_') lines.back() += c;
  }
  if (lines.size() > 1 && lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<std::string> stacked_at_most(const std::string& name, std::size_t columns,
                                         const TextStyle& style) {
  std::vector<std::string> lines = stacked(name, columns);
  for (std::size_t kept = columns_of(name); lines.size() > kMaxHeadingLines && kept > 0; --kept)
    lines = stacked(shortened(name, kept, style), columns);
  return lines;
}

// Names that were shortened to the same get the numbers of their columns.
Headings stacked_apart(const std::vector<std::string>& names, std::size_t columns,
                       const TextStyle& style) {
  Headings headings;
  std::map<std::vector<std::string>, std::size_t> uses;
  for (const std::string& name : names) {
    headings.push_back(stacked_at_most(name, columns, style));
    ++uses[headings.back()];
  }
  for (std::size_t i = 0; i < headings.size(); ++i)
    if (uses.at(headings[i]) > 1)
      headings[i] = stacked_at_most("#" + std::to_string(i + 1) + "_" + names[i], columns, style);
  return headings;
}

std::size_t widest_word(const std::vector<std::string>& names) {
  std::size_t widest = 0;
  for (const std::string& name : names)
    for (const std::string& word : stacked(name, columns_of(name) + 1))
      widest = std::max(widest, columns_of(word));
  return widest;
}

class Drawing {
 public:
  Drawing(const HeatMap& map, const HeatScale& scale, const TextStyle& style)
      : map_(map), scale_(scale), style_(style), width_(std::max(style.width, 1)) {
    is_coloured_ = style.unicode && style.colours >= ColourDepth::k256;
    layers_a_line_ = is_coloured_ ? 2 : 1;
    for (std::size_t layer = 0; layer < map.layers.size(); layer += layers_a_line_)
      label_columns_ = std::max({label_columns_, columns_of(label_of(layer)), std::size_t{5}});
    const std::size_t taken = label_columns_ + kGap;
    const std::size_t room = taken < width_ ? width_ - taken : 0;
    choose_modules(room / kMinCellColumns);
    if (shown_.empty()) return;
    std::vector<std::string> names;
    for (const std::size_t module : shown_) names.push_back(map.modules[module]);
    names = short_names(names);
    cell_columns_ =
        std::min(room / shown_.size(), std::max(widest_word(names) + 1, kUsualCellColumns));
    headings_ = stacked_apart(names, cell_columns_ - 1, style);
  }

  std::string text() const {
    if (shown_.empty() || map_.layers.size() < 2) return {};
    const char* title = map_.is_relative ? "norm relative to the base, by layer and module"
                                         : "norm by layer and module";
    std::string text = wrapped(title, 2, style_) + heading_lines();
    for (std::size_t layer = 0; layer < map_.layers.size(); layer += layers_a_line_)
      text += line(label_of(layer), is_coloured_ ? coloured_cells(layer) : shaded_cells(layer));
    return text + legend();
  }

 private:
  double share_of(double value) const {
    if (!std::isfinite(value)) return 1;
    return scale_.largest > 0 ? std::clamp(value / scale_.largest, 0.0, 1.0) : 0;
  }

  double largest_of(std::size_t module) const {
    double largest = 0;
    for (std::size_t layer = 0; layer < map_.layers.size(); ++layer)
      largest = std::max(largest, map_.at(layer, module).value_or(0));
    return largest;
  }

  void choose_modules(std::size_t most) {
    shown_.resize(map_.modules.size());
    std::iota(shown_.begin(), shown_.end(), std::size_t{0});
    if (shown_.size() <= most) return;
    std::vector<double> sizes;
    for (const std::size_t module : shown_) sizes.push_back(largest_of(module));
    std::stable_sort(shown_.begin(), shown_.end(),
                     [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
    if (most < shown_.size()) largest_left_out_ = sizes[shown_[most]];
    shown_.resize(most);
    std::sort(shown_.begin(), shown_.end());
  }

  // `4`, and where a line has two layers `4-5`, or `4,7`.
  std::string label_of(std::size_t layer) const {
    const int first = map_.layers[layer];
    if (layers_a_line_ == 1 || layer + 1 == map_.layers.size()) return std::to_string(first);
    const int second = map_.layers[layer + 1];
    return std::to_string(first) + (second == first + 1 ? "-" : ",") + std::to_string(second);
  }

  std::string line(std::string label, const std::string& cells) const {
    label.resize(label_columns_ + kGap, ' ');
    const std::string text = label + cells;
    return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  }

  // The last lines of all headings stand next to the cells.
  std::string heading_lines() const {
    std::size_t height = 0;
    for (const auto& heading : headings_) height = std::max(height, heading.size());
    std::string text;
    for (std::size_t i = 0; i < height; ++i) {
      std::string cells;
      for (const auto& heading : headings_) {
        const std::size_t above = height - heading.size();
        const std::string word = i < above ? std::string() : heading[i - above];
        cells += word + std::string(cell_columns_ - columns_of(word), ' ');
      }
      text += line(i + 1 == height ? "layer" : "", cells);
    }
    return text;
  }

  // Where only the lower layer has a value, its half takes the characters' colour.
  std::string coloured_cells(std::size_t layer) const {
    std::string cells;
    for (const std::size_t module : shown_) {
      const auto& upper = map_.at(layer, module);
      const auto lower =
          layer + 1 < map_.layers.size() ? map_.at(layer + 1, module) : std::optional<double>();
      const auto& front = upper ? upper : lower;
      if (front) cells += foreground(scale_colour(share_of(*front)), style_.colours);
      if (upper && lower) cells += background(scale_colour(share_of(*lower)), style_.colours);
      for (std::size_t i = 0; i < cell_columns_; ++i) cells += upper ? "▀" : lower ? "▄" : " ";
      if (front) cells += kPlainAgain;
    }
    return cells;
  }

  std::vector<std::string> ramp() const {
    if (style_.unicode) return {" ", "░", "▒", "▓", "█"};
    return {" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"};
  }

  const char* absent() const { return style_.unicode ? "·" : "x"; }

  // Only zero is blank.
  std::string shade_of(double value) const {
    const std::vector<std::string> signs = ramp();
    const double share = share_of(value);
    if (share == 0) return signs[0];
    const std::size_t steps = signs.size() - 1;
    return signs[1 +
                 std::min(static_cast<std::size_t>(share * static_cast<double>(steps)), steps - 1)];
  }

  std::string shaded_cells(std::size_t layer) const {
    std::string cells;
    for (const std::size_t module : shown_) {
      const auto& value = map_.at(layer, module);
      const std::string sign = value ? shade_of(*value) : absent();
      for (std::size_t i = 0; i + 1 < cell_columns_; ++i) cells += sign;
      cells += ' ';
    }
    return cells;
  }

  bool shows(const std::optional<double>& value) const {
    for (std::size_t layer = 0; layer < map_.layers.size(); ++layer)
      for (const std::size_t module : shown_)
        if (map_.at(layer, module) == value) return true;
    return false;
  }
  bool lacks_some() const { return shows(std::nullopt); }
  bool has_zeros() const { return shows(0.0); }

  std::string value_text(double value) const {
    return map_.is_relative ? human_percent(value) : human_number(value);
  }

  std::string coloured_strip(std::size_t columns) const {
    std::string strip;
    for (std::size_t i = 0; i < columns; ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(columns - 1);
      strip += foreground(scale_colour(share), style_.colours) + "█";
    }
    return strip + kPlainAgain;
  }

  // Each sign stands for an equal part of the range; the blank for zero alone.
  std::string shaded_strip(std::size_t columns) const {
    const std::vector<std::string> signs = ramp();
    std::string strip;
    for (std::size_t sign = 1; sign < signs.size(); ++sign)
      for (std::size_t i = 0; i < columns / (signs.size() - 1); ++i) strip += signs[sign];
    return strip;
  }

  // `0 ░░░▒▒▒▓▓▓███ 2.7 %`, or without the strip where it has no room.
  std::string legend() const {
    const std::string end = value_text(scale_.largest);
    const std::size_t margin = label_columns_ + kGap, taken = margin + 3 + columns_of(end);
    const std::size_t columns = std::min(kLegendColumns, taken < width_ ? width_ - taken : 0);
    const std::string strip = columns < kMinLegendColumns ? std::string("to")
                              : is_coloured_              ? coloured_strip(columns)
                                                          : shaded_strip(columns);
    const std::string range = "0 " + strip + " " + end;
    const bool fits = margin + columns_of(range) <= width_;
    return (fits ? line("", range) : wrapped(range, 2, style_)) + wrapped(explanation(), 2, style_);
  }

  std::string explanation() const {
    std::string text = "linear, up to the largest value";
    if (scale_.maps > 1) text += " of all " + std::to_string(scale_.maps) + " vectors";
    if (is_coloured_)
      text += "; two layers a line, one above the other";
    else if (has_zeros())
      text += "; blank: zero";
    if (lacks_some())
      text += std::string("; ") + (is_coloured_ ? "blank" : absent()) + ": no tensor there";
    if (const std::size_t all = map_.modules.size(); shown_.size() < all)
      text += "; " + std::to_string(shown_.size()) + " of " + std::to_string(all) +
              " modules, those with the largest values: the others reach " +
              value_text(largest_left_out_);
    return text;
  }

  const HeatMap& map_;
  const HeatScale& scale_;
  const TextStyle& style_;
  std::size_t width_, layers_a_line_ = 1, label_columns_ = 0, cell_columns_ = 0;
  bool is_coloured_ = false;
  std::vector<std::size_t> shown_;
  double largest_left_out_ = 0;
  Headings headings_;
};

}  // namespace

std::vector<HeatMap> heat_maps_of(const Analysis& analysis) {
  std::vector<NormsByPlace> norms;
  std::map<std::string, std::size_t> modules;
  bool is_relative = true;
  for (std::size_t vector = 0; vector < analysis.vectors.size(); ++vector) {
    norms.push_back(norms_of(analysis, vector, modules));
    for (const auto& [place, sums] : norms.back()) is_relative = is_relative && sums.is_relative();
  }
  std::vector<HeatMap> maps;
  for (const NormsByPlace& by_place : norms) maps.push_back(map_of(by_place, modules, is_relative));
  return maps;
}

HeatScale common_scale(const std::vector<HeatMap>& maps) {
  HeatScale scale{0, maps.size()};
  for (const HeatMap& map : maps)
    for (const std::optional<double>& value : map.values)
      if (value && std::isfinite(*value)) scale.largest = std::max(scale.largest, *value);
  return scale;
}

std::string to_text(const HeatMap& map, const HeatScale& scale, const TextStyle& style) {
  return Drawing(map, scale, style).text();
}

}  // namespace suture::report
