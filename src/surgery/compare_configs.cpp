#include "surgery/compare_configs.h"

#include <algorithm>
#include <string>

#include "suture/error.h"
#include "suture/site.h"

#include "names/token_matrices.h"

namespace suture {
namespace {

bool is_of_tokens(const TensorInfo& tensor) {
  const Block block = site_of(tensor.name).block;
  return block == Block::kEmbedding || block == Block::kHead;
}

bool changes_tokens(const Participant& participant) {
  const auto& tensors = participant.asked->tensors();
  return std::any_of(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
    return is_of_tokens(tensor) && participant.reaches(tensor.name);
  });
}

void compare_tied(Comparison& c) {
  const bool tied = c.reference.config.tied_embeddings;
  if (tied == c.other.config.tied_embeddings) return;
  const auto word = [](bool is_tied) { return std::string(is_tied ? "tied" : "untied"); };
  const std::string found = "embeddings: " + c.against(word(tied), word(!tied));
  if (!changes_tokens(c.other)) {
    return c.report(Severity::kNote, "tied", found, "the vector changes neither embedding nor head",
                    "");
  }
  if (!tied && c.other.adapter != nullptr &&
      language_head_of(c.other.asked->tensors()) != nullptr) {
    return c.report(Severity::kNote, "tied", found,
                    "embedding and head get the changes that " + c.other.name + " has for each",
                    "");
  }
  if (!tied && c.options.head == HeadPolicy::kEmbedding) {
    return c.report(Severity::kWarning, "tied", found,
                    "the head of " + c.reference.name + " gets the change of the embedding, too",
                    "");
  }
  c.report(Severity::kBlocker, "tied", found,
           "the head is a copy of the embedding in one and a tensor of its own in the other",
           tied ? "use models that agree, or --allow tied to leave the head's part out"
                : "use models that agree, --head embedding to give the head the change of the "
                  "embedding, too, or --allow tied to leave the head as it is");
}

void compare_settings(Comparison& c) {
  for (const auto& [name, value] : c.reference.config.structure) {
    const auto at = c.other.config.structure.find(name);
    if (at == c.other.config.structure.end() || at->second == value) continue;
    c.report(Severity::kBlocker, "structure", name + ": " + c.against(value, at->second),
             "heads or widths do not line up", "use models of one size");
  }
  auto names = c.reference.config.meaning;
  names.insert(c.other.config.meaning.begin(), c.other.config.meaning.end());
  for (const auto& [name, unused] : names) {
    const auto value_in = [&](const Participant& p) {
      const auto at = p.config.meaning.find(name);
      return at == p.config.meaning.end() ? std::string("nothing") : at->second;
    };
    const std::string mine = value_in(c.reference), theirs = value_in(c.other);
    if (mine == theirs) continue;
    const bool rope = name.rfind("rope", 0) == 0, norm = name.find("norm") != std::string::npos;
    const char* topic = rope ? "rope" : norm ? "norm" : "settings";
    c.report(Severity::kBlocker, topic, name + ": " + c.against(mine, theirs),
             rope ? "attention weights were trained for other positions"
                  : "the same weights compute something else",
             std::string("use models that agree, or --allow ") + topic +
                 " if you know that the difference is harmless");
  }
}

// `Qwen2.5-0.5B` of `Qwen/Qwen2.5-0.5B@main` and of a path that ends in it.
std::string last_component(const std::string& model) {
  const std::size_t end = model.find_last_not_of('/');
  if (end == std::string::npos) return {};
  const std::size_t slash = model.rfind('/', end);
  const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
  const std::string last = model.substr(begin, end + 1 - begin);
  return last.substr(0, last.find('@'));
}

// Nothing shows the start of an adapter by itself but its own word.
void report_unknown_base(Comparison& c) {
  const std::string& base = c.other.adapter->trained_on;
  const bool is_reference =
      !base.empty() && printable(last_component(base)) == last_component(c.reference.name);
  c.report(is_reference ? Severity::kNote : Severity::kWarning, "config",
           c.other.name + " is a LoRA adapter of " +
               (base.empty() ? "an unknown base" : printable(base)),
           is_reference ? "its tensors are compared by name and shape, and nothing else of its base"
                        : "whether " + c.reference.name +
                              " comes from the same start is not known: its tensors are compared "
                              "by name and shape alone",
           "'ADAPTER - BASE' compares its base, too");
}

void compare_models(Comparison& c) {
  if (c.other.adapter != nullptr && !c.other.has_config) return report_unknown_base(c);
  if (!c.reference.has_config || !c.other.has_config) {
    const Participant& silent = c.reference.has_config ? c.other : c.reference;
    c.report(Severity::kWarning, "config", "no config.json with " + silent.name,
             "its structure is guessed from tensor names; rope and norm settings are not compared",
             "name the model's folder instead of a single file");
    return;
  }
  if (c.reference.config.architecture != c.other.config.architecture) {
    c.report(Severity::kBlocker, "architecture",
             c.against(c.reference.config.architecture, c.other.config.architecture),
             "the same tensor name may mean something else", "use models of one architecture");
  }
  compare_settings(c);
  compare_tied(c);
}

// PEFT adds to one of two tied tensors, and so to both, where it adds factors or loads a tensor in
// its place; a module that it saves replaces one of them alone.
void compare_tied_adapter(Comparison& c) {
  if (c.other.adapter == nullptr || !c.reference.config.tied_embeddings) return;
  const auto& whole = c.other.adapter->whole;
  for (const TensorInfo& tensor : c.other.asked->tensors()) {
    const Block block = site_of(tensor.name).block;
    if (!is_of_tokens(tensor) || !c.other.reaches(tensor.name)) continue;
    const bool is_whole = std::any_of(whole.begin(), whole.end(), [&](const std::string& name) {
      return site_of(name).block == block;  // the adapter's name: the base may have another
    });
    const std::string changes = c.other.name + " changes " + printable(tensor.name);
    if (block == Block::kHead && !c.other.adapter->keeps_tied) {
      c.report(Severity::kBlocker, "tied", changes + ", which " + c.reference.name + " ties",
               "one matrix is head and embedding there, and this was trained for the head alone",
               "untie the target first, or --allow tied to leave the head's part out");
    } else if (is_whole && c.other.adapter->replaces_embedding && !c.other.adapter->keeps_tied) {
      c.report(Severity::kBlocker, "tied",
               changes + " alone, which " + c.reference.name + " ties to its head",
               "the head was not trained with it",
               "untie the target first, or --allow tied to change both");
    } else if (block == Block::kEmbedding) {
      c.report(Severity::kWarning, "tied",
               changes + ", which is the head of " + c.reference.name + ", too",
               c.other.adapter->keeps_tied ? "both change as one"
                                           : "both change, as they do when PEFT merges it",
               "");
    }
  }
}

}  // namespace

void compare_configs(Comparison& c) {
  compare_models(c);
  if (c.other.adapter != nullptr && !c.other.adapter->copies.empty()) {
    c.report(Severity::kNote, "tied",
             c.other.name + " stores a copy of " + list_some(c.other.adapter->copies),
             "nothing of it was trained: it stays as it is, and a tied head follows its embedding",
             "");
  }
  compare_tied_adapter(c);
}

}  // namespace suture
