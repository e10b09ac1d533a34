#include "report/ablation_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <utility>

#include "suture/error.h"

#include "report/interval_bar.h"

namespace suture::report {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kGap = 2;  // between columns
constexpr std::size_t kMinNameColumns = 16, kMinBarColumns = 16, kMaxBarColumns = 41;
constexpr int kMaxAxisDecimals = 6;  // from here on, scientific form is shorter

std::string formatted(const char* format, int decimals, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, decimals, value);
  return text;
}

// Large numbers would take the room of everything else.
bool is_plain(double value) { return std::isfinite(value) && std::abs(value) < 1e6; }

bool is_zero(const std::string& text) {
  return text.find_first_of("0123456789") != std::string::npos &&
         text.find_first_of("123456789") == std::string::npos;
}

std::string interval_text(const ArmEffect& effect, int decimals) {
  if (!effect.low || !effect.high) return {};
  return effect_text(*effect.low, decimals) + " to " + effect_text(*effect.high, decimals);
}

std::string p_text(const ArmEffect& effect) {
  if (!effect.p_holm) return {};
  return *effect.p_holm < 0.001 ? "<0.001" : score_text(*effect.p_holm, 3);
}

bool is_part(const EffectRow& row) {
  const ArmKind kind = row.result->arm.kind;
  return kind == ArmKind::kWithout || kind == ArmKind::kOnly || kind == ArmKind::kBottomUp ||
         kind == ArmKind::kTopDown || kind == ArmKind::kSelection;
}

bool moves_a_part(const EffectRow& row) {
  return is_part(row) && row.effect != nullptr && std::isfinite(row.effect->difference) &&
         row.effect->difference != 0;
}

// Parts are what bars compare: whole vectors may lie far beyond them and then end in an arrow.
IntervalAxis axis_of(const std::vector<EffectFamily>& families) {
  bool has_parts = false;
  for (const EffectFamily& family : families)
    has_parts = has_parts || std::any_of(family.rows.begin(), family.rows.end(), moves_a_part);
  IntervalAxis axis;
  const auto include = [&axis](double value) {
    if (!std::isfinite(value)) return;
    axis.low = std::min(axis.low, value);
    axis.high = std::max(axis.high, value);
  };
  for (const EffectFamily& family : families)
    for (const EffectRow& row : family.rows) {
      if (row.effect == nullptr || (has_parts && !is_part(row))) continue;
      include(row.effect->difference);
      include(row.effect->low.value_or(0));
      include(row.effect->high.value_or(0));
    }
  if (axis.low == axis.high) axis.low = -(axis.high = 1);
  return axis;
}

// Under the heading `without layer`, `without layer=3` is `layer=3`.
std::string row_name(const EffectRow& row, const EffectFamily& family) {
  const Arm& arm = row.result->arm;
  if (arm.part.empty() || !arm.name.ends_with(" " + arm.part)) return printable(arm.name);
  const std::string_view verb(arm.name.data(), arm.name.size() - arm.part.size());
  return printable(family.name.starts_with(verb) ? arm.part : arm.name);
}

std::string heading_of(const EffectFamily& family) {
  const std::string reference = family.reference();
  return printable(family.name) + (reference.empty() ? "" : ", against " + reference);
}

// A column of numbers.
struct Column {
  std::string heading;
  std::function<std::string(const EffectRow&)> cell;
};

Column effect_column(const char* heading, std::function<std::string(const EffectRow&)> cell) {
  return {heading, [cell = std::move(cell)](const EffectRow& row) {
            return row.effect != nullptr ? cell(row) : std::string();
          }};
}

// What the terminal has room for.
struct Layout {
  std::size_t name_columns = 0, bar_columns = 0;
  bool has_effects = false, has_intervals = false, has_p = false;
};

// What is not tested has no colour.
Ink ink_of(const EffectRow& row) {
  if (!row.effect->p_holm) return Ink::kPlain;
  if (!row.is_significant()) return Ink::kFaint;
  return row.effect->difference > 0 ? Ink::kUp : Ink::kDown;
}

// `-4.0e-9`: the sign, the digits and no more of the exponent than it needs.
std::string scientific_text(double value, int decimals) {
  std::string text = formatted("%+.*e", decimals, value);
  const std::size_t exponent = text.find('e') + 2;
  const std::size_t digits = std::min(text.find_first_not_of('0', exponent), text.size() - 1);
  text.erase(exponent, digits - exponent);
  if (text[exponent - 1] == '+') text.erase(exponent - 1, 1);
  return text;
}

std::string end_text(double value, int decimals) {
  if (decimals <= kMaxAxisDecimals) return effect_text(value, decimals);
  return value == 0 || !is_plain(value) ? effect_text(value, 0)
                                        : scientific_text(value, kMaxAxisDecimals + 2 - decimals);
}

// Decimals with which the farther end is told to a twentieth; none below a millionth.
int axis_decimals(const IntervalAxis& axis, int decimals) {
  const double farther = std::max(-axis.low, axis.high);
  for (; decimals <= kMaxAxisDecimals; ++decimals) {
    const double unit = std::pow(10.0, -decimals);
    if (!is_plain(farther) || std::abs(std::round(farther / unit) * unit - farther) <= farther / 20)
      break;
  }
  return decimals;
}

class EffectTable {
 public:
  EffectTable(const std::vector<EffectFamily>& families, const TextStyle& style)
      : families_(families), style_(style), decimals_(decimals_of(families)) {
    axis_ = axis_of(families);
    layout_ = fitted(widest_layout());
    axis_.columns = static_cast<int>(layout_.bar_columns);
  }

  std::string text() const {
    const std::vector<Column> columns = number_columns(layout_);
    Rows rows{{"arm"}};
    for (const Column& column : columns) rows[0].push_back(column.heading);
    rows[0].push_back(axis_heading());
    for (const EffectFamily& family : families_)
      for (const EffectRow& row : family.rows) {
        rows.push_back({name_cell(row, family)});
        for (const Column& column : columns) rows.back().push_back(column.cell(row));
        rows.back().push_back(bar_cell(row));
      }
    return with_headings(align(rows));
  }

 private:
  std::vector<Column> number_columns(const Layout& layout) const {
    const int decimals = decimals_;
    std::vector<Column> columns{{"score", [decimals](const EffectRow& row) {
                                   return row.metric != nullptr
                                              ? score_text(row.metric->value, decimals)
                                              : std::string("-");
                                 }}};
    if (layout.has_effects)
      columns.push_back(effect_column("effect ", [decimals](const EffectRow& row) {
        return effect_text(row.effect->difference, decimals) + (row.is_significant() ? "*" : " ");
      }));
    if (layout.has_intervals)
      columns.push_back(effect_column("95 % interval", [decimals](const EffectRow& row) {
        return interval_text(*row.effect, decimals);
      }));
    if (layout.has_p)
      columns.push_back(
          effect_column("p", [](const EffectRow& row) { return p_text(*row.effect); }));
    return columns;
  }

  std::string axis_heading() const {
    if (layout_.bar_columns == 0) return {};
    const int decimals = axis_decimals(axis_, decimals_);
    const auto labels = [&](int shown) {
      return axis_labels(axis_, end_text(axis_.low, shown), end_text(axis_.high, shown));
    };
    const std::string text = labels(decimals);
    const bool has_room = text.find_first_not_of(' ') != std::string::npos;
    // In scientific form the second digit can go.
    return has_room || decimals <= kMaxAxisDecimals ? text : labels(decimals + 1);
  }

  std::string name_cell(const EffectRow& row, const EffectFamily& family) const {
    const std::size_t indent = family.name.empty() ? 0 : 2;
    return std::string(indent, ' ') +
           shortened(row_name(row, family), layout_.name_columns - indent, style_);
  }

  std::string bar_cell(const EffectRow& row) const {
    if (layout_.bar_columns == 0 || row.effect == nullptr) return {};
    return interval_bar(axis_, row.effect->difference, row.effect->low, row.effect->high, style_,
                        ink_of(row));
  }

  Layout widest_layout() const {
    Layout layout;
    for (const EffectFamily& family : families_)
      for (const EffectRow& row : family.rows) {
        layout.name_columns = std::max(layout.name_columns, 2 + columns_of(row_name(row, family)));
        if (row.effect == nullptr) continue;
        layout.has_effects = true;
        layout.has_intervals = layout.has_intervals || (row.effect->low && row.effect->high);
        layout.has_p = layout.has_p || row.effect->p_holm;
      }
    layout.bar_columns = layout.has_effects ? kMinBarColumns : 0;
    return layout;
  }

  // Of all but the names, with the gaps before them.
  std::size_t width_beside_names(const Layout& layout) const {
    std::size_t width = layout.bar_columns > 0 ? layout.bar_columns + kGap : 0;
    for (const Column& column : number_columns(layout)) {
      std::size_t widest = columns_of(column.heading);
      for (const EffectFamily& family : families_)
        for (const EffectRow& row : family.rows)
          widest = std::max(widest, columns_of(column.cell(row)));
      width += widest + kGap;
    }
    return width;
  }

  Layout fitted(Layout layout) const {
    const auto width = static_cast<std::size_t>(std::max(style_.width, 1));
    const auto fits = [&] {
      return width_beside_names(layout) + std::min(layout.name_columns, kMinNameColumns) <= width;
    };
    if (!fits()) layout.has_intervals = false;  // the bar shows it
    if (!fits()) layout.bar_columns = 0;
    if (!fits()) layout.has_p = false;  // the mark shows it
    const std::size_t beside = width_beside_names(layout);
    std::size_t room = beside < width ? width - beside : 0;
    if (layout.bar_columns > 0) {
      // One long name may not take the bars' room from all others.
      const std::size_t names =
          std::min({layout.name_columns, std::max(kMinNameColumns, width / 4), room});
      layout.bar_columns = std::min(kMaxBarColumns, layout.bar_columns + room - names);
      room -= layout.bar_columns - kMinBarColumns;
    }
    layout.name_columns = std::max<std::size_t>(std::min(layout.name_columns, room), 3);
    return layout;
  }

  // Families begin with their headings, which may be wider than a name.
  std::string with_headings(const std::string& lines) const {
    std::size_t at = 0;
    const auto next_line = [&] {
      const std::size_t begin = at;
      at = lines.find('\n', at) + 1;
      const std::string line = lines.substr(begin, at - begin - 1);
      return shortened(line, static_cast<std::size_t>(std::max(style_.width, 1)), style_) + "\n";
    };
    std::string text = next_line();
    for (const EffectFamily& family : families_) {
      if (!family.name.empty()) text += "\n" + wrapped(heading_of(family), 2, style_);
      for (std::size_t i = 0; i < family.rows.size(); ++i) text += next_line();
    }
    return text;
  }

  const std::vector<EffectFamily>& families_;
  const TextStyle& style_;
  int decimals_;
  IntervalAxis axis_;
  Layout layout_;
};

EffectRow row_of(const ArmResult& result, const ArmMetric& wanted) {
  EffectRow row{&result, nullptr, nullptr};
  for (std::size_t i = 0; i < result.metrics.size(); ++i) {
    const ArmMetric& metric = result.metrics[i];
    if (metric.task != wanted.task || metric.name != wanted.name || metric.filter != wanted.filter)
      continue;
    row.metric = &metric;
    if (i < result.effects.size() && result.effects[i]) row.effect = &*result.effects[i];
    break;
  }
  return row;
}

// Digits before a number's second significant one.
int decimals_for(double size, int significant) {
  return significant - 1 - static_cast<int>(std::floor(std::log10(size)));
}

}  // namespace

std::string EffectFamily::reference() const {
  std::vector<std::string> names;
  for (const EffectRow& row : rows) {
    if (row.effect == nullptr) continue;
    const std::string& reference = row.result->arm.reference;
    const std::string shown = reference.empty() ? "target" : printable(reference);
    if (std::find(names.begin(), names.end(), shown) == names.end()) names.push_back(shown);
  }
  std::string text;
  for (const std::string& shown : names) text += (text.empty() ? "" : " or ") + shown;
  return text;
}

std::vector<EffectFamily> effects_of(const Ablation& ablation, const ArmMetric& wanted) {
  std::vector<EffectFamily> families;
  for (const ArmResult& result : ablation.arms) {
    auto family = std::find_if(
        families.begin(), families.end(),
        [&](const EffectFamily& candidate) { return candidate.name == result.arm.family; });
    if (family == families.end()) family = families.insert(families.end(), {result.arm.family, {}});
    family->rows.push_back(row_of(result, wanted));
  }
  return families;
}

std::string label_of(const ArmMetric& metric) {
  const bool has_filter = !metric.filter.empty() && metric.filter != "none";
  return printable(metric.name) + (has_filter ? "," + printable(metric.filter) : "");
}

int decimals_of(const std::vector<EffectFamily>& families) {
  std::vector<double> halves;
  double largest = 0;
  bool is_share = false;
  for (const EffectFamily& family : families)
    for (const EffectRow& row : family.rows) {
      if (row.metric != nullptr && std::isfinite(row.metric->value))
        largest = std::max(largest, std::abs(row.metric->value));
      is_share = is_share || (row.metric != nullptr && row.metric->is_share);
      if (row.effect == nullptr || !row.effect->low || !row.effect->high) continue;
      const double half = (*row.effect->high - *row.effect->low) / 2;
      if (half > 0 && std::isfinite(half)) halves.push_back(half);
    }
  std::sort(halves.begin(), halves.end());
  const int wanted = !halves.empty()            ? decimals_for(halves[halves.size() / 2], 2)
                     : largest > 0 && !is_share ? decimals_for(largest, 4)
                                                : 3;
  return is_share ? std::clamp(wanted, 3, 4) : std::clamp(wanted, 0, 6);
}

std::string score_text(double value, int decimals) {
  if (std::isnan(value)) return "nan";
  if (!is_plain(value)) return human_number(value);
  std::string text = formatted("%.*f", decimals, value);
  return is_zero(text) && text.front() == '-' ? text.substr(1) : text;
}

std::string effect_text(double value, int decimals) {
  const std::string text = score_text(value, decimals);
  return value > 0 && !is_zero(text) ? "+" + text : text;
}

std::string effect_table(const std::vector<EffectFamily>& families, const TextStyle& style) {
  return EffectTable(families, style).text();
}

}  // namespace suture::report
