#pragma once

// What every launch needs: the right device, tables in device memory, and CUDA's errors as values.

#include <cstring>
#include <cuda_runtime_api.h>
#include <vector>

#include "kernels/cuda/interface.h"
#include "kernels/cuda/tiles.h"

namespace suture::kernels::cuda {

inline Status status_of(cudaError_t error, const char* operation) {
  return error == cudaSuccess ? Status{} : Status{operation, cudaGetErrorString(error)};
}

inline bool failed(const Status& status) { return status.operation != nullptr; }

/// Makes `device` current while it lives. It is set even where it seems to be: another copy of the
/// runtime in this process may have changed the context behind this one's back.
class DeviceScope {
 public:
  explicit DeviceScope(int device) : device_(device) {
    status_ = status_of(cudaGetDevice(&previous_), "cudaGetDevice");
    if (!failed(status_)) status_ = status_of(cudaSetDevice(device), "cudaSetDevice");
  }
  ~DeviceScope() {
    if (!failed(status_) && previous_ != device_) cudaSetDevice(previous_);
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  const Status& status() const { return status_; }

 private:
  int device_;
  int previous_ = 0;
  Status status_;
};

/// Device memory that is taken and given back in the stream's order.
class DeviceBuffer {
 public:
  DeviceBuffer(std::size_t bytes, cudaStream_t stream) : stream_(stream) {
    if (bytes > 0) status_ = status_of(cudaMallocAsync(&data_, bytes, stream), "cudaMallocAsync");
  }
  ~DeviceBuffer() {
    if (data_ != nullptr) cudaFreeAsync(data_, stream_);
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  void* data() const { return data_; }
  const Status& status() const { return status_; }

 private:
  void* data_ = nullptr;
  cudaStream_t stream_;
  Status status_;
};

/// A call's tables packed one behind the other, so that one copy takes them to the device.
class PackedTables {
 public:
  /// Returns the table's offset, a multiple of 16.
  template <typename T>
  std::size_t add(const T* table, std::size_t count) {
    const std::size_t offset = (bytes_.size() + 15) / 16 * 16;
    bytes_.resize(offset + count * sizeof(T));
    if (count > 0) std::memcpy(bytes_.data() + offset, table, count * sizeof(T));
    return offset;
  }
  template <typename T>
  std::size_t add(const std::vector<T>& table) {
    return add(table.data(), table.size());
  }

  std::size_t bytes() const { return bytes_.size(); }

  /// Pageable memory has been read when this returns.
  Status send(const DeviceBuffer& to, cudaStream_t stream) const {
    return status_of(
        cudaMemcpyAsync(to.data(), bytes_.data(), bytes_.size(), cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync of the tables");
  }

 private:
  std::vector<char> bytes_;
};

template <typename T>
T* table_at(const DeviceBuffer& buffer, std::size_t offset) {
  return reinterpret_cast<T*>(static_cast<char*>(buffer.data()) + offset);
}

/// Calls `launch(first_block, blocks)` until `blocks` have been launched, as many at once as a grid
/// holds, and checks each launch.
template <typename Launch>
Status launch_blocks(std::uint64_t blocks, const char* kernel, Launch&& launch) {
  constexpr std::uint64_t kMaxGrid = 0x7FFFFFFF;
  for (std::uint64_t first = 0; first < blocks; first += kMaxGrid) {
    const std::uint64_t left = blocks - first;
    launch(first, static_cast<unsigned>(left < kMaxGrid ? left : kMaxGrid));
    const Status status = status_of(cudaGetLastError(), kernel);
    if (failed(status)) return status;
  }
  return {};
}

// The functions of the table, each in the file of its kernels.
Status probe_update_kernel();
Status add_in_place(int device, void* stream, const Update* updates, std::size_t update_count,
                    const Term* terms, std::size_t term_count);
Status measure_values(int device, void* stream, const Measurement* measurements,
                      std::size_t measurement_count, const Term* terms, std::size_t term_count,
                      ValueStatistics* results);
Status measure_pairs(int device, void* stream, const Measurement* measurements,
                     std::size_t measurement_count, const Term* terms, std::size_t term_count,
                     PairStatistics* results);

}  // namespace suture::kernels::cuda
