#include "analysis/gram_matrix.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "analysis/sketch.h"
#include "support/noise.h"

namespace suture {
namespace {

using test::noise;

// Rounding in float32 of sums of this many products of numbers of the order of 1.
bool is_near(const at::Tensor& found, const at::Tensor& wanted, std::int64_t terms) {
  return (found.to(at::kDouble) - wanted).abs().max().item<double>() <
         1e-6 * static_cast<double>(terms);
}

TEST(GramMatrix, EqualsTheProductInDouble) {
  for (const std::int64_t rows : {70, 9000}) {
    const at::Tensor a = noise(rows, 90, 1), in_double = a.to(at::kDouble);
    const at::Tensor wanted = in_double.t().mm(in_double);
    EXPECT_TRUE(is_near(gram_matrix(a, nullptr), wanted, rows));
    EXPECT_TRUE(is_near(gram_matrix(a.t().contiguous().t(), nullptr), wanted, rows));
    EXPECT_TRUE(at::allclose(gram_matrix(in_double, nullptr), wanted, 1e-12, 1e-9));
  }
}

TEST(GramMatrix, IsTheSameOnAnyNumberOfThreads) {
  const at::Tensor a = noise(20000, 50, 2);
  RunOptions one, three;
  one.threads = 1;
  three.threads = 3;
  EXPECT_TRUE(gram_matrix(a, &one).equal(gram_matrix(a, &three)));
}

TEST(GramProduct, EqualsProductsInDouble) {
  for (const bool transposed : {false, true}) {
    const at::Tensor a = transposed ? noise(200, 700, 1).t() : noise(700, 200, 1);
    const at::Tensor x = noise(200, 32, 2), in_double = a.to(at::kDouble);
    const GramProduct found = gram_product(a, x, true);
    EXPECT_TRUE(is_near(found.image, in_double.mm(x.to(at::kDouble)), 200));
    EXPECT_TRUE(is_near(found.product, in_double.t().mm(found.image.to(at::kDouble)), 7000));
    EXPECT_FALSE(gram_product(a, x, false).product.defined());
    const GramProduct exact = gram_product(in_double, x.to(at::kDouble), true);
    EXPECT_TRUE(exact.image.allclose(in_double.mm(x.to(at::kDouble))));
    EXPECT_TRUE(exact.product.allclose(in_double.t().mm(exact.image)));
  }
}

TEST(Orthonormal, ColumnsSpanTheBlockBesideTheBasis) {
  const at::Tensor basis = orthonormal_beside({}, noise(300, 20, 1));
  const at::Tensor inside = basis.mm(noise(20, 10, 2)) * 100, block = noise(300, 10, 3);
  const at::Tensor found = orthonormal_beside(basis, block + inside);
  EXPECT_TRUE(at::allclose(found.t().mm(found), at::eye(10), 1e-5, 1e-6));
  EXPECT_LT(basis.t().mm(found).abs().max().item<double>(), 1e-6);
  const at::Tensor rest = block - basis.mm(basis.t().mm(block));
  EXPECT_LT((rest - found.mm(found.t().mm(rest))).abs().max().item<double>(), 1e-3);
}

}  // namespace
}  // namespace suture
