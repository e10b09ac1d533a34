#pragma once

#include <cstdint>
#include <vector>

#include "suture/run_options.h"
#include "suture/task_vector.h"

namespace suture {

/// A vector that means nothing and is as large as `vector`: independent normal numbers, each tensor
/// scaled to the L2 norm that `vector` has there, as float32. In published runs such vectors moved
/// scores, too (docs/ablation.md); an effect is the vector's own only beyond theirs.
///
/// The numbers come from Philox4x32-10, counted by the element and keyed by seed and tensor name,
/// so they depend on neither threads nor sharding. Lazy: they are made whenever they are read. Cost
/// of this call: a pass over the vector and one over the random numbers. Throws what
/// `TaskVector::norms` throws.
TaskVector norm_matched_random(const TaskVector& vector, std::uint64_t seed,
                               const RunOptions& options = {});

/// The vector with its layers in another order: layer `order[i]`'s part stands at layer i. `order`
/// is a permutation of the numbers from 0 to its size - 1; layers beyond it, and what is outside
/// the layers, stay. Lazy. Throws UsageError when `order` is no permutation, or when a tensor has
/// no counterpart of its shape in the layer whose place it takes.
TaskVector with_layer_order(const TaskVector& vector, const std::vector<std::size_t>& order);

/// An order of `count` things, drawn with `seed`, in which none of those that `moves` holds (in
/// increasing order) keeps its place and all others do. Fewer than two cannot move.
std::vector<std::size_t> draw_order(std::size_t count, const std::vector<std::size_t>& moves,
                                    std::uint64_t seed);

}  // namespace suture
