#pragma once

#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "core/cuda_device.h"
#include "core/scalar_type.h"
#include "kernels/cuda_backend.h"
#include "support/float_reference.h"

namespace suture::test {

/// Where the CUDA kernels run in a test: played on the host, everywhere, or on a GPU, where there
/// is one.
enum class Machine { kPlayed, kGpu };

inline std::string name_of(Machine machine) {
  return machine == Machine::kPlayed ? "Played" : "Gpu";
}

/// Why nothing can run on a GPU here; empty when it can.
inline std::string why_no_gpu() {
  try {
    require_device(at::Device(at::kCUDA, 0));
  } catch (const UsageError& error) {
    return error.what();
  }
  return kernels::why_no_cuda_kernels(0);
}

/// Runs a test on both machines; on a GPU it is skipped where there is none.
class OnMachine : public testing::TestWithParam<Machine> {
 protected:
  void SetUp() override {
    if (GetParam() == Machine::kPlayed) {
      backend_ = kernels::load_cuda_backend({PLAYED_CUDA});
      ASSERT_EQ(backend_.missing, "");
      return;
    }
    if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
    backend_ = kernels::cuda_backend();
    device_ = at::Device(at::kCUDA, 0);
    stream_ = kernel_stream(current_stream(device_));
  }

  const kernels::CudaBackend& backend() const { return backend_; }
  const kernels::CudaStream& stream() const { return stream_; }

  /// Bytes in the machine's memory, `offset` bytes behind a multiple of 16.
  class Memory {
   public:
    Memory(const std::string& bytes, std::size_t offset, at::Device device)
        : size_(bytes.size()), offset_(offset) {
      at::Tensor host = at::empty({static_cast<std::int64_t>(offset + size_ + 64)}, at::kByte);
      host.fill_(0x55);
      if (size_ > 0) std::memcpy(static_cast<char*>(host.data_ptr()) + offset, bytes.data(), size_);
      memory_ = host.to(device);
    }
    void* data() const { return static_cast<char*>(memory_.data_ptr()) + offset_; }
    std::string bytes() const {
      const at::Tensor host = memory_.cpu();
      return {static_cast<const char*>(host.const_data_ptr()) + offset_, size_};
    }
    /// True when nothing around the bytes has been written.
    bool is_intact_around() const {
      const at::Tensor host = memory_.cpu();
      const auto* all = static_cast<const unsigned char*>(host.const_data_ptr());
      const auto total = static_cast<std::size_t>(host.numel());
      for (std::size_t i = 0; i < total; ++i) {
        if ((i < offset_ || i >= offset_ + size_) && all[i] != 0x55) return false;
      }
      return true;
    }

   private:
    at::Tensor memory_;
    std::size_t size_, offset_;
  };

  Memory place(const std::string& bytes, std::size_t offset = 0) const {
    return {bytes, offset, device_};
  }

 private:
  at::Device device_ = at::kCPU;
  kernels::CudaBackend backend_;
  kernels::CudaStream stream_;
};

/// Weights as models have them, with zeros, infinities, NaNs and subnormals strewn in.
inline std::string strewn_bytes(Dtype dtype, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<std::uint64_t> patterns;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t kind = random() % 16, any = random();
    patterns.push_back(kind == 0   ? any & (~std::uint64_t{0} >> (64 - bits_of(dtype)))
                       : kind == 1 ? encode(dtype, 0)
                       : kind == 2 ? encode(dtype, -0.0)
                       : kind == 3 ? any % 8  // subnormal
                                   : encode(dtype, normal(random) * 0.05));
  }
  return stored_bytes(dtype, patterns);
}

}  // namespace suture::test

/// Instantiates a suite of `OnMachine` for both machines.
#define SUTURE_ON_EVERY_MACHINE(suite)                                                       \
  INSTANTIATE_TEST_SUITE_P(                                                                  \
      , suite, testing::Values(suture::test::Machine::kPlayed, suture::test::Machine::kGpu), \
      [](const testing::TestParamInfo<suture::test::Machine>& machine) {                     \
        return suture::test::name_of(machine.param);                                         \
      })
