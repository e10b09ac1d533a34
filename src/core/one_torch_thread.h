#pragma once

namespace suture {

/// While it lives, LibTorch's operations run on the calling thread alone: for operations that are
/// too small to be shared out, since LibTorch's threads would stay awake between them and take the
/// cores from other work. Other threads are not touched. Does nothing when `applies` is false, or
/// where LibTorch does without OpenMP.
class OneTorchThread {
 public:
  explicit OneTorchThread(bool applies);
  ~OneTorchThread();
  OneTorchThread(const OneTorchThread&) = delete;
  OneTorchThread& operator=(const OneTorchThread&) = delete;

 private:
  int before_ = 1, mkl_before_ = 0;
};

}  // namespace suture
