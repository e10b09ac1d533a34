#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/interface.h"

namespace suture::kernels {

/// A stream of a CUDA device, on which work is queued: a cudaStream_t, held as what it is to those
/// who know no CUDA.
struct CudaStream {
  int device = 0;
  void* handle = nullptr;
};

/// libsuture_cuda.so, or a stub in its place.
struct CudaBackend {
  const cuda::Table* table = nullptr;  ///< Never null; a stub's functions fail.
  std::string missing;                 ///< Why there is a stub; empty when there is none.
};

/// Where `cuda_backend` looks, in order: beside the program or library that holds this code, in the
/// library folder beside that, and where the dynamic linker looks.
std::vector<std::string> cuda_backend_candidates();

/// Loads the first of `candidates` (paths, or a bare name for the dynamic linker to find) that is a
/// backend of this version. It stays loaded.
CudaBackend load_cuda_backend(const std::vector<std::string>& candidates);

/// The backend, loaded when this is first called. Safe to call from several threads.
const CudaBackend& cuda_backend();

/// Why the CUDA kernels cannot run on a device, in words; empty when they can.
std::string why_no_cuda_kernels(int device, const CudaBackend& backend = cuda_backend());

}  // namespace suture::kernels
