#include "core/one_torch_thread.h"

#include <dlfcn.h>

namespace suture {
namespace {

// OpenMP, and MKL if it is there, as LibTorch has loaded them. Their settings are the calling
// thread's, where at::set_num_threads would change them for all threads to come.
struct OpenMp {
  int (*max_threads)() = nullptr;
  void (*set_threads)(int) = nullptr;
  int (*set_mkl_threads)(int) = nullptr;  // returns what was set before
};

const OpenMp& open_mp() {
  static const OpenMp loaded = [] {
    OpenMp found;
    found.max_threads = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
    found.set_threads =
        reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
    found.set_mkl_threads =
        reinterpret_cast<int (*)(int)>(::dlsym(RTLD_DEFAULT, "MKL_Set_Num_Threads_Local"));
    return found.max_threads != nullptr && found.set_threads != nullptr ? found : OpenMp{};
  }();
  return loaded;
}

}  // namespace

OneTorchThread::OneTorchThread(bool applies) {
  if (!applies || open_mp().set_threads == nullptr) return;
  before_ = open_mp().max_threads();
  if (before_ <= 1) return;
  open_mp().set_threads(1);
  if (open_mp().set_mkl_threads != nullptr) mkl_before_ = open_mp().set_mkl_threads(1);
}

OneTorchThread::~OneTorchThread() {
  if (before_ <= 1) return;
  open_mp().set_threads(before_);
  if (open_mp().set_mkl_threads != nullptr) open_mp().set_mkl_threads(mkl_before_);
}

}  // namespace suture
