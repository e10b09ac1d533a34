"""The numerics contract in torch and numpy: what every output element must be, bit for bit."""

import numpy as np
import torch

from families import bits


def round_to_odd_float32(values):
    """float64 to float32 such that one more rounding, to a shorter type, gives what rounding once would."""
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    exact = nearest.astype(np.float64) == values
    pattern = nearest.view(np.int32)
    toward_zero = np.where(np.abs(nearest.astype(np.float64)) > np.abs(values), pattern - 1, pattern)
    odd = np.where(exact | np.isnan(values), pattern, toward_zero | 1)
    return odd.astype(np.int32).view(np.float32)


def round_once(wide, dtype):
    """Nearest even in one rounding; torch itself goes from float64 to the 16-bit types by way of float32."""
    if wide.dtype == torch.float64 and dtype in (torch.float16, torch.bfloat16):
        wide = torch.from_numpy(round_to_odd_float32(wide.numpy().copy()))
    return wide.to(dtype)


def add(target, terms, dtype=None):
    """target + sum of scale * vector, for `terms` of (scale, vector), in the order given, rounded to `dtype`.

    Each operation is rounded on its own, in float32, or in float64 where a vector is float64. Where nothing changed,
    and where the target is NaN, the target's own bits stay.
    """
    dtype = dtype or target.dtype
    wide = torch.float64 if any(v.dtype == torch.float64 for _, v in terms) else torch.float32
    total = target.to(wide)
    for scale, vector in terms:
        total = total + torch.tensor(scale, dtype=wide) * vector.to(wide)
    kept = (total == target.to(wide)) | target.isnan()
    return torch.where(kept, target.to(dtype), round_once(total, dtype))


def narrow_difference(tuned, base):
    return tuned.float() - base.float()


def stored_difference(tuned, base):
    """What extract stores: float64 where that gives more of the tuned tensor back than float32 does, else the first of
    bfloat16, float16 and float32 that holds the float32 difference."""
    narrow, wide = narrow_difference(tuned, base), tuned.double() - base.double()
    lost = [(bits(add(base, [(1.0, v)])) != bits(tuned)).sum().item() for v in (narrow, wide)]
    if lost[1] < lost[0]:
        return wide
    for dtype in (torch.bfloat16, torch.float16):
        if torch.equal(bits(narrow.to(dtype).float()), bits(narrow)):
            return narrow.to(dtype)
    return narrow


def assert_same_bits(got, expected, what):
    assert got.dtype == expected.dtype, f"{what}: {got.dtype}, expected {expected.dtype}"
    assert got.shape == expected.shape, f"{what}: {tuple(got.shape)}, expected {tuple(expected.shape)}"
    different = (bits(got) != bits(expected)).view(-1).nonzero().view(-1)
    if len(different) > 0:
        first = int(different[0])
        pair = got.view(-1)[first].item(), expected.view(-1)[first].item()
        raise AssertionError(f"{what}: {len(different)} of {got.numel()} elements differ, the first at {first}: "
                             f"{pair[0]!r}, expected {pair[1]!r}")
