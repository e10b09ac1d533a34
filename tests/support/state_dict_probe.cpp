// Reads a state dict and writes it elsewhere, for tests/parity:
//   state_dict_probe FROM TO [KEY=VALUE...]
// reads any checkpoint and saves it; pairs are the metadata, which without them is none.
//   state_dict_probe views TO
// saves tensors that share memory, and views of many kinds.
//   state_dict_probe module TO / state_dict_probe module FROM TO
// saves a torch::nn module's weights; or reads them into another one, strictly, and saves that.
//   state_dict_probe strict|loose SCRIPT FROM TO
// reads weights into a TorchScript module, prints the names that found nothing, and saves what it
// then holds.
#include <exception>
#include <iostream>
#include <string>

#include <torch/csrc/jit/serialization/import.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "suture/state_dict.h"

namespace {

suture::StateDict views() {
  suture::StateDict weights;
  const at::Tensor matrix = at::arange(24, at::kFloat).view({4, 6});
  weights.set("whole", matrix);
  weights.set("tied", matrix);
  weights.set("transposed", matrix.t());
  weights.set("row", matrix[2]);
  const at::Tensor cut = at::arange(100, at::kLong).view({10, 10});
  weights.set("first_row", cut[0]);
  weights.set("last_row", cut[9]);
  weights.set("columns", at::arange(12, at::kInt).view({3, 4}).narrow(1, 1, 2));
  weights.set("expanded", at::arange(3, at::kDouble).expand({5, 3}));
  weights.set("channels_last", at::arange(24, at::kFloat)
                                   .view({1, 2, 3, 4})
                                   .to(at::kHalf)
                                   .contiguous(at::MemoryFormat::ChannelsLast));
  weights.set("conjugate", at::view_as_complex(at::arange(6, at::kFloat).view({3, 2})).conj());
  weights.set("as_bytes", at::arange(4, at::kInt).view(at::kByte));
  weights.set("gradient", at::ones({2}).requires_grad_());
  return weights;
}

struct Net : torch::nn::Module {
  Net() {
    register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 2, 3)));
    register_module("norm", torch::nn::BatchNorm2d(2));
    register_module("head", torch::nn::Linear(2, 3));
    register_buffer("steps", at::arange(3, at::kLong));
  }
};

suture::StateDict module_weights(const std::string& from) {
  at::manual_seed(7);
  Net net;
  if (!from.empty()) suture::load_into(net, suture::load(from));
  return suture::state_dict_of(net);
}

suture::StateDict script_weights(const std::string& script, const std::string& from,
                                 suture::Strictness strictness) {
  torch::jit::Module module = torch::jit::load(script);
  const suture::KeyReport report = suture::load_into(module, suture::load(from), strictness);
  for (const std::string& name : report.missing) std::cout << "missing " << name << "\n";
  for (const std::string& name : report.unexpected) std::cout << "unexpected " << name << "\n";
  return suture::state_dict_of(module);
}

suture::SaveOptions metadata_of(int count, char** pairs) {
  suture::SaveOptions options;
  options.metadata.clear();
  for (int i = 0; i < count; ++i) {
    const std::string pair = pairs[i];
    const std::size_t at = pair.find('=');
    options.metadata[pair.substr(0, at)] = pair.substr(at + 1);
  }
  return options;
}

}  // namespace

int main(int count, char** arguments) try {
  const std::string first = arguments[1];
  if (first == "views") {
    suture::save(views(), arguments[2]);
  } else if (first == "module") {
    suture::save(module_weights(count > 3 ? arguments[2] : ""), arguments[count - 1]);
  } else if (first == "strict" || first == "loose") {
    const auto strictness =
        first == "strict" ? suture::Strictness::kStrict : suture::Strictness::kLoose;
    suture::save(script_weights(arguments[2], arguments[3], strictness), arguments[4]);
  } else {
    suture::save(suture::load(first), arguments[2], metadata_of(count - 3, arguments + 3));
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
