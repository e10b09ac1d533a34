#include "suture/version.h"

#include "kernels/cuda/interface.h"
#include "kernels/cuda/launch.cuh"

namespace suture::kernels::cuda {
namespace {

Status probe(int device) {
  int devices = 0;
  Status status = status_of(cudaGetDeviceCount(&devices), "cudaGetDeviceCount");
  if (failed(status)) return status;
  const DeviceScope scope(device);
  if (failed(scope.status())) return scope.status();
  status = probe_update_kernel();
  // A refusal is remembered as the thread's last error, where the next launch would find it.
  if (failed(status)) cudaGetLastError();
  return status;
}

constexpr Table kTable{kVersion, sizeof(Table), probe, add_in_place, measure_values, measure_pairs};

}  // namespace

extern "C" __attribute__((visibility("default"))) const Table* suture_cuda_table() {
  return &kTable;
}

}  // namespace suture::kernels::cuda
