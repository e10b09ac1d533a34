#include "tokenizer/post_processor.h"

#include <string>

#include "suture/error.h"

#include "tokenizer/tokenizer_json.h"
#include "tokenizer/vocabulary.h"

namespace suture {
namespace {

std::vector<std::int64_t> special_ids(const TokenizerPart& part, const std::string& name) {
  const TokenizerPart known = part.part("special_tokens");
  if (known.lacks(name.c_str())) part.refuse("special token '" + printable(name) + "' without ids");
  const TokenizerPart token = known.part(name.c_str());
  if (token.lacks("ids") || !token.json().at("ids").is_array()) token.refuse("no 'ids'", "a list");
  std::vector<std::int64_t> ids;
  for (const format::Json& id : token.json().at("ids"))
    ids.push_back(read_token_id(name, id, part));
  return ids;
}

}  // namespace

PostProcessor::PostProcessor(const TokenizerPart& part) { add(part); }

void PostProcessor::add(const TokenizerPart& part) {
  const std::string type = part.type();
  if (type == "Sequence") {
    for (const TokenizerPart& step : part.parts("processors")) add(step);
    return;
  }
  if (type == "ByteLevel") return;
  if (type != "TemplateProcessing") part.refuse_unsupported("post-processor " + type);
  std::vector<std::int64_t> front;
  bool text_seen = false;
  for (const TokenizerPart& piece : part.parts("single")) {
    if (!piece.lacks("SpecialToken")) {
      const auto ids = special_ids(part, piece.part("SpecialToken").text("id"));
      auto& side = text_seen ? after : front;
      side.insert(side.end(), ids.begin(), ids.end());
    } else if (!text_seen && piece.part("Sequence").text("id") == "A") {
      text_seen = true;
    } else {
      part.refuse_unsupported("a template that is not tokens, one text, tokens");
    }
  }
  if (!text_seen) part.refuse_unsupported("a template without the text");
  before.insert(before.begin(), front.begin(), front.end());
}

}  // namespace suture
