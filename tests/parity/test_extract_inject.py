"""extract and inject against the same arithmetic in torch, for every architecture, dtype and way of storing."""

import json

import pytest
import torch
import transformers

from arithmetic import add, assert_same_bits, narrow_difference, stored_difference
from families import ARCHITECTURES, DTYPES, STORAGES, bits, read_weights, side_files, weight_files

SCALES = {"1": 1.0, "0.3": 0.3, "-1": -1.0}


@pytest.fixture(scope="module", params=STORAGES)
def storage(request):
    return request.param


@pytest.fixture(scope="module", params=DTYPES)
def dtype(request):
    return request.param


@pytest.fixture(scope="module", params=ARCHITECTURES)
def models(request, family, dtype, storage):
    return family(request.param, dtype, storage)


@pytest.fixture(scope="module")
def vector(models, suture, tmp_path_factory):
    path = tmp_path_factory.mktemp("vector") / "v.safetensors"
    suture("extract", models.folders["grpo"], models.folders["sft"], "-o", path)
    return path


def assert_names(models, got, expected):
    """The same names; of two tied names, one may be left out."""
    optional = {"lm_head.weight"} if models.tied else set()
    assert set(got) - optional == set(expected) - optional


def assert_weights(models, folder, target, make):
    """Each tensor of the output `folder` is make(name), and none is missing."""
    got = read_weights(folder)
    assert_names(models, got, target)
    for name, tensor in got.items():
        assert_same_bits(tensor, make(name), name)


def assert_loads(models, folder, tokens="two and two"):
    """transformers reads the folder, and finds in it what safetensors finds."""
    weights = read_weights(folder)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    state = model.state_dict()
    for name, tensor in weights.items():
        assert_same_bits(state[name], tensor, name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer(tokens)["input_ids"] == transformers.AutoTokenizer.from_pretrained(
        models.folders["instruct"])(tokens)["input_ids"]


def assert_side_files(folder, target):
    got, expected = side_files(folder), side_files(target)
    wanted = {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "README.md"}
    assert wanted <= set(expected)
    for name, path in expected.items():
        assert name in got, f"{name} was not copied"
        assert got[name].read_bytes() == path.read_bytes(), f"{name} is not as it was"


def test_vector_is_the_difference(models, vector):
    stored, tuned, base = read_weights(vector), models.weights("grpo"), models.weights("sft")
    assert_names(models, stored, tuned)
    for name, tensor in stored.items():
        assert_same_bits(tensor, stored_difference(tuned[name], base[name]), name)
    widened = {name for name, tensor in stored.items() if tensor.dtype == torch.float64}
    assert "model.layers.1.mlp.down_proj.weight" in widened


@pytest.mark.parametrize("scale", SCALES)
def test_inject_is_torch(models, vector, suture, tmp_path, scale):
    argument = vector if scale == "1" else f"{vector}@{scale}"
    suture("inject", models.folders["instruct"], argument, "-o", tmp_path / "out")
    target, v = models.weights("instruct"), read_weights(vector)
    v.setdefault("lm_head.weight", v["model.embed_tokens.weight"])
    assert_weights(models, tmp_path / "out", target, lambda name: add(target[name], [(SCALES[scale], v[name])]))
    assert_side_files(tmp_path / "out", models.folders["instruct"])
    assert_loads(models, tmp_path / "out")


def test_base_and_vector_give_tuned_back(models, vector, suture, tmp_path):
    suture("inject", models.folders["sft"], vector, "-o", tmp_path / "out")
    tuned = models.weights("grpo")
    assert_weights(models, tmp_path / "out", tuned, tuned.get)


def test_one_step(models, suture, tmp_path):
    difference = f"{models.folders['grpo']} - {models.folders['sft']}@0.3"
    suture("inject", models.folders["instruct"], difference, "-o", tmp_path / "out")
    target, tuned, base = (models.weights(role) for role in ("instruct", "grpo", "sft"))
    assert_weights(models, tmp_path / "out", target,
                   lambda name: add(target[name], [(0.3, narrow_difference(tuned[name], base[name]))]))
    assert_loads(models, tmp_path / "out")


def test_scale_zero_is_the_target(models, vector, suture, tmp_path, storage):
    target = models.folders["instruct"]
    suture("inject", target, f"{vector}@0", "-o", tmp_path / "out")
    weights = models.weights("instruct")
    assert_weights(models, tmp_path / "out", weights, weights.get)
    assert_side_files(tmp_path / "out", target)
    if storage.startswith("bin"):
        return  # the output is safetensors
    got, expected = weight_files(tmp_path / "out"), weight_files(target)
    assert list(got) == list(expected)
    for name, path in expected.items():
        assert got[name].read_bytes() == path.read_bytes(), f"{name} is not as it was"


def test_special_values_are_there(models):
    """What the other tests rest on: the odd values did reach the files."""
    q_proj = "model.layers.0.self_attn.q_proj.weight"
    target, tuned = models.weights("instruct")[q_proj].view(-1), models.weights("grpo")[q_proj].view(-1)
    assert target.isnan().any() and target.isinf().any()
    assert bits(tuned)[0].item() < 0 and tuned[0] == 0


def test_realised_change_is_measured(models, suture, tmp_path):
    """The table of realised against wanted, recomputed from the output by its definition."""
    result = tmp_path / "result.json"
    suture("inject", models.folders["instruct"], f"{models.folders['grpo']} - {models.folders['sft']}@0.3",
           "-o", tmp_path / "out", "--json", result)
    table = json.loads(result.read_text())["realised"]
    out, target = read_weights(tmp_path / "out"), models.weights("instruct")
    tuned, base = models.weights("grpo"), models.weights("sft")
    sums = {}
    for name, tensor in target.items():
        if name not in out:
            continue
        wanted = ((tuned[name].float() - base[name].float()) * torch.tensor(0.3)).double()
        realised = (out[name].float() - tensor.float()).double()
        elements, finite = wanted.numel(), wanted.isfinite() & realised.isfinite()
        wanted, realised = wanted[finite], realised[finite]
        row = name.split(".")[2] if name.startswith("model.layers.") else "outside"
        for key in (row, "total"):
            entry = sums.setdefault(key, [0, 0, 0.0, 0.0, 0.0])
            for i, part in enumerate((elements, int((realised != 0).sum()), float((wanted * wanted).sum()),
                                      float((realised * realised).sum()), float((wanted * realised).sum()))):
                entry[i] += part
    rows = {"total": table["total"], "outside": table["outside_layers"]}
    rows.update({str(row["layer"]): row for row in table["layers"]})
    for key, (elements, changed, wanted, realised, dot) in sums.items():
        row = rows[key]
        assert row["elements"] == elements
        assert row["changed"] == pytest.approx(changed / elements, abs=1e-12)
        assert row["wanted_norm"] == pytest.approx(wanted ** 0.5, rel=1e-9)
        assert row["realised_norm"] == pytest.approx(realised ** 0.5, rel=1e-9)
        assert row["cosine"] == pytest.approx(dot / (wanted * realised) ** 0.5, rel=1e-9)
