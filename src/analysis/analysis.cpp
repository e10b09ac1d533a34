#include "suture/analysis.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "suture/error.h"
#include "suture/site.h"

#include "analysis/analyzed_base.h"
#include "names/mapped_source.h"
#include "surgery/measure.h"
#include "surgery/vector_metadata.h"

namespace suture {
namespace {

// Sums over the tensors of one part of the model.
struct Sums {
  std::string name;
  std::vector<kernels::ValueStatistics> values;
  std::vector<double> base_squares;
  std::vector<bool> lacks_base;  // of some tensor of the vector: a share would then be no share
  std::vector<kernels::PairStatistics> pairs;

  Sums(std::string part_name, const TensorMeasures& shape)
      : name(std::move(part_name)),
        values(shape.values.size()),
        base_squares(shape.values.size(), -1),
        lacks_base(shape.values.size(), false),
        pairs(shape.pairs.size()) {}

  void add(const TensorMeasures& tensor) {
    for (std::size_t v = 0; v < values.size(); ++v) {
      values[v].append(tensor.values[v]);
      if (tensor.base_squares[v] >= 0) {
        base_squares[v] = std::max(base_squares[v], 0.0) + tensor.base_squares[v];
      } else if (tensor.values[v].count > 0) {
        lacks_base[v] = true;
      }
    }
    for (std::size_t p = 0; p < pairs.size(); ++p) pairs[p].append(tensor.pairs[p]);
  }
};

VectorStatistics finish(const kernels::ValueStatistics& sums, double base_squares) {
  VectorStatistics result;
  result.elements = sums.count;
  result.changed = sums.non_zero;
  result.non_finite = sums.non_finite;
  result.norm = std::sqrt(sums.sum_of_squares);
  result.rms =
      sums.count > 0 ? std::sqrt(sums.sum_of_squares / static_cast<double>(sums.count)) : 0;
  result.max = sums.max_magnitude;
  result.histogram = {kernels::kFirstExponent, {sums.histogram.begin(), sums.histogram.end()}};
  if (base_squares >= 0) {
    result.base_norm = std::sqrt(base_squares);
    if (base_squares > 0) result.relative_norm = result.norm / *result.base_norm;
  }
  return result;
}

PairStatistics finish(const kernels::PairStatistics& sums, double squares_a, double squares_b) {
  PairStatistics result;
  result.both_changed = sums.both_non_zero;
  if (squares_a > 0 && squares_b > 0)
    result.cosine = sums.dot / (std::sqrt(squares_a) * std::sqrt(squares_b));
  if (sums.both_non_zero == 0) return result;
  const auto count = static_cast<double>(sums.both_non_zero);
  const double a_up = static_cast<double>(sums.first_positive) / count;
  const double b_up = static_cast<double>(sums.second_positive) / count;
  result.sign_agreement = static_cast<double>(sums.same_sign) / count;
  result.sign_agreement_by_chance = a_up * b_up + (1 - a_up) * (1 - b_up);
  return result;
}

AnalysisRow finish(const Sums& sums,
                   const std::vector<std::pair<std::size_t, std::size_t>>& pairs) {
  AnalysisRow row;
  row.name = sums.name;
  for (std::size_t v = 0; v < sums.values.size(); ++v)
    row.vectors.push_back(finish(sums.values[v], sums.lacks_base[v] ? -1 : sums.base_squares[v]));
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    row.pairs.push_back(finish(sums.pairs[p], sums.values[pairs[p].first].sum_of_squares,
                               sums.values[pairs[p].second].sum_of_squares));
  }
  return row;
}

using PartName = std::function<std::string(const TensorMeasures&)>;

// Groups tensors by the name of the part they belong to, parts in order of appearance.
std::vector<AnalysisRow> roll_up(const std::vector<TensorMeasures>& tensors,
                                 const PartName& part_of,
                                 const std::vector<std::pair<std::size_t, std::size_t>>& pairs) {
  std::vector<Sums> parts;
  std::map<std::string, std::size_t> positions;
  for (const TensorMeasures& tensor : tensors) {
    const std::string part = part_of(tensor);
    if (positions.emplace(part, parts.size()).second) parts.emplace_back(part, tensor);
  }
  for (const std::size_t i : in_name_order(tensors))
    parts[positions.at(part_of(tensors[i]))].add(tensors[i]);
  std::vector<AnalysisRow> rows;
  for (const Sums& part : parts) rows.push_back(finish(part, pairs));
  return rows;
}

std::string layer_of(const TensorMeasures& tensor) {
  const Site site = site_of(tensor.name);
  return site.layer ? std::to_string(*site.layer) : "outside";
}

bool layer_order(const AnalysisRow& a, const AnalysisRow& b) {
  const bool a_outside = a.name == "outside", b_outside = b.name == "outside";
  if (a_outside || b_outside) return !a_outside;
  return std::stoi(a.name) < std::stoi(b.name);
}

// What a tensor of a stored vector is called in its metadata.
std::string stored_name(const TensorSource& vector, const std::string& name) {
  const TensorInfo* info = vector.find(name);
  const std::string stored = info == nullptr ? "" : vector.stored_as(*info);
  return stored.empty() ? name : stored;
}

// Of tensors together, where the norms of all are known.
std::optional<double> squares_of(const std::vector<std::string>& names,
                                 const std::map<std::string, double>& norms) {
  double squares = 0;
  for (const std::string& name : names) {
    const auto at = norms.find(name);
    if (at == norms.end()) return std::nullopt;
    squares += at->second * at->second;
  }
  return squares;
}

// Base norms from a stored vector's metadata, where the pass measured none.
void add_stored_base_norms(const AnalyzedVector& analyzed, std::size_t position,
                           std::vector<TensorMeasures>& tensors) {
  const auto& terms = analyzed.vector.form().terms;
  if (analyzed.base || terms.size() != 1 || terms.front().subtrahend) return;
  const Checkpoint* checkpoint = terms.front().minuend->checkpoint();
  if (checkpoint == nullptr || !is_vector(*checkpoint)) return;
  const auto norms = require_vector(*checkpoint).base_norms;
  const NameMapping* mapping = mapping_of(*terms.front().minuend);
  std::map<std::string, std::vector<std::string>> parts;  // of joined tensors
  if (mapping != nullptr)
    for (const NameMapping::Tensor& tensor : mapping->tensors)
      for (const NameMapping::Part& part : tensor.parts) parts[tensor.name].push_back(part.name);
  for (TensorMeasures& tensor : tensors) {
    if (tensor.values[position].count == 0) continue;
    const auto joined = parts.find(tensor.name);
    const auto squares =
        joined != parts.end() && joined->second.size() > 1
            ? squares_of(joined->second, norms)
            : squares_of({stored_name(*terms.front().minuend, tensor.name)}, norms);
    if (squares) tensor.base_squares[position] = *squares;
  }
}

}  // namespace

double VectorStatistics::changed_share() const {
  return elements > 0 ? static_cast<double>(changed) / static_cast<double>(elements) : 0;
}

Analysis analyze(const std::vector<AnalyzedVector>& vectors, const RunOptions& options) {
  if (vectors.empty()) throw UsageError({{}, {}, "no vector to analyse", "at least one", {}});
  Analysis analysis;
  std::vector<MeasuredVector> measured;
  for (std::size_t j = 0; j < vectors.size(); ++j) {
    analysis.vectors.push_back(vectors[j].name);
    measured.push_back({vectors[j].vector, base_of(vectors[j])});
    for (std::size_t i = 0; i < j; ++i) analysis.pairs.emplace_back(i, j);
  }
  std::vector<TensorMeasures> tensors = measure(measured, options);
  for (std::size_t v = 0; v < vectors.size(); ++v) add_stored_base_norms(vectors[v], v, tensors);
  if (tensors.empty())
    throw UsageError({{}, {}, "the selection leaves no tensor of the vector", {}, {}});

  const auto by = [&](const PartName& part_of) {
    return roll_up(tensors, part_of, analysis.pairs);
  };
  analysis.tensors = by([](const TensorMeasures& tensor) { return tensor.name; });
  for (std::size_t i = 0; i < tensors.size(); ++i) analysis.tensors[i].shape = tensors[i].shape;
  analysis.modules = by([](const TensorMeasures& tensor) { return site_of(tensor.name).module; });
  analysis.blocks = by([](const TensorMeasures& tensor) {
    return std::string(name_of(site_of(tensor.name).block));
  });
  analysis.layers = by(layer_of);
  std::sort(analysis.layers.begin(), analysis.layers.end(), layer_order);
  analysis.total = by([](const TensorMeasures&) { return std::string("total"); }).front();
  return analysis;
}

}  // namespace suture
