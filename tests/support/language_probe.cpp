// Runs a model on token ids for the tests that compare it with transformers.
//
//   language_probe MODEL DTYPE logits|generate|generate-uncached|score IN.safetensors
//   OUT.safetensors
//
// IN holds rows of int64 `tokens` [rows, length]; `lengths` [rows], where rows are shorter;
// `count` [1], tokens to be generated; `contexts` [rows], tokens of each row that are context. OUT
// holds `logits`, `tokens`, or `scores`.

#include <iostream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "suture/error.h"
#include "suture/language_model.h"
#include "suture/state_dict.h"

namespace {

using suture::TokenIds;

std::int64_t at_row(const suture::StateDict& in, const char* name, std::int64_t row,
                    std::int64_t absent) {
  const at::Tensor* tensor = in.find(name);
  return tensor == nullptr ? absent : (*tensor)[row].item<std::int64_t>();
}

std::vector<TokenIds> rows_of(const suture::StateDict& in) {
  const at::Tensor tokens = in.at("tokens").contiguous();
  std::vector<TokenIds> rows;
  for (std::int64_t row = 0; row < tokens.size(0); ++row) {
    const auto* data = tokens[row].data_ptr<std::int64_t>();
    rows.emplace_back(data, data + at_row(in, "lengths", row, tokens.size(1)));
  }
  return rows;
}

at::Tensor generate(suture::LanguageModel& model, const std::vector<TokenIds>& prompts,
                    std::int64_t count) {
  std::vector<suture::GenerationRequest> requests;
  for (const TokenIds& prompt : prompts) {
    requests.emplace_back();
    requests.back().prompt = prompt;
    requests.back().max_new_tokens = count;
  }
  std::vector<at::Tensor> rows;
  for (const auto& generation : model.generate(requests))
    rows.push_back(torch::tensor(generation.tokens, torch::kLong));
  return torch::stack(rows);
}

at::Tensor generate_uncached(const suture::LanguageModel& model,
                             const std::vector<TokenIds>& prompts, std::int64_t count) {
  std::vector<at::Tensor> rows;
  for (const TokenIds& prompt : prompts) {
    at::Tensor all = torch::tensor(prompt, torch::kLong).unsqueeze(0);
    for (std::int64_t i = 0; i < count; ++i) {
      const at::Tensor next = model.logits(all).select(1, all.size(1) - 1).argmax(1, true);
      all = torch::cat({all, next}, 1);
    }
    rows.push_back(all.squeeze(0).narrow(0, static_cast<std::int64_t>(prompt.size()), count));
  }
  return torch::stack(rows);
}

// Log-probabilities of all continuations' tokens, one row after another.
at::Tensor score(suture::LanguageModel& model, const suture::StateDict& in) {
  std::vector<suture::ScoringRequest> requests;
  const std::vector<TokenIds> rows = rows_of(in);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto middle =
        rows[row].begin() + at_row(in, "contexts", static_cast<std::int64_t>(row), 1);
    requests.push_back({{rows[row].begin(), middle}, {middle, rows[row].end()}});
  }
  std::vector<double> scores;
  for (const auto& continuation : model.score(requests)) {
    for (const auto& token : continuation.tokens) scores.push_back(token.log_probability);
  }
  return torch::tensor(scores, torch::kDouble);
}

int run(const std::vector<std::string>& arguments) {
  suture::LanguageModelOptions options;
  options.dtype = *suture::computable_dtype_from_user(arguments[1]);
  suture::LanguageModel model = suture::LanguageModel::open(arguments[0], options);
  const suture::StateDict in = suture::load(arguments[3]);
  suture::StateDict out;
  const std::string& what = arguments[2];
  if (what == "logits") out.set("logits", model.logits(in.at("tokens")));
  if (what == "generate")
    out.set("tokens", generate(model, rows_of(in), at_row(in, "count", 0, 1)));
  if (what == "generate-uncached")
    out.set("tokens", generate_uncached(model, rows_of(in), at_row(in, "count", 0, 1)));
  if (what == "score") out.set("scores", score(model, in));
  suture::save(out, arguments[4]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  try {
    return run({argv + 1, argv + argc});
  } catch (const suture::Error& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
