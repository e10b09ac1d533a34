#include "evaluate/text_codec.h"

namespace suture {

Evaluation evaluate(CausalModel& model, const Tokenizer& tokenizer, const Task& task,
                    const EvaluationOptions& options) {
  evaluation::TextCodec codec;
  codec.encode = [&](std::string_view text, bool special) {
    return tokenizer.encode(text, special);
  };
  codec.decode = [&](const TokenIds& ids, bool skip_special) {
    return tokenizer.decode(ids, skip_special);
  };
  codec.bos = tokenizer.bos_id();
  codec.eos = tokenizer.eos_id();
  return evaluation::evaluate(model, codec, task, options);
}

}  // namespace suture
