#include "surgery/compare_tokenizers.h"

#include <string>

#include "suture/error.h"

namespace suture {
namespace {

void compare_token_ids(Comparison& c) {
  const auto& mine = c.reference.tokenizer->ids;
  const auto& theirs = c.other.tokenizer->ids;
  std::size_t moved = 0, extra = 0;
  std::string example;
  for (const auto& [text, id] : mine) {
    const auto at = theirs.find(text);
    if (at == theirs.end()) {
      ++extra;
    } else if (at->second != id && moved++ == 0) {
      example = "'" + printable(text) + "' is " +
                c.against(std::to_string(id), std::to_string(at->second));
    }
  }
  extra += theirs.size() - (mine.size() - extra);
  if (moved > 0) {
    const bool common = c.options.vocabulary == VocabularyPolicy::kCommon;
    c.report(common ? Severity::kNote : Severity::kBlocker, "tokenizer",
             std::to_string(moved) + " tokens have other ids, such as " + example,
             common ? "rows are matched by token text" : "the same row stands for another token",
             common ? "" : "--vocab common matches rows by token text");
  }
  if (extra > 0) {
    c.report(Severity::kWarning, "tokenizer",
             std::to_string(extra) + " tokens are known to only one of " + c.reference.name +
                 " and " + c.other.name,
             "their rows were trained in one model only",
             "--vocab common keeps the target's rows for them");
  }
  if (moved == 0 && !(c.reference.tokenizer->rules == c.other.tokenizer->rules)) {
    c.report(Severity::kWarning, "tokenizer", "the same tokens, but other merges or text rules",
             "one text may be cut into other tokens",
             "score the result with the target's tokenizer");
  }
}

}  // namespace

void compare_tokenizers(Comparison& c) {
  if (c.other.adapter != nullptr && c.other.tokenizer_digest.empty()) return;
  if (c.reference.tokenizer_digest.empty() || c.other.tokenizer_digest.empty()) {
    const Participant& silent = c.reference.tokenizer_digest.empty() ? c.reference : c.other;
    c.report(Severity::kWarning, "tokenizer", "no tokenizer known of " + silent.name,
             "whether both mean the same token by the same row is not checked",
             "name the model's folder, with its tokenizer files");
    return;
  }
  if (c.reference.tokenizer_digest == c.other.tokenizer_digest) return;
  const bool listed = c.reference.tokenizer && c.other.tokenizer &&
                      !c.reference.tokenizer->ids.empty() && !c.other.tokenizer->ids.empty();
  if (listed) return compare_token_ids(c);
  c.report(Severity::kBlocker, "tokenizer",
           "the tokenizers of " + c.reference.name + " and " + c.other.name + " differ",
           "the same row may stand for another token",
           "use models with one tokenizer, or --allow tokenizer");
}

}  // namespace suture
