"""What analyze measures, against float64 numpy on the stored vectors."""

import json
import math
import re

import numpy as np
import pytest

from families import read_weights

NEAR = dict(rel=1e-12, abs=1e-300)


@pytest.fixture(scope="module", params=[("qwen2", "f16"), ("llama", "bf16"), ("mistral", "f32")], ids="-".join)
def models(request, family):
    return family(*request.param, "one-file")


@pytest.fixture(scope="module")
def vectors(models, suture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    paths = folder / "reasoning.safetensors", folder / "tuning.safetensors"
    suture("extract", models.folders["grpo"], models.folders["sft"], "-o", paths[0])
    suture("extract", models.folders["sft"], models.folders["base"], "-o", paths[1])
    return paths


def arrays(path):
    return {name: tensor.double().numpy().ravel() for name, tensor in read_weights(path).items()}


def by_layer(values):
    """layer index -> the values of its tensors, one after the other."""
    layers = {}
    for name, array in values.items():
        if found := re.match(r"model\.layers\.(\d+)\.", name):
            layers.setdefault(int(found[1]), []).append(array)
    return {layer: np.concatenate(parts) for layer, parts in layers.items()}


def whole(values):
    return np.concatenate([values[name] for name in sorted(values)])


def assert_measures(got, array, what):
    norm = math.sqrt(math.fsum(array * array))
    expected = {"norm": norm, "rms": norm / math.sqrt(array.size), "max": np.abs(array).max(),
                "changed": np.count_nonzero(array) / array.size}
    for measure, value in expected.items():
        assert got[measure] == pytest.approx(value, **NEAR), f"{measure} of {what}"


def assert_pair(got, first, second, what):
    squares = math.fsum(first * first) * math.fsum(second * second)
    if squares > 0:
        assert got["cosine"] == pytest.approx(math.fsum(first * second) / math.sqrt(squares), rel=1e-12, abs=1e-12), what
    both = (first != 0) & (second != 0)
    if both.any():
        same = np.count_nonzero((first[both] > 0) == (second[both] > 0)) / np.count_nonzero(both)
        assert got["sign_agreement"] == pytest.approx(same, **NEAR), what


def named(entries):
    return {entry["name"]: entry for entry in entries}


def layered(entries):
    return {entry["layer"]: entry for entry in entries}


def test_one_vector(vectors, suture):
    got = json.loads(suture("analyze", vectors[0], "--json", "-"))["vectors"][0]
    values = arrays(vectors[0])
    tensors, layers = named(got["tensors"]), layered(got["layers"])
    assert set(tensors) == set(values)
    for name, array in values.items():
        assert_measures(tensors[name], array, name)
    assert set(layers) == set(by_layer(values)) | {"outside"}
    for layer, array in by_layer(values).items():
        assert_measures(layers[layer], array, f"layer {layer}")
    assert_measures(got["total"], whole(values), "the whole")


def test_tuned_and_base(models, vectors, suture):
    """Two models are analysed as their difference, with its norm relative to the base."""
    got = json.loads(suture("analyze", models.folders["grpo"], models.folders["sft"], "--json", "-"))["vectors"][0]
    base, tuned = ({name: tensor.double().numpy().ravel() for name, tensor in models.weights(role).items()}
                   for role in ("sft", "grpo"))
    tensors = named(got["tensors"])
    assert set(tensors) == set(base)
    for name in base:
        # The difference of two models is float32.
        difference = (tuned[name].astype(np.float32) - base[name].astype(np.float32)).astype(np.float64)
        assert_measures(tensors[name], difference, name)
        size = math.sqrt(math.fsum(base[name] * base[name]))
        if size > 0:
            relative = math.sqrt(math.fsum(difference * difference)) / size
            assert tensors[name]["relative_norm"] == pytest.approx(relative, **NEAR), name


def test_two_vectors(vectors, suture):
    report = json.loads(suture("analyze", *vectors, "--json", "-"))
    (pair,) = report["pairs"]
    first, second = map(arrays, vectors)
    tensors, layers = named(pair["tensors"]), layered(pair["layers"])
    for name in first:
        assert_pair(tensors[name], first[name], second[name], name)
    for layer in by_layer(first):
        assert_pair(layers[layer], by_layer(first)[layer], by_layer(second)[layer], f"layer {layer}")
    assert_pair(pair["total"], whole(first), whole(second), "the whole")


def test_same_bytes_whatever_the_threads(vectors, suture):
    reports = {suture("analyze", *vectors, "--json", "-", "--threads", threads) for threads in (1, 2, 5)}
    assert len(reports) == 1


def test_heads(models, vectors, suture):
    """A head's norm is that of its rows, or of its columns in the output projection."""
    report = json.loads(suture("analyze", *vectors, "--json", "-"))
    config = json.loads((models.folders["sft"] / "config.json").read_text())
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    deltas = [{name: tensor.double() for name, tensor in read_weights(path).items()} for path in vectors]
    measured = 0
    for v, vector in enumerate(report["vectors"]):
        for tensor in vector["tensors"]:
            if "heads" not in tensor:
                assert not re.search(r"self_attn\.[qkvo]_proj\.weight$", tensor["name"])
                continue
            measured += 1
            along = 1 if tensor["name"].endswith("o_proj.weight") else 0
            assert tensor["heads"]["along"] == ("columns" if along else "rows")
            parts = [delta[tensor["name"]].split(size, along) for delta in deltas]
            norms = [[part.norm().item() for part in one] for one in parts]
            assert tensor["heads"]["norms"] == pytest.approx(norms[v], **NEAR)
            pair = named(report["pairs"][0]["tensors"])[tensor["name"]]["heads"]["cosines"]
            expected = [(a * b).sum().item() / (x * y) for a, b, x, y in zip(*parts, *norms)]
            assert pair == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert measured > 0


def test_what_rounding_leaves_in_a_target(models, suture):
    """round(target + v) - target beside v, by torch."""
    target, tuned, base = (models.weights(role) for role in ("instruct", "grpo", "sft"))
    report = json.loads(suture("analyze", models.folders["grpo"], models.folders["sft"], "--target",
                               models.folders["instruct"], "--json", "-"))
    for tensor in report["vectors"][0]["tensors"]:
        stored = target[tensor["name"]]
        delta = tuned[tensor["name"]].float() - base[tensor["name"]].float()
        made = (stored.float() + delta).to(stored.dtype)
        realised = (made.float() - stored.float()).double()
        finite = delta.isfinite() & realised.isfinite()
        got = tensor["realised"]
        assert got["wanted_norm"] == pytest.approx(delta.double()[finite].norm().item(), rel=1e-9, abs=1e-300)
        assert got["realised_norm"] == pytest.approx(realised[finite].norm().item(), rel=1e-9, abs=1e-300)
        assert got["changed"] == pytest.approx((realised[finite] != 0).sum().item() / finite.numel(), abs=1e-12)
    assert report["target"]["model"] == str(models.folders["instruct"])
