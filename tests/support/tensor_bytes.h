#pragma once

#include <cstring>
#include <string>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/state_dict.h"

namespace suture::test {

/// True when two tensors have one dtype, one shape, and the same bits.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().contiguous(), y = b.detach().contiguous();
  return x.scalar_type() == y.scalar_type() && x.sizes() == y.sizes() &&
         (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0);
}

/// Succeeds when two state dicts hold the same names with the same bits, in whatever order.
inline testing::AssertionResult same_bits(const StateDict& found, const StateDict& expected) {
  for (const auto& [name, tensor] : expected) {
    if (!found.contains(name)) return testing::AssertionFailure() << name << " is missing";
    if (!same_bits(found.at(name), tensor))
      return testing::AssertionFailure() << name << " differs: " << found.at(name).scalar_type()
                                         << " against " << tensor.scalar_type();
  }
  if (found.size() != expected.size())
    return testing::AssertionFailure() << found.size() << " tensors, not " << expected.size();
  return testing::AssertionSuccess();
}

}  // namespace suture::test
