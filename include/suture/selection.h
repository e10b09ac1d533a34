#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace suture {

/// A predicate on tensors by their site and name, with a text form:
///
///     layer=0-7,20-       layers 0 to 7 and 20 to the last
///     block=attention     attention, mlp, norm, embedding, head or other
///     module=q_proj       the module's name; several with commas
///     name=GLOB           the whole tensor name, with * ? [...]
///     re=REGEX            a PCRE2 pattern found anywhere in the name; quote it if it has spaces
///     & | ! ( )           and, or, not, grouping; ! binds tightest, then &
///
/// Immutable and cheap to copy; safe to use from several threads.
class Selection {
 public:
  /// Selects every tensor.
  Selection();

  /// Parses the text form. Throws UsageError that says where it went wrong.
  static Selection parse(std::string_view text);

  /// True when the tensor is selected. Throws UsageError when a regular expression needs more than
  /// a bounded effort on this name.
  bool matches(std::string_view tensor_name) const;

  /// Throws UsageError when some part of the selection can select nothing among `tensor_names`: a
  /// layer beyond the last, a module or a pattern that none has. Says which names come near.
  void require_matches(const std::vector<std::string>& tensor_names) const;

  /// The text form; `parse(to_string())` selects the same. `all` for every tensor.
  std::string to_string() const;

  /// True for a selection made without any condition.
  bool is_all() const;

  /// What both select.
  friend Selection operator&(const Selection& a, const Selection& b);
  /// What at least one selects.
  friend Selection operator|(const Selection& a, const Selection& b);
  /// What `a` does not select.
  friend Selection operator!(const Selection& a);

  /// For the library's own use: the condition in parsed form.
  struct Node;

 private:
  explicit Selection(std::shared_ptr<const Node> root);
  std::shared_ptr<const Node> root_;  // null selects everything
};

}  // namespace suture
