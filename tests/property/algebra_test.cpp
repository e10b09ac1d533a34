#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/site.h"
#include "suture/task_vector.h"

#include "support/tensor_bytes.h"
#include "support/tiny_model.h"

namespace suture {
namespace {

constexpr int kRounds = 60;

// A vector, and the same as a list of terms that torch evaluates: scale on a tensor, and the two
// models of the difference.
struct Term {
  double coefficient;
  std::size_t minuend, subtrahend;
  std::vector<Selection> masks;
  std::vector<std::vector<double>> layer_scales;

  double scale_on(const std::string& name) const {
    double scale = coefficient;
    for (const Selection& mask : masks)
      if (!mask.matches(name)) return 0;
    for (const auto& scales : layer_scales) {
      const auto layer = site_of(name).layer;
      scale *= layer ? scales[static_cast<std::size_t>(*layer)] : scales.back();
    }
    return scale;
  }
};
struct Pair {
  TaskVector vector;
  std::vector<Term> terms;
};

class RandomAlgebra {
 public:
  explicit RandomAlgebra(std::uint64_t seed) : random_(seed) {
    for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kFloat}) {
      test::TinyModel model;
      model.layers = 2;
      model.dtype = dtype;
      models_.push_back(test::make_weights(model, random_()));
    }
  }

  const StateDict& model() { return models_[pick(models_.size())]; }
  const StateDict& model(std::size_t i) const { return models_[i]; }

  // A leaf, or an operation on smaller vectors.
  Pair make(int depth) {
    if (depth == 0) return difference();
    switch (pick(7)) {
      case 0:
        return sum(make(depth - 1), make(depth - 1), 1);
      case 1:
        return sum(make(depth - 1), make(depth - 1), -1);
      case 2:
        return scaled(make(depth - 1), coefficient());
      case 3:
        return scaled(make(depth - 1), -1);
      case 4:
        return masked(make(depth - 1), false);
      case 5:
        return masked(make(depth - 1), true);
      default:
        return scaled_by_layer(make(depth - 1));
    }
  }

  double coefficient() {
    constexpr double kCoefficients[] = {0, 1, -1, 0.5, 0.3, 1.0 / 3, -2.75, 1e-3, 1e3};
    return kCoefficients[pick(std::size(kCoefficients))];
  }

 private:
  std::size_t pick(std::size_t count) { return random_() % count; }

  Pair difference() {
    const std::size_t a = pick(models_.size()), b = pick(models_.size());
    return {TaskVector::difference(models_[a], models_[b]), {{1, a, b, {}, {}}}};
  }

  static Pair scaled(Pair pair, double scale) {
    pair.vector = scale == -1 ? -pair.vector : scale * pair.vector;
    for (Term& term : pair.terms) term.coefficient *= scale;
    return pair;
  }

  static Pair sum(const Pair& a, Pair b, double sign) {
    const TaskVector vector = sign > 0 ? a.vector + b.vector : a.vector - b.vector;
    for (Term& term : b.terms) term.coefficient *= sign;
    std::vector<Term> terms = a.terms;
    terms.insert(terms.end(), b.terms.begin(), b.terms.end());
    return {vector, terms};
  }

  Pair masked(Pair pair, bool inverted) {
    constexpr const char* kMasks[] = {"layer=0", "block=mlp", "module=q_proj | layer=1",
                                      "!block=norm & name=*.weight"};
    const Selection mask = Selection::parse(kMasks[pick(std::size(kMasks))]);
    pair.vector = inverted ? pair.vector.except(mask) : pair.vector.only(mask);
    for (Term& term : pair.terms) term.masks.push_back(inverted ? !mask : mask);
    return pair;
  }

  Pair scaled_by_layer(Pair pair) {
    const std::vector<double> scales{coefficient(), coefficient(), coefficient()};
    pair.vector = pair.vector.scaled_by_layer({scales[0], scales[1]}, scales[2]);
    for (Term& term : pair.terms) term.layer_scales.push_back(scales);
    return pair;
  }

  std::mt19937_64 random_;
  std::vector<StateDict> models_;
};

// The terms on one tensor in the order written, each as float32: the contract in torch's words.
std::vector<at::Tensor> by_torch(const RandomAlgebra& algebra, const Pair& pair,
                                 const std::string& name) {
  std::vector<at::Tensor> values;
  for (const Term& term : pair.terms) {
    const double scale = term.scale_on(name);
    if (scale == 0) continue;
    const at::Tensor difference = algebra.model(term.minuend).at(name).to(at::kFloat) -
                                  algebra.model(term.subtrahend).at(name).to(at::kFloat);
    values.push_back(difference * static_cast<float>(scale));
  }
  return values;
}

TEST(Algebra, MaterialisesAsTorchEvaluatesTheFormula) {
  for (int round = 0; round < kRounds; ++round) {
    RandomAlgebra algebra(static_cast<std::uint64_t>(round));
    const Pair pair = algebra.make(round % 5);
    SCOPED_TRACE(std::to_string(round) + ": " + pair.vector.formula());
    StateDict expected;
    for (const auto& [name, unused] : algebra.model()) {
      const auto values = by_torch(algebra, pair, name);
      if (values.empty()) continue;
      at::Tensor sum = values.front();
      for (std::size_t i = 1; i < values.size(); ++i) sum = sum + values[i];
      expected.set(name, sum);
    }
    EXPECT_TRUE(test::same_bits(pair.vector.materialize(), expected));
  }
}

TEST(Algebra, AppliesAsTorchEvaluatesTheSum) {
  for (int round = 0; round < kRounds; ++round) {
    RandomAlgebra algebra(static_cast<std::uint64_t>(round) + 1000);
    const Pair pair = algebra.make(round % 5);
    SCOPED_TRACE(std::to_string(round) + ": " + pair.vector.formula());
    const StateDict start = algebra.model();
    StateDict weights = start.clone(), expected;
    pair.vector.apply_to(weights);
    for (const auto& [name, tensor] : start) {
      at::Tensor sum = tensor.to(at::kFloat);
      for (const at::Tensor& value : by_torch(algebra, pair, name)) sum = sum + value;
      expected.set(name, sum.to(tensor.scalar_type()));
    }
    for (const auto& [name, tensor] : expected)
      EXPECT_TRUE(at::equal(weights.at(name), tensor)) << name;
  }
}

TEST(Algebra, NormsAndDotsFollowTheMaterialisedValues) {
  for (int round = 0; round < kRounds; ++round) {
    RandomAlgebra algebra(static_cast<std::uint64_t>(round) + 2000);
    const Pair a = algebra.make(round % 4), b = algebra.make(2);
    double squares = 0, dot = 0, squares_b = 0;
    const StateDict x = a.vector.materialize(), y = b.vector.materialize();
    for (const auto& [name, tensor] : x) {
      squares += tensor.to(at::kDouble).square().sum().item<double>();
      if (const at::Tensor* other = y.find(name))
        dot += (tensor.to(at::kDouble) * other->to(at::kDouble)).sum().item<double>();
    }
    for (const auto& [name, tensor] : y)
      squares_b += tensor.to(at::kDouble).square().sum().item<double>();
    SCOPED_TRACE(a.vector.formula() + " and " + b.vector.formula());
    EXPECT_NEAR(a.vector.norm(), std::sqrt(squares), 1e-12 * std::sqrt(squares));
    EXPECT_NEAR(a.vector.dot(b.vector), dot, 1e-12 * std::sqrt(squares * squares_b));
  }
}

}  // namespace
}  // namespace suture
