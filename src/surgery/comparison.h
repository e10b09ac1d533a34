#pragma once

#include <string>
#include <vector>

#include "suture/compatibility.h"

#include "surgery/participant.h"

namespace suture {

/// One participant beside the reference, and the report that findings on the two go to.
struct Comparison {
  const Participant& reference;
  const Participant& other;
  const CheckOptions& options;
  Compatibility& result;

  /// Adds a finding; a blocker whose topic is allowed becomes a warning. Tensors of other shapes
  /// cannot be added, whatever the user is willing to accept.
  void report(Severity severity, const char* topic, std::string found, std::string meaning,
              std::string remedy);

  /// `4 in A, 8 in B`: a setting of the reference and the other's.
  std::string against(const std::string& mine, const std::string& theirs) const;
};

/// The first few of some items, and how many more there are.
std::string list_some(const std::vector<std::string>& items);

}  // namespace suture
