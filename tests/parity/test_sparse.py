"""Sparse vectors, put together again by numpy from what safetensors reads."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from arithmetic import assert_same_bits, stored_difference
from families import DTYPES, bits, read_weights

BLOCK = 65536


@pytest.fixture(scope="module", params=DTYPES)
def donors(request, family, tmp_path_factory):
    """A model of 400 rows of 400, and one that differs in few of its elements, -0 among them."""
    folder = family("qwen2", request.param, "one-file").folders["sft"]
    base = read_weights(folder)
    generator = torch.Generator().manual_seed(7)
    base["extra.weight"] = torch.randn(400, 400, generator=generator).to(DTYPES[request.param])
    base["extra.weight"][0, :50] = 0.0
    tuned = {name: weight.clone() for name, weight in base.items()}
    tuned["extra.weight"][0, 3] = -0.0
    for name, weight in tuned.items():
        flat = weight.view(-1)
        flat[torch.randint(flat.numel(), (max(1, flat.numel() // 100),), generator=generator)] += 0.25
    paths = {}
    for role, weights in {"base": base, "tuned": tuned}.items():
        paths[role] = tmp_path_factory.mktemp("sparse") / role
        shutil.copytree(folder, paths[role])
        save_file(weights, paths[role] / "model.safetensors", metadata={"format": "pt"})
    return paths, base, tuned


def rebuild(path):
    """name -> (dense tensor, whether it was stored sparse)."""
    stored = read_weights(path)
    with safe_open(path, framework="pt") as opened:
        described = json.loads(opened.metadata()["suture"]).get("sparse", {})
    dense = {}
    for name, tensor in described.items():
        bitmap, values, offsets = (stored.pop(f"{name}.suture_{part}") for part in ("bitmap", "values", "offsets"))
        count = int(np.prod(tensor["shape"]))
        taken = np.unpackbits(bitmap.numpy(), bitorder="little")
        assert len(taken) < count + 8 and not taken[count:].any()
        taken = taken[:count].astype(bool)
        before = np.concatenate([[0], np.cumsum(taken)])[:-1]
        assert (offsets.numpy() == before[::BLOCK]).all()
        flat = torch.zeros(count, dtype=values.dtype)
        flat[torch.from_numpy(taken)] = values
        assert (bits(values) != 0).all()
        dense[name] = flat.view(tensor["shape"]), True
    dense.update({name: (tensor, False) for name, tensor in stored.items()})
    return dense


def test_sparse_is_the_difference(donors, suture, tmp_path):
    paths, base, tuned = donors
    suture("extract", paths["tuned"], paths["base"], "-o", tmp_path / "v.safetensors", "--sparse")
    vector = rebuild(tmp_path / "v.safetensors")
    assert set(vector) - {"lm_head.weight"} == set(base) - {"lm_head.weight"}
    for name, (tensor, _) in vector.items():
        assert_same_bits(tensor, stored_difference(tuned[name], base[name]), name)
    assert vector["extra.weight"][1]
    assert (bits(vector["extra.weight"][0]).view(-1)[3] != 0).item()


def test_sparse_gives_tuned_back(donors, suture, tmp_path):
    paths, _, tuned = donors
    suture("extract", paths["tuned"], paths["base"], "-o", tmp_path / "v.safetensors", "--sparse")
    suture("inject", paths["base"], tmp_path / "v.safetensors", "-o", tmp_path / "out")
    again = read_weights(tmp_path / "out")
    for name, tensor in tuned.items():
        if name == "extra.weight":  # adding no zero makes +0 a -0
            assert torch.equal(again[name], tensor)
            continue
        assert_same_bits(again[name], tensor, name)
