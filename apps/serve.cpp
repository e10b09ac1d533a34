#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "suture/error.h"
#include "suture/language_model.h"
#include "suture/tokenizer.h"

#include "common/command.h"
#include "common/model_options.h"
#include "common/terminal.h"
#include "evaluate/text_codec.h"
#include "serve/completions.h"

namespace suture::apps {
namespace {

serve::TextCodec codec_of(const Tokenizer& tokenizer) {
  const auto kept = std::make_shared<const Tokenizer>(tokenizer);
  const evaluation::TextCodec text = evaluation::codec_of(*kept);
  serve::TextCodec codec;
  codec.encode = [kept, text](std::string_view prompt) { return text.encode(prompt, false); };
  codec.decode = [kept, text](const TokenIds& ids) { return text.decode(ids, true); };
  codec.text_of_token = [kept, text](std::int64_t id) { return text.decode({id}, false); };
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
  const LanguageModelOptions options = model_options(arguments, with_terminal(arguments));
  LanguageModel model = LanguageModel::open(arguments.positional.front(), options);
  const serve::ServedModel served = describe(arguments, model);
  const ModelRun model_run{arguments.batch_size, {}, options.run.cancel};
  serve::CompletionsEndpoint endpoint(model, served, model_run);
  const serve::HttpServer server(
      arguments.port.value_or(8000), [&](const serve::HttpRequest& request) {
        const auto begin = std::chrono::steady_clock::now();
        serve::HttpResponse response = endpoint(request);
        if (!arguments.quiet)
          say_request(request, response, std::chrono::steady_clock::now() - begin);
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
