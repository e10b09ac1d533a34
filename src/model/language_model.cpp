#include "suture/language_model.h"

#include <filesystem>
#include <set>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "suture/checkpoint.h"
#include "suture/error.h"

#include "core/scalar_type.h"
#include "format/json.h"
#include "model/architectures.h"
#include "model/decoder.h"
#include "model/generation.h"
#include "model/sampler.h"
#include "model/scoring.h"
#include "stream/worker_pool.h"

namespace suture {
namespace {

namespace fs = std::filesystem;
using format::Json;

constexpr std::uint64_t kMaxConfigBytes = 16 << 20;

// `eos_token_id` is one id or several.
TokenIds end_tokens_of(const Json& config) {
  TokenIds tokens;
  const auto at = config.is_object() ? config.find("eos_token_id") : config.end();
  if (at == config.end()) return tokens;
  for (const Json& id : at->is_array() ? *at : Json::array({*at})) {
    if (id.is_number_unsigned()) tokens.push_back(id.get<std::int64_t>());
  }
  return tokens;
}

TokenIds end_tokens_in(const fs::path& folder, const Json& config) {
  const fs::path path = folder / "generation_config.json";
  std::error_code error;
  if (fs::exists(path, error)) {
    const TokenIds tokens = end_tokens_of(format::read_json_file(path, kMaxConfigBytes));
    if (!tokens.empty()) return tokens;
  }
  return end_tokens_of(config);
}

at::TensorOptions compute_options(const LanguageModelOptions& options) {
  const bool known =
      options.dtype == Dtype::kF32 || options.dtype == Dtype::kBF16 || options.dtype == Dtype::kF16;
  if (!known) {
    throw UsageError(
        {{}, {}, "computing in " + std::string(name_of(options.dtype)), "f32, bf16 or f16", {}});
  }
  require_device(options.device);
  return at::TensorOptions(*scalar_type_of(options.dtype)).device(options.device);
}

[[noreturn]] void refuse(const std::string& found, const std::string& expected,
                         const std::string& remedy = {}) {
  throw UsageError({{}, {}, found, expected, remedy});
}

void require_tokens(const TokenIds& tokens, std::int64_t vocab_size, const char* what) {
  if (tokens.empty()) refuse(std::string("an empty ") + what, "at least one token");
  for (const std::int64_t token : tokens) {
    if (token < 0 || token >= vocab_size)
      refuse("token id " + std::to_string(token),
             "an id from 0 to " + std::to_string(vocab_size - 1));
  }
}

}  // namespace

struct LanguageModel::State {
  StateDict weights;
  model::Decoder decoder;
  LanguageModelInfo info;
};

namespace {

LanguageModelInfo make_info(const model::DecoderConfig& config, const StateDict& weights,
                            const LanguageModelOptions& options) {
  LanguageModelInfo info;
  info.architecture = config.architecture;
  info.layers = config.layers;
  info.hidden_size = config.hidden_size;
  info.vocab_size = config.vocab_size;
  info.max_length = config.max_length;
  info.dtype = options.dtype;
  info.cache_token_bytes = static_cast<std::uint64_t>(2 * config.layers * config.key_value_heads *
                                                      config.head_size * bytes_of(options.dtype));
  std::set<const void*> counted;  // a tied head may share its embedding's memory
  for (const auto& [name, tensor] : weights) {
    const bool is_second = config.tied_head && name == "lm_head.weight";
    if (!is_second) info.parameters += tensor.numel();
    if (counted.insert(tensor.const_data_ptr()).second) info.weight_bytes += tensor.nbytes();
  }
  return info;
}

}  // namespace

LanguageModel::LanguageModel(const std::string& config_json, StateDict weights,
                             const LanguageModelOptions& options, const std::string& name) {
  const Json json = format::parse_json(config_json, name + "/config.json");
  const model::DecoderConfig config =
      model::describe_decoder(json, name + "/config.json", options.ignore_unknown_settings);
  const at::TensorOptions compute = compute_options(options);
  weights = weights.to(options.device);
  LanguageModelInfo info = make_info(config, weights, options);
  info.end_tokens = end_tokens_of(json);
  model::Decoder decoder(config, model::bind_weights(config, weights, name), compute,
                         stream::thread_count(options.run));
  state_.reset(new State{std::move(weights), std::move(decoder), std::move(info)});
}

LanguageModel LanguageModel::open(const std::string& location,
                                  const LanguageModelOptions& options) {
  const Checkpoint checkpoint = Checkpoint::open(location);
  const fs::path path = checkpoint.folder() / "config.json";
  std::error_code error;
  if (checkpoint.folder().empty() || !fs::exists(path, error)) {
    throw UsageError({location,
                      {},
                      "weights without a config.json",
                      "a model folder",
                      "give the folder that holds both"});
  }
  // The settings first: a model that cannot run need not be read.
  const Json json = format::read_json_file(path, kMaxConfigBytes);
  model::describe_decoder(json, path.string(), options.ignore_unknown_settings);
  compute_options(options);
  LanguageModel opened(json.dump(), load(checkpoint, options.device, options.run), options,
                       checkpoint.folder().string());
  opened.state_->info.end_tokens = end_tokens_in(checkpoint.folder(), json);
  return opened;
}

LanguageModel::LanguageModel(LanguageModel&&) noexcept = default;
LanguageModel& LanguageModel::operator=(LanguageModel&&) noexcept = default;
LanguageModel::~LanguageModel() = default;

LanguageModelInfo LanguageModel::info() const { return state_->info; }
const StateDict& LanguageModel::weights() const { return state_->weights; }
std::int64_t LanguageModel::max_length() const { return state_->info.max_length; }
std::int64_t LanguageModel::vocab_size() const { return state_->info.vocab_size; }

at::Tensor LanguageModel::logits(const at::Tensor& token_ids) const {
  const at::NoGradGuard no_gradients;
  if (token_ids.dim() != 2 || token_ids.scalar_type() != at::kLong || token_ids.numel() == 0)
    refuse("token ids that are not [batch, length] of int64", "at least one row and one token");
  if (token_ids.size(1) > max_length())
    refuse(std::to_string(token_ids.size(1)) + " tokens",
           "at most " + std::to_string(max_length()));
  if (token_ids.min().item<std::int64_t>() < 0 ||
      token_ids.max().item<std::int64_t>() >= vocab_size())
    refuse("a token id outside the vocabulary",
           "ids from 0 to " + std::to_string(vocab_size() - 1));
  model::Decoder& decoder = state_->decoder;
  decoder.watch(nullptr);
  const std::int64_t rows = token_ids.size(0);
  model::KeyValueCache cache(decoder.config(), rows, token_ids.size(1), decoder.options());
  std::vector<model::FedToken> all;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t token = 0; token < token_ids.size(1); ++token) all.push_back({row, token});
  const std::vector<std::int64_t> starts(static_cast<std::size_t>(rows), 0);
  return decoder.head(decoder.feed(token_ids, starts, cache, all))
      .view({rows, token_ids.size(1), vocab_size()});
}

std::vector<ContinuationScore> LanguageModel::score(const std::vector<ScoringRequest>& requests,
                                                    const ModelRun& run) {
  const at::NoGradGuard no_gradients;
  for (const ScoringRequest& request : requests) {
    require_tokens(request.context, vocab_size(), "context");
    require_tokens(request.continuation, vocab_size(), "continuation");
    const std::size_t fed =
        request.context.size() + request.continuation.size() - (request.with_next_top ? 0 : 1);
    if (fed > static_cast<std::size_t>(max_length()))
      refuse(std::to_string(fed) + " tokens to be fed", "at most " + std::to_string(max_length()),
             "shorten the context");
  }
  state_->decoder.watch(run.cancel);
  return model::score_continuations(state_->decoder, requests, run);
}

std::vector<Generation> LanguageModel::generate(const std::vector<GenerationRequest>& requests,
                                                const ModelRun& run) {
  const at::NoGradGuard no_gradients;
  for (const GenerationRequest& request : requests) {
    require_tokens(request.prompt, vocab_size(), "prompt");
    if (request.prompt.size() > static_cast<std::size_t>(max_length()))
      refuse("a prompt of " + std::to_string(request.prompt.size()) + " tokens",
             "at most " + std::to_string(max_length()), "shorten the prompt");
    model::Sampler{request.sampling};  // refuses what means nothing, before the work
  }
  state_->decoder.watch(run.cancel);
  return model::generate(state_->decoder, requests, run);
}

}  // namespace suture
