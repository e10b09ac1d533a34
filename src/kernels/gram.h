#pragma once

#include <cstddef>

namespace suture::kernels {

/// Some rows of a matrix in float32. Strides are in elements.
struct MatrixRows {
  const float* first = nullptr;
  std::size_t rows = 0, columns = 0;
  std::size_t row_stride = 0, column_stride = 1;
};

/// Rows and columns that `add_gram` wants its sum to have: the columns of A, rounded up.
std::size_t gram_side(std::size_t columns);

/// sum[i][j] += Σ_r A[r][i] · A[r][j] for i >= j; above the diagonal it leaves anything. `sum` has
/// `gram_side` rows and columns. For spectra, not for weights: products are fused with sums where
/// the processor can, in float32 over up to a few hundred rows and then in float64, so that bits
/// depend on the processor (not on threads). Half the work of a general product. Throws
/// std::bad_alloc.
void add_gram(const MatrixRows& a, double* sum);

/// The whole of such a sum, both halves of it, rounded to `columns` rows and columns of `out`.
void symmetric_of_gram(const double* sum, std::size_t columns, float* out);

/// image = A x and product = A'(A x), in one pass over A: cheaper than A'A where a few products
/// with it are all that is wanted. `x` and `product` have A's columns as rows and `width` columns,
/// a multiple of 16; `image` has A's rows; all are dense. Without a `product` (null) only the
/// image. Products are fused with sums where the processor can, in float32: up to 512 at a time of
/// an image and 256 of a product, then over such sums. Throws std::bad_alloc.
void multiply_by_gram(const MatrixRows& a, const float* x, std::size_t width, float* image,
                      float* product);

}  // namespace suture::kernels
