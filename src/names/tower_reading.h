#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "suture/error.h"

#include "names/name_mapping.h"
#include "names/tensors_by_name.h"

namespace suture {

/// What is mapped if one tower of a model is read as one of another.
struct TowerReading {
  std::string from, to;  // the towers' prefixes
  std::vector<NameMapping::Tensor> tensors;
  std::size_t reached = 0;       // tensors of `from`
  std::size_t missing = 0;       // of the layers and the embedding, those without counterpart
  bool has_layers = false;       // some tensor of the layers or the embedding is reached
  bool is_taken = false;         // leads to a tensor that another has by its own name
  std::string conflict;          // the first shape that does not fit, or name with two readings
  std::string also_by_own_name;  // a tensor that `to` has under its old name as well
  std::map<std::string, std::set<std::string>> fusions;  // rule to the layers that it is used in

  bool is_valid() const { return conflict.empty() && !is_taken && has_layers; }
  std::string shown() const { return printable(from) + "* -> " + printable(to) + "*"; }
};

/// Reads the tower of `from` with that prefix, whose tensors are given, as one of `to`.
TowerReading read_tower(const TensorsByName& from, const TensorsByName& to,
                        const std::vector<const TensorInfo*>& tensors,
                        const std::string& from_tower, const std::string& to_tower, Absent absent);

/// Whether a tensor may stand for another: of one shape, or rows of tokens of one width.
bool fits(const TensorInfo& from, const TensorInfo& to);

/// All of a tensor under another name.
NameMapping::Tensor renamed(const TensorInfo& from, const std::string& to);

}  // namespace suture
