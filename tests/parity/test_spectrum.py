"""What analyze --spectrum measures, against numpy and torch.linalg on the same weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from families import read_weights

FAMILY = Path(__file__).parents[2] / "examples/miniature/family"
RANK = 12


def stored(role):
    return read_weights(FAMILY / role)


@pytest.fixture(scope="module")
def weights():
    return {role: stored(role) for role in ("base", "sft", "grpo")}


@pytest.fixture(scope="module")
def vectors(weights):
    """The two vectors, each with its base."""
    def moved(tuned, base):
        return {name: (weights[tuned][name].float() - weights[base][name].float(), weights[base][name].float())
                for name in weights[base]}
    return moved("grpo", "sft"), moved("sft", "base")


def analyze(suture, *options):
    names = f"{FAMILY / 'grpo'} - {FAMILY / 'sft'}", f"{FAMILY / 'sft'} - {FAMILY / 'base'}"
    return json.loads(suture("analyze", *names, "--spectrum", "--json", "-", *options))


@pytest.fixture(scope="module")
def report(suture):
    return analyze(suture, "--rank", RANK)


def spectra(part):
    return {tensor["name"]: tensor["spectrum"] for tensor in part["tensors"] if "spectrum" in tensor}


def effective_rank(values):
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def share_in(order, changed, share=0.3):
    """Of the changed entries those among the first `share` in order; ties count by their part."""
    wanted = share * order.size
    limit = np.sort(order, axis=None)[int(np.ceil(wanted)) - 1]
    inside, tied = order < limit, order == limit
    part = (wanted - inside.sum()) / tied.sum()
    return ((inside & changed).sum() + part * (tied & changed).sum()) / changed.sum()


def half_spacing(base):
    """Half the distance of bf16 numbers in the binade of each one."""
    _, exponent = np.frexp(np.abs(base).astype(np.float64))
    return np.ldexp(1.0, np.maximum(exponent - 1, -126) - 8)


def singular_values(matrix):
    return np.linalg.svd(matrix.double().numpy(), compute_uv=False)


def assert_spectrum(found, delta, base, name):
    values, k = singular_values(delta), min(RANK, *delta.shape)
    squares = (values**2).sum()
    assert found["rank"] == k and len(found["singular_values"]) == k, name
    assert found["exact"] and found["error_bound"] == 0, name
    assert found["singular_values"] == pytest.approx(values[:k], rel=1e-9, abs=1e-12), name
    for end in ("low", "high"):
        assert found["stable_rank"][end] == pytest.approx(squares / values[0]**2, rel=1e-9), name
        assert found["effective_rank"][end] == pytest.approx(effective_rank(values), rel=1e-9), name
    assert found["rank1_energy"] == pytest.approx(values[0]**2 / squares, rel=1e-9), name
    rows, columns = delta.shape
    assert found["rank1_energy_of_noise"] == pytest.approx((rows**0.5 + columns**0.5)**2 / (rows * columns)), name

    d, w = delta.numpy(), base.numpy()
    assert found["unchanged_bitwise"] == pytest.approx(np.mean(d == 0), rel=1e-12), name
    limit = np.maximum(np.abs(w), np.abs(w + d)) * np.float32(1e-3)
    assert found["unchanged_relative"] == pytest.approx(np.mean(np.abs(d) <= limit), rel=1e-12), name
    assert found["realisable"] == pytest.approx(np.mean(np.abs(d) >= half_spacing(w)), rel=1e-12), name
    assert found["changed_in_small_weights"] == pytest.approx(share_in(np.abs(w), d != 0), rel=1e-12), name
    left, scale, right = np.linalg.svd(base.double().numpy(), full_matrices=False)
    principal = (left[:, :k] * scale[:k]) @ right[:k]
    # Entries near the limit may fall on either side of it in another precision.
    assert found["changed_in_principal_weights"] == pytest.approx(share_in(-np.abs(principal), d != 0), abs=1e-3), name
    moved = singular_values(base + delta)[:k]
    assert found["spectral_drift"] == pytest.approx(np.linalg.norm(moved - scale[:k]) / np.linalg.norm(scale[:k]),
                                                    rel=1e-6), name


def test_every_matrix(report, vectors):
    for found, vector in zip(report["vectors"], vectors):
        matrices = {name: pair for name, pair in vector.items() if pair[0].dim() == 2}
        measured = spectra(found)
        assert set(measured) == set(matrices)
        for name, (delta, base) in matrices.items():
            assert_spectrum(measured[name], delta, base, name)
    assert {entry["name"] for entry in report["spectrum"]["left_out"]} == {
        name for name, (delta, _) in vectors[0].items() if delta.dim() != 2}


def test_pairs(report, vectors):
    measured = spectra(report["pairs"][0])
    for name, found in measured.items():
        a, b = (vector[name][0] for vector in vectors)
        k = found["k"]
        (left_a, _, right_a), (left_b, _, right_b) = (torch.linalg.svd(x.double(), full_matrices=False) for x in (a, b))
        assert k == min(RANK, *a.shape), name
        for side, cosines in (("left", torch.linalg.svdvals(left_a[:, :k].T @ left_b[:, :k])),
                              ("right", torch.linalg.svdvals(right_a[:k] @ right_b[:k].T))):
            assert found[f"{side}_cosines"] == pytest.approx(cosines.tolist(), abs=1e-6), name
            assert found[f"{side}_similarity"] == pytest.approx(float((cosines**2).sum()) / k, abs=1e-6), name
        assert (found["left_chance"], found["right_chance"]) == (k / a.shape[0], k / a.shape[1]), name
        both, either = (a != 0) & (b != 0), (a != 0) | (b != 0)
        share = lambda mask: mask.double().mean().item()
        up_a, up_b = share(a[both] > 0), share(b[both] > 0)
        assert found["sign_conflict"] == pytest.approx(share(a[both] * b[both] < 0), rel=1e-12), name
        assert found["sign_conflict_by_chance"] == pytest.approx(up_a * (1 - up_b) + up_b * (1 - up_a), rel=1e-9), name
        assert found["changed_overlap"] == pytest.approx(share(both) / share(either), rel=1e-12), name
        chance = share(a != 0) * share(b != 0)
        assert found["changed_overlap_by_chance"] == pytest.approx(
            chance / (share(a != 0) + share(b != 0) - chance), rel=1e-9), name


def assert_alike(first, second, name):
    """The same but for the last bits."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), name
        for key in first:
            assert_alike(first[key], second[key], f"{name}.{key}")
    else:
        assert first == pytest.approx(second, rel=1e-6, abs=1e-6), name


def test_alike_whatever_the_threads(report, suture):
    again = analyze(suture, "--rank", RANK, "--threads", 1)
    for first, second in zip(report["vectors"] + report["pairs"], again["vectors"] + again["pairs"]):
        first, second = spectra(first), spectra(second)
        assert first.keys() == second.keys()
        for name in first:
            assert_alike(first[name], second[name], name)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model whose matrices are too large for an exact decomposition: a rank-3 change in noise, and noise alone."""
    from safetensors.torch import save_file
    generator = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(shape, generator=generator)
    folder = tmp_path_factory.mktemp("large")
    base = {"spiked": draw(700, 500), "noise": draw(400, 900)}
    delta = {"spiked": 0.01 * draw(700, 500) + 0.02 * draw(700, 3) @ draw(3, 500), "noise": 0.01 * draw(400, 900)}
    for file, tensors in (("base", base), ("tuned", {name: base[name] + delta[name] for name in base})):
        save_file(tensors, folder / f"{file}.safetensors")
    return folder, {name: read_weights(folder / "tuned.safetensors")[name] - base[name] for name in base}


def test_intervals_of_sketches(large, suture):
    folder, deltas = large
    got = json.loads(suture("analyze", folder / "tuned.safetensors", folder / "base.safetensors", "--spectrum",
                            "--rank", RANK, "--json", "-"))
    found = spectra(got["vectors"][0])
    for name, delta in deltas.items():
        values, spectrum = singular_values(delta), found[name]
        assert not spectrum["exact"]
        assert 0 < spectrum["error_bound"] <= spectrum["certain_error_bound"]
        for computed, true in zip(spectrum["singular_values"], values):
            assert computed <= true * (1 + 1e-7)
            assert true <= np.hypot(computed, spectrum["error_bound"]) * (1 + 1e-7)
        stable = (values**2).sum() / values[0]**2
        assert spectrum["stable_rank"]["low"] <= stable * (1 + 1e-7)
        assert stable <= spectrum["stable_rank"]["high"] * (1 + 1e-7)
        assert spectrum["effective_rank"]["low"] <= effective_rank(values) <= spectrum["effective_rank"]["high"]
    assert found["spiked"]["singular_values"][:3] == pytest.approx(singular_values(deltas["spiked"])[:3], rel=1e-6)
    assert found["noise"]["rank1_energy"] == pytest.approx(found["noise"]["rank1_energy_of_noise"], rel=0.05)
