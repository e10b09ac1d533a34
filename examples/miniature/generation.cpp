#include "generation.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace miniature {
namespace {

constexpr int kMostTokens = 16;

at::Tensor next_tokens(const at::Tensor& logits, at::Generator* generator) {
  if (generator == nullptr) return logits.argmax(-1);
  return logits.softmax(-1).multinomial(1, false, *generator).squeeze(1);
}

}  // namespace

std::vector<std::vector<std::int64_t>> complete(const Transformer& model, const at::Tensor& prompts,
                                                std::int64_t end_token, at::Generator* generator) {
  const at::NoGradGuard no_gradients;
  std::vector<std::vector<std::int64_t>> completions(static_cast<std::size_t>(prompts.size(0)));
  std::vector<bool> ended(completions.size(), false);
  std::size_t open = completions.size();
  Cache cache;
  at::Tensor tokens = prompts;
  for (int i = 0; i < kMostTokens && open > 0; ++i) {
    const at::Tensor last = model.hidden_states(tokens, &cache).select(1, -1);
    const at::Tensor next = next_tokens(model.logits(last), generator);
    const std::int64_t* ids = next.const_data_ptr<std::int64_t>();
    for (std::size_t row = 0; row < completions.size(); ++row) {
      if (ended[row]) continue;
      completions[row].push_back(ids[row]);
      ended[row] = ids[row] == end_token;
      if (ended[row]) --open;
    }
    tokens = next.unsqueeze(1);
  }
  return completions;
}

std::string answer_of(const std::string& completion) {
  const std::size_t mark = completion.rfind('#');
  return mark == std::string::npos ? "" : completion.substr(mark + 1);
}

}  // namespace miniature
