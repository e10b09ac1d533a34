#include <algorithm>

#include "evaluate/text_codec.h"

namespace suture {

evaluation::TextCodec evaluation::codec_of(const Tokenizer& tokenizer) {
  TextCodec codec;
  codec.encode = [&](std::string_view text, bool special) {
    return tokenizer.encode(text, special);
  };
  codec.decode = [&](TokenIds ids, bool skip_special) {
    const auto unknown = [&](std::int64_t id) { return !tokenizer.has_id(id); };
    ids.erase(std::remove_if(ids.begin(), ids.end(), unknown), ids.end());
    return tokenizer.decode(ids, skip_special);
  };
  codec.bos = tokenizer.bos_id();
  codec.eos = tokenizer.eos_id();
  return codec;
}

Evaluation evaluate(CausalModel& model, const Tokenizer& tokenizer, const Task& task,
                    const EvaluationOptions& options) {
  return evaluation::evaluate(model, evaluation::codec_of(tokenizer), task, options);
}

}  // namespace suture
