#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "suture/analysis.h"

#include "report/text.h"

namespace suture::report {

/// What a vector does to each module of each layer.
struct HeatMap {
  std::vector<int> layers;                    ///< Rows, from the first layer up.
  std::vector<std::string> modules;           ///< Columns, in order of appearance.
  std::vector<std::optional<double>> values;  ///< By layer, then by module; none without a tensor.
  bool is_relative = false;                   ///< Norms over those of the base; else norms.

  const std::optional<double>& at(std::size_t layer, std::size_t module) const {
    return values[layer * modules.size() + module];
  }
};

/// The vectors' maps, in order: of the relative norm sqrt(sum norm^2) / sqrt(sum base_norm^2) over
/// a module's tensors in a layer, if all modules have one in all layers and vectors; else of the
/// norm. Tensors outside the layers are left out. A map of over a million cells is left empty.
std::vector<HeatMap> heat_maps_of(const Analysis& analysis);

/// What colours stand for: values from 0 to `largest`, linearly.
struct HeatScale {
  double largest = 0;
  std::size_t maps = 1;  ///< How many maps have this scale.
};

/// The scale of all maps. Infinite values do not count, and are drawn as the largest.
HeatScale common_scale(const std::vector<HeatMap>& maps);

/// The map with a title, headings and a legend. With 256 colours or more, and Unicode, a line shows
/// two layers in half blocks; else one layer in shades or, in ASCII, in ` .:-=+*#%@`. Modules for
/// which there is no room are left out, those with the smallest values first, and counted. No line
/// is wider than the terminal; empty where that has no room, or where there are fewer than two
/// layers.
std::string to_text(const HeatMap& map, const HeatScale& scale, const TextStyle& style);

}  // namespace suture::report
