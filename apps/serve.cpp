#include <chrono>
#include <ctime>
#include <string>
#include <string_view>

#include "suture/error.h"
#include "suture/language_model.h"
#include "suture/tokenizer.h"

#include "common/command.h"
#include "common/terminal.h"
#include "serve/completions.h"

namespace suture::apps {
namespace {

LanguageModelOptions model_options(const Arguments& arguments) {
  LanguageModelOptions options;
  options.device = at::Device(arguments.device);
  options.dtype = arguments.dtype.value_or(Dtype::kF32);
  options.run = with_terminal(arguments);
  return options;
}

// A model's vocabulary may be padded with ids that its tokenizer does not know: they have no text.
TokenIds known_to(const Tokenizer& tokenizer, const TokenIds& ids) {
  TokenIds known;
  for (const std::int64_t id : ids) {
    if (id < tokenizer.vocab_size()) known.push_back(id);
  }
  return known;
}

serve::TextCodec codec_of(const Tokenizer& tokenizer) {
  serve::TextCodec codec;
  codec.encode = [tokenizer](std::string_view text) { return tokenizer.encode(text); };
  codec.decode = [tokenizer](const TokenIds& ids) {
    return tokenizer.decode(known_to(tokenizer, ids));
  };
  codec.text_of_token = [tokenizer](std::int64_t id) {
    return tokenizer.decode(known_to(tokenizer, {id}), false);
  };
  return codec;
}

// Scores of token ids need no tokenizer: without one that can be used, texts are refused.
serve::TextCodec open_codec(const Arguments& arguments) {
  try {
    return codec_of(Tokenizer::open(arguments.positional.front()));
  } catch (const Error& error) {
    if (!arguments.quiet)
      say(std::string("warning: token ids only, no text: ") + error.what() + "\n");
    return {};
  }
}

serve::ServedModel describe(const Arguments& arguments, const LanguageModel& model) {
  serve::ServedModel served;
  served.name = arguments.positional.front();
  served.text = open_codec(arguments);
  served.created = std::time(nullptr);
  served.end_tokens = model.info().end_tokens;
  return served;
}

// `POST /v1/completions 200, 12 ms`.
void say_request(const serve::HttpRequest& request, const serve::HttpResponse& response,
                 std::chrono::steady_clock::duration taken) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(taken).count();
  say(printable(request.method) + " " + printable(request.path) + " " +
      std::to_string(response.status) + ", " + std::to_string(milliseconds) + " ms\n");
}

std::string how_to_use(const std::string& address, const std::string& name) {
  return "lm_eval --model local-completions --model_args base_url=" + address +
         "/v1/completions,model=" + printable(name) +
         ",tokenizer_backend=huggingface --tasks ...\n";
}

int run(const Arguments& arguments) {
  const LanguageModelOptions options = model_options(arguments);
  LanguageModel model = LanguageModel::open(arguments.positional.front(), options);
  const serve::ServedModel served = describe(arguments, model);
  const ModelRun model_run{arguments.batch_size, {}, options.run.cancel};
  serve::CompletionsEndpoint endpoint(model, served, model_run);
  const serve::HttpServer server(arguments.port, [&](const serve::HttpRequest& request) {
    const auto begin = std::chrono::steady_clock::now();
    serve::HttpResponse response = endpoint(request);
    if (!arguments.quiet) say_request(request, response, std::chrono::steady_clock::now() - begin);
    return response;
  });
  if (!arguments.quiet) say(how_to_use(server.address(), served.name));
  write_stdout(server.address() + "\n");
  serve::HttpServer::wait_for(*options.run.cancel);
  return 128 + cancelling_signal();
}

}  // namespace

const Command& serve_command() {
  static const Command command{serve_spec(), run};
  return command;
}

}  // namespace suture::apps
