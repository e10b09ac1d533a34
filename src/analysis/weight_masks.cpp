#include "analysis/weight_masks.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <ATen/ATen.h>

namespace suture {
namespace {

constexpr double kRelativeChange = 1e-3;

// Sums over tensors of one size, a part after the other, so that what is made in between stays
// small: in a core's cache, or small beside the tensor on a GPU.
constexpr std::int64_t kPartOnCpu = std::int64_t{1} << 18;
constexpr std::int64_t kPartOnGpu = std::int64_t{1} << 26;

template <typename Work>
void for_each_part(const at::Tensor& values, Work work) {
  const std::int64_t part = values.is_cpu() ? kPartOnCpu : kPartOnGpu;
  for (std::int64_t first = 0; first < values.numel(); first += part)
    work(first, std::min(part, values.numel() - first));
}

at::Tensor part_of(const at::Tensor& values, std::int64_t first, std::int64_t count) {
  return values.reshape({-1}).narrow(0, first, count);
}

// Entries of a mask: as bytes, whose sum is quick.
at::Tensor count(const at::Tensor& mask) { return at::count_nonzero(mask); }

double share_of(const at::Tensor& counted, const at::Tensor& values) {
  return values.numel() > 0 ? static_cast<double>(counted.item<std::int64_t>()) /
                                  static_cast<double>(values.numel())
                            : 0;
}

at::Tensor zero_count(const at::Tensor& like) {
  return at::zeros({}, like.options().dtype(at::kLong));
}

// Share of entries that `mask_of` holds, given parts of the two in the wider precision.
template <typename MaskOf>
double share_where(const at::Tensor& delta, const at::Tensor& base, MaskOf mask_of) {
  const at::ScalarType type = at::promote_types(delta.scalar_type(), base.scalar_type());
  at::Tensor total = zero_count(delta);
  for_each_part(delta, [&](std::int64_t first, std::int64_t size) {
    total +=
        count(mask_of(part_of(delta, first, size).to(type), part_of(base, first, size).to(type)));
  });
  return share_of(total, delta);
}

// 2^e of the binade of each number; that of the smallest normal one for smaller numbers.
at::Tensor binade_of(const at::Tensor& values) {
  const double smallest = std::ldexp(1.0, -126);
  if (values.scalar_type() == at::kDouble) {
    const at::Tensor bits = values.contiguous().view(at::kLong).bitwise_and(0x7ff0000000000000);
    return bits.view(at::kDouble).clamp_min(smallest);
  }
  const at::Tensor bits = values.contiguous().view(at::kInt).bitwise_and(0x7f800000);
  return bits.view(at::kFloat).clamp_min(smallest);
}

// The k-th smallest (from 1) of many numbers. A sample tells where it lies; only what lies there is
// sorted. The sample decides on the time alone.
at::Tensor kth_smallest(const at::Tensor& values, std::int64_t k) {
  constexpr std::int64_t kSample = 1 << 16;
  constexpr std::int64_t kMargin = kSample / 64;  // five standard deviations
  const auto by_sorting = [](const at::Tensor& of, std::int64_t place) {
    return std::get<0>(at::kthvalue(of, place));
  };
  if (values.numel() < 8 * kSample) return by_sorting(values, k);
  const std::int64_t stride = values.numel() / kSample;
  const at::Tensor sample = std::get<0>(at::sort(values.slice(0, 0, values.numel(), stride | 1)));
  const std::int64_t place =
      static_cast<std::int64_t>(static_cast<double>(k) / static_cast<double>(values.numel()) *
                                static_cast<double>(sample.numel()));
  const at::Tensor low = sample[std::max<std::int64_t>(0, place - kMargin)];
  const at::Tensor high = sample[std::min(sample.numel() - 1, place + kMargin)];
  at::Tensor below = zero_count(values);
  std::vector<at::Tensor> near;
  for_each_part(values, [&](std::int64_t first, std::int64_t size) {
    const at::Tensor part = part_of(values, first, size);
    below += count(part < low);
    near.push_back(part.masked_select((part >= low).logical_and_(part <= high)));
  });
  const at::Tensor inside = at::cat(near);
  const std::int64_t wanted = k - below.item<std::int64_t>();
  const bool found = wanted >= 1 && wanted <= inside.numel();
  return found ? by_sorting(inside, wanted) : by_sorting(values, k);
}

}  // namespace

std::int64_t count_non_finite(const at::Tensor& values) {
  // A sum of finite numbers alone is finite, or too large; it is quicker than a look at each.
  at::Tensor sum = at::zeros({}, values.options());
  for_each_part(values, [&](std::int64_t first, std::int64_t size) {
    sum += part_of(values, first, size).sum();
  });
  if (std::isfinite(sum.item<double>())) return 0;
  at::Tensor finite = zero_count(values);
  for_each_part(values, [&](std::int64_t first, std::int64_t size) {
    finite += count(part_of(values, first, size).isfinite());
  });
  return values.numel() - finite.item<std::int64_t>();
}

double zero_share(const at::Tensor& delta) {
  at::Tensor zeros = zero_count(delta);
  for_each_part(delta, [&](std::int64_t first, std::int64_t size) {
    zeros += count(part_of(delta, first, size) == 0);
  });
  return share_of(zeros, delta);
}

double relatively_unchanged_share(const at::Tensor& delta, const at::Tensor& base) {
  return share_where(delta, base, [](const at::Tensor& d, const at::Tensor& w) {
    return d.abs() <= at::maximum(w.abs(), (w + d).abs()).mul_(kRelativeChange);
  });
}

double realisable_share(const at::Tensor& delta, const at::Tensor& base) {
  return share_where(delta, base, [](const at::Tensor& d, const at::Tensor& w) {
    return d.abs().mul_(256) >= binade_of(w);
  });
}

double changed_among(const at::Tensor& delta, const at::Tensor& weights, Extreme extreme,
                     double share) {
  const std::int64_t size = delta.numel();
  if (size == 0) return 0;
  // The largest |w| are the smallest -|w|.
  const at::Tensor order =
      extreme == Extreme::kSmallest ? weights.abs().flatten() : weights.abs().neg_().flatten();
  const double wanted = share * static_cast<double>(size);
  const auto place = static_cast<std::int64_t>(std::ceil(wanted));
  const at::Tensor limit = kth_smallest(order, std::clamp<std::int64_t>(place, 1, size));
  at::Tensor counts = at::zeros({5}, delta.options().dtype(at::kLong));
  for_each_part(delta, [&](std::int64_t first, std::int64_t count_here) {
    const at::Tensor part = part_of(order, first, count_here);
    const at::Tensor changed = part_of(delta, first, count_here) != 0;
    const at::Tensor inside = part < limit, tied = part == limit;
    counts += at::stack({count(changed), count(inside), count(tied),
                         count(inside.logical_and(changed)), count(tied.logical_and(changed))});
  });
  const at::Tensor found = counts.to(at::kCPU, at::kDouble);
  const double* n = found.const_data_ptr<double>();
  const double of_tied = n[2] > 0 ? std::clamp((wanted - n[1]) / n[2], 0.0, 1.0) : 0;
  return n[0] > 0 ? (n[3] + of_tied * n[4]) / n[0] : 0;
}

void compare_signs_and_masks(const at::Tensor& first, const at::Tensor& second,
                             PairSpectrum& pair) {
  at::Tensor counts = at::zeros({6}, first.options().dtype(at::kLong));
  for_each_part(first, [&](std::int64_t begin, std::int64_t size) {
    const at::Tensor a = part_of(first, begin, size), b = part_of(second, begin, size);
    const at::Tensor a_changed = a != 0, b_changed = b != 0,
                     both = a_changed.logical_and(b_changed);
    const at::Tensor a_up = (a > 0).logical_and_(both), b_up = (b > 0).logical_and_(both);
    counts += at::stack({count(a_changed), count(b_changed), count(both), count(a_up), count(b_up),
                         count(a_up.logical_xor(b_up))});
  });
  const at::Tensor found = counts.to(at::kCPU, at::kDouble);
  const double* n = found.const_data_ptr<double>();
  if (const double both = n[2]; both > 0) {
    const double a_up = n[3] / both, b_up = n[4] / both;
    pair.sign_conflict = n[5] / both;
    pair.sign_conflict_by_chance = a_up * (1 - b_up) + (1 - a_up) * b_up;
  }
  const double size = static_cast<double>(first.numel()), either = n[0] + n[1] - n[2];
  if (either <= 0) return;
  pair.changed_overlap = n[2] / either;
  const double both_by_chance = n[0] / size * (n[1] / size);
  pair.changed_overlap_by_chance = both_by_chance / ((n[0] + n[1]) / size - both_by_chance);
}

}  // namespace suture
