#include "model/one_torch_thread.h"

#include <dlfcn.h>

namespace suture::model {
namespace {

// OpenMP as LibTorch has loaded it. Its setting is the calling thread's, where at::set_num_threads
// would change it for all threads to come.
struct OpenMp {
  int (*max_threads)() = nullptr;
  void (*set_threads)(int) = nullptr;
};

const OpenMp& open_mp() {
  static const OpenMp loaded = [] {
    OpenMp found;
    found.max_threads = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
    found.set_threads =
        reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
    return found.max_threads != nullptr && found.set_threads != nullptr ? found : OpenMp{};
  }();
  return loaded;
}

}  // namespace

OneTorchThread::OneTorchThread(bool applies) {
  if (!applies || open_mp().set_threads == nullptr) return;
  before_ = open_mp().max_threads();
  if (before_ > 1) open_mp().set_threads(1);
}

OneTorchThread::~OneTorchThread() {
  if (before_ > 1) open_mp().set_threads(before_);
}

}  // namespace suture::model
