"""Several vectors at once, the analogy, and selections, against torch."""

import pytest

import torch

from arithmetic import add, assert_same_bits, narrow_difference
from families import read_weights, weight_files


@pytest.fixture(scope="module", params=[("llama", "bf16"), ("mistral", "f32")], ids="-".join)
def models(request, family):
    return family(*request.param, "four-shards")


@pytest.fixture(scope="module")
def vectors(models, suture, tmp_path_factory):
    """Two vectors: reasoning, and what instruct's tuning added to the base (whose NaNs are left out with q_proj)."""
    folder = tmp_path_factory.mktemp("vectors")
    suture("extract", models.folders["grpo"], models.folders["sft"], "-o", folder / "reasoning.safetensors")
    suture("extract", models.folders["sft"], models.folders["base"], "-o", folder / "tuning.safetensors")
    return folder / "reasoning.safetensors", folder / "tuning.safetensors"


def assert_out(folder, target, make):
    got = read_weights(folder)
    assert set(got) == set(target)
    for name, tensor in got.items():
        assert_same_bits(tensor, make(name), name)


def test_two_vectors(models, vectors, suture, tmp_path):
    suture("inject", models.folders["instruct"], f"{vectors[0]}@0.7", f"{vectors[1]}@-0.25", "-o", tmp_path / "out")
    target, (first, second) = models.weights("instruct"), map(read_weights, vectors)
    assert_out(tmp_path / "out", target, lambda name: add(target[name], [(0.7, first[name]), (-0.25, second[name])]))


def test_order_is_as_written(models, vectors, suture, tmp_path):
    suture("inject", models.folders["instruct"], f"{vectors[1]}@-0.25", f"{vectors[0]}@0.7", "-o", tmp_path / "out")
    target, (first, second) = models.weights("instruct"), map(read_weights, vectors)
    assert_out(tmp_path / "out", target, lambda name: add(target[name], [(-0.25, second[name]), (0.7, first[name])]))


def test_analogy(models, suture, tmp_path):
    """C + (A - B): grpo is to sft as the output is to instruct."""
    suture("inject", models.folders["instruct"], f"{models.folders['grpo']} - {models.folders['sft']}",
           "-o", tmp_path / "out")
    target, a, b = (models.weights(role) for role in ("instruct", "grpo", "sft"))
    assert_out(tmp_path / "out", target, lambda name: add(target[name], [(1.0, narrow_difference(a[name], b[name]))]))


def test_wider_output(models, vectors, suture, tmp_path):
    """--dtype f32 keeps what rounding to the target's dtype would lose."""
    suture("inject", models.folders["instruct"], f"{vectors[0]}@0.3", "--dtype", "f32", "-o", tmp_path / "out")
    target, v = models.weights("instruct"), read_weights(vectors[0])
    assert_out(tmp_path / "out", target, lambda name: add(target[name], [(0.3, v[name])], torch.float32))


def test_same_bytes_whatever_the_threads(models, vectors, suture, tmp_path):
    files = []
    for threads in (1, 2, 5):
        out = tmp_path / f"out-{threads}"
        suture("inject", models.folders["instruct"], f"{vectors[0]}@0.3", "--threads", threads, "-o", out)
        files.append({name: path.read_bytes() for name, path in weight_files(out).items()})
    assert files[0] == files[1] == files[2] and len(files[0]) == 5


SELECTIONS = {
    ("--only", "layer=1 & block=mlp"): lambda name: ".layers.1.mlp." in name,
    ("--except", "layer=1 & block=mlp"): lambda name: ".layers.1.mlp." not in name,
    ("--except", "block=embedding | block=head"): lambda name: "embed" not in name and "lm_head" not in name,
    ("--only", "module=q_proj"): lambda name: ".q_proj." in name,
    ("--only", "!layer=0-"): lambda name: ".layers." not in name,
    ("--only", "name=model.layers.*.mlp.up_proj.weight"): lambda name: name.endswith("mlp.up_proj.weight"),
}


@pytest.mark.parametrize("selection", SELECTIONS, ids=" ".join)
def test_selection(models, vectors, suture, tmp_path, selection):
    suture("inject", models.folders["instruct"], f"{vectors[0]}@0.5", *selection, "-o", tmp_path / "out")
    target, v, touched = models.weights("instruct"), read_weights(vectors[0]), SELECTIONS[selection]
    assert any(map(touched, target)) and not all(map(touched, target))
    assert_out(tmp_path / "out", target,
               lambda name: add(target[name], [(0.5, v[name])]) if touched(name) else target[name])


def test_selection_of_an_extracted_vector(models, suture, tmp_path):
    """A vector extracted with --only moves what it holds; the rest is the target's."""
    vector = tmp_path / "part.safetensors"
    suture("extract", models.folders["grpo"], models.folders["sft"], "--only", "layer=1 & block=mlp", "-o", vector)
    v = read_weights(vector)
    suture("inject", models.folders["instruct"], vector, "-o", tmp_path / "out")
    target = models.weights("instruct")
    assert v and all(".layers.1.mlp." in name for name, tensor in v.items() if tensor.any())
    assert_out(tmp_path / "out", target,
               lambda name: add(target[name], [(1.0, v[name])]) if ".layers.1.mlp." in name else target[name])
