#pragma once

#include <cstddef>

#include "suture/dtype.h"

namespace suture::kernels {

/// Converts `count` stored elements to float or double: exact, NaN payloads aside. `source` needs
/// no alignment beyond its element's. Computable dtypes only; f64 is not widened to float.
void widen(Dtype dtype, const void* source, float* out, std::size_t count);
void widen(Dtype dtype, const void* source, double* out, std::size_t count);

/// Converts to a stored dtype, rounding once to nearest even: a double goes to bf16 or f16
/// directly, not through float. NaN stays NaN; overflow gives infinity.
void narrow(Dtype dtype, const float* values, void* out, std::size_t count);
void narrow(Dtype dtype, const double* values, void* out, std::size_t count);

}  // namespace suture::kernels
