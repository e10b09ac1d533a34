#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "format/json.h"
#include "model/decoder_config.h"

namespace suture::model {

/// Reads the settings of a `config.json` and remembers which were read, so that a setting nobody
/// knows is refused instead of silently left out of the computation.
class ConfigReader {
 public:
  /// `file` names the source in errors. Throws FormatError when `root` is no object.
  ConfigReader(const format::Json& root, std::string file);

  /// A whole number from 1 on. Without a default the setting must be there; null counts as absent.
  /// Throws FormatError.
  std::int64_t count(const char* name, std::optional<std::int64_t> absent = std::nullopt);
  std::optional<std::int64_t> optional_count(const char* name);

  /// A whole number from 0 on.
  std::int64_t index(const char* name, std::int64_t absent);

  /// True when the setting is there, be it null.
  bool has(const char* name) const { return root_.contains(name); }

  /// A positive, finite number.
  double positive(const char* name, double absent);

  bool flag(const char* name, bool absent);

  /// A text; `absent` when there is none.
  std::string text(const char* name, const std::string& absent = {});

  /// `layer_types`, when there is one: for each of `layers` layers, whether it attends to a sliding
  /// window. Throws UsageError for kinds other than full and sliding attention.
  std::optional<std::vector<bool>> sliding_layers(std::int64_t layers);

  /// Rotary embedding from `rope_parameters`, or `rope_theta` with `rope_scaling` as transformers 4
  /// wrote them. Throws UsageError for a kind that is not implemented.
  RopeConfig rope(std::int64_t max_length);

  /// `sliding_window`: none when it is null; 4096, as in transformers, when nothing is said.
  std::optional<std::int64_t> window();

  /// Throws UsageError when `name` is there with another value than `only`, the one implemented.
  void require(const char* name, const format::Json& only);

  /// Throws UsageError naming a setting that has a value and was neither read nor is known to leave
  /// the computation alone.
  void refuse_unknown() const;

  [[noreturn]] void fail(const std::string& found, const std::string& expected) const;
  [[noreturn]] void not_implemented(const std::string& found, const std::string& expected) const;

 private:
  const format::Json* find(const char* name);  // null for absent and for null

  const format::Json& root_;
  std::string file_;
  std::set<std::string> read_;
};

}  // namespace suture::model
