#pragma once

#include <ATen/Parallel.h>

namespace suture::model {

/// While it lives, LibTorch's operations run on the calling thread. For a few tokens they are too
/// small to be shared out, but LibTorch's threads would stay awake between them and take the cores
/// from the products of weights. Does nothing when `applies` is false.
class OneTorchThread {
 public:
  explicit OneTorchThread(bool applies) : before_(applies ? at::get_num_threads() : 1) {
    if (before_ > 1) at::set_num_threads(1);
  }
  ~OneTorchThread() {
    if (before_ > 1) at::set_num_threads(before_);
  }
  OneTorchThread(const OneTorchThread&) = delete;
  OneTorchThread& operator=(const OneTorchThread&) = delete;

 private:
  int before_;
};

}  // namespace suture::model
