#include "kernels/cuda_backend.h"

#include <dlfcn.h>
#include <filesystem>
#include <link.h>
#include <system_error>
#include <unistd.h>

#include "suture/version.h"

#ifndef SUTURE_LIBRARY_FOLDER
#define SUTURE_LIBRARY_FOLDER "../lib"
#endif

namespace suture::kernels {
namespace {

constexpr char kFileName[] = "libsuture_cuda.so";

constexpr cuda::Status kNotThere{"loading libsuture_cuda.so", "it is not there"};

constexpr cuda::Table kStub{
    kVersion,
    sizeof(cuda::Table),
    [](int) { return kNotThere; },
    [](int, void*, const cuda::Update*, std::size_t, const cuda::Term*, std::size_t) {
      return kNotThere;
    },
    [](int, void*, const cuda::Measurement*, std::size_t, const cuda::Term*, std::size_t,
       ValueStatistics*) { return kNotThere; },
    [](int, void*, const cuda::Measurement*, std::size_t, const cuda::Term*, std::size_t,
       PairStatistics*) { return kNotThere; },
};

bool is_absent(const std::string& path) {
  return path.find('/') != std::string::npos && ::access(path.c_str(), F_OK) != 0;
}

std::string loader_message() {
  const char* text = ::dlerror();
  return text != nullptr ? text : "it could not be loaded";
}

// The backend in one file, or why it is none.
CudaBackend load(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {nullptr, loader_message()};
  const auto function =
      reinterpret_cast<cuda::TableFunction>(::dlsym(library, cuda::kTableFunction));
  const cuda::Table* table = function != nullptr ? function() : nullptr;
  if (table != nullptr && table->table_size == sizeof(cuda::Table) &&
      std::string(table->version) == kVersion) {
    return {table, {}};
  }
  ::dlclose(library);
  return {nullptr, path + " belongs to another version of Suture than " + kVersion};
}

// The file that holds this code. A program calls itself what it was started as, which need not be a
// path.
std::string file_of_this_code() {
  Dl_info info;
  void* found = nullptr;
  if (::dladdr1(reinterpret_cast<const void*>(&cuda_backend_candidates), &info, &found,
                RTLD_DL_LINKMAP) == 0) {
    return {};
  }
  const auto* object = static_cast<const link_map*>(found);
  if (object != nullptr && object->l_name != nullptr && *object->l_name != '\0') {
    return object->l_name;
  }
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

std::string folder_of_this_code() {
  const std::string path = file_of_this_code();
  return path.substr(0, path.rfind('/') + 1);
}

}  // namespace

std::vector<std::string> cuda_backend_candidates() {
  std::vector<std::string> candidates;
  if (const std::string folder = folder_of_this_code(); !folder.empty()) {
    candidates.push_back(folder + kFileName);
    candidates.push_back(
        (std::filesystem::path(folder) / SUTURE_LIBRARY_FOLDER / kFileName).string());
  }
  candidates.emplace_back(kFileName);
  return candidates;
}

CudaBackend load_cuda_backend(const std::vector<std::string>& candidates) {
  // Of several failures the first that is more than absence tells most.
  CudaBackend stub{&kStub, {}};
  for (const std::string& path : candidates) {
    if (is_absent(path)) continue;
    CudaBackend backend = load(path);
    if (backend.table != nullptr) return backend;
    if (stub.missing.empty()) stub.missing = backend.missing;
  }
  if (stub.missing.empty()) stub.missing = std::string(kFileName) + " was not found";
  return stub;
}

const CudaBackend& cuda_backend() {
  static const CudaBackend backend = load_cuda_backend(cuda_backend_candidates());
  return backend;
}

std::string why_no_cuda_kernels(int device, const CudaBackend& backend) {
  if (!backend.missing.empty()) return backend.missing;
  const cuda::Status status = backend.table->probe(device);
  if (status.operation == nullptr) return {};
  return std::string(status.operation) + ": " + status.message;
}

}  // namespace suture::kernels
