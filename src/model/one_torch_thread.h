#pragma once

namespace suture::model {

/// While it lives, LibTorch's operations run on the calling thread alone. For a few tokens they are
/// too small to be shared out, but LibTorch's threads would stay awake between them and take the
/// cores from the products of weights. Other threads are not touched. Does nothing when `applies`
/// is false, or where LibTorch does without OpenMP.
class OneTorchThread {
 public:
  explicit OneTorchThread(bool applies);
  ~OneTorchThread();
  OneTorchThread(const OneTorchThread&) = delete;
  OneTorchThread& operator=(const OneTorchThread&) = delete;

 private:
  int before_ = 1;
};

}  // namespace suture::model
