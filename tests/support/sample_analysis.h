#pragma once

#include <limits>
#include <string>

#include "suture/analysis.h"

namespace suture::test {

/// A tensor name that would take over a terminal, a CSV file or a page.
inline const std::string kHostileName =
    "=cmd|' /C calc'!A0,\"x\"\n\x1b]0;owned\x07<script>\xE2\x80\xAE.weight";

/// Two vectors on two layers and one tensor with a hostile name, with numbers that are easy to
/// find.
inline Analysis sample_analysis() {
  VectorStatistics plain;
  plain.elements = 1000;
  plain.changed = 250;
  plain.norm = 2;
  plain.rms = 0.5;
  plain.max = 0.125;
  plain.base_norm = 8;
  plain.relative_norm = 0.25;
  plain.histogram = {-3, {5, 0, 20}};
  VectorStatistics odd = plain;
  odd.norm = 1;
  odd.non_finite = 3;
  odd.base_norm = odd.relative_norm = std::nullopt;
  PairStatistics pair;
  pair.cosine = -0.75;
  pair.both_changed = 200;
  pair.sign_agreement = 0.625;
  pair.sign_agreement_by_chance = 0.5;
  Analysis analysis;
  analysis.vectors = {"first", "second"};
  analysis.pairs = {{0, 1}};
  const auto row = [&](const std::string& name) { return AnalysisRow{name, {plain, odd}, {pair}}; };
  analysis.tensors = {row(kHostileName), row("model.norm.weight")};
  analysis.modules = {row("up_proj")};
  analysis.blocks = {row("mlp")};
  analysis.layers = {row("0"), row("11"), row("outside")};
  analysis.total = row("total");
  return analysis;
}

}  // namespace suture::test
