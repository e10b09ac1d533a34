#pragma once

#include <optional>
#include <string>
#include <vector>

#include "suture/ablation.h"

#include "report/text.h"

namespace suture::report {

/// Below this, after Holm's correction, an effect counts as told from zero.
constexpr double kSignificant = 0.05;

/// One metric of one arm. What an arm lacks is null.
struct EffectRow {
  const ArmResult* result = nullptr;
  const ArmMetric* metric = nullptr;
  const ArmEffect* effect = nullptr;

  bool is_significant() const {
    return effect != nullptr && effect->p_holm && *effect->p_holm < kSignificant;
  }
};

/// Arms that are tested together.
struct EffectFamily {
  std::string name;
  std::vector<EffectRow> rows;

  /// Printable: `vector`, or several with `or` between; empty where nothing has an effect.
  std::string reference() const;
};

/// A metric over all arms, in families in the order of their first arms. Pointers go into
/// `ablation`.
std::vector<EffectFamily> effects_of(const Ablation& ablation, const ArmMetric& wanted);

/// `exact_match,strict`; the name alone where there is no filter. Printable.
std::string label_of(const ArmMetric& metric);

/// How many decimals scores and effects of this metric deserve: two digits of a typical interval.
int decimals_of(const std::vector<EffectFamily>& families);

/// `0.412` and `-0.031`; with a sign unless it rounds to zero.
std::string score_text(double value, int decimals);
std::string effect_text(double value, int decimals);

/// The table: a heading, then the families with theirs. No line is wider than the terminal:
/// narrow ones get shorter names, then fewer columns. Where there are colours, bars of significant
/// effects are blue above zero and orange below, others grey, and those without a test plain.
std::string effect_table(const std::vector<EffectFamily>& families, const TextStyle& style);

}  // namespace suture::report
