"""Sweeps and ablations against transformers, torch, scipy and statsmodels: every arm scored by another engine on weights
that torch adds up, and every effect recomputed from the records that the program wrote."""

import hashlib
import json
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from families import make_config, make_tokenizer

WORDS = "adding and subtracting what the training added two are four".split()
LAYERS = 4
RECORDS = 20


def sentence(start, length):
    return " ".join(WORDS[(start * 7 + i * (start + 3)) % len(WORDS)] for i in range(length))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """instruct, sft and grpo: the latter two differ in all tensors by a tenth of the weights' size."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = make_tokenizer()
    config = make_config("qwen2", True, LAYERS, len(tokenizer))
    torch.manual_seed(5)
    made = transformers.AutoModelForCausalLM.from_config(config)
    for weight in made.parameters():
        weight.data.mul_(4)
    for name, size in (("sft", 0), ("grpo", 0.1), ("instruct", 0.3)):
        tokenizer.save_pretrained(folder / name)
        moved = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for weight, start in zip(moved.parameters(), made.parameters()):
                weight.copy_(start + size * start.std() * torch.randn_like(start))
        moved.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("tasks") / "choice.jsonl"
    rows = [{"context": sentence(i, 3 + i % 5), "choices": [sentence(i + j, 1 + j % 2) for j in range(3)], "gold": i % 3}
            for i in range(RECORDS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def result(models, task, suture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    suture("ablate", models / "instruct", f"{models / 'grpo'} - {models / 'sft'}", "--task", task, "--design",
           "leave-one-out,only-one,bottom-up,top-down", "--by", "layer,block", "--allow", "kinship", "--threads", 1, "-o",
           folder / "out", "--quiet")
    return json.loads((folder / "out" / "results.json").read_text())


def reaches(arm, name):
    """Whether the arm has the vector on a tensor, told from the arm's kind and part alone."""
    layer = int(name.split(".")[2]) if name.startswith("model.layers.") else None
    block = ("norm" if "norm" in name else "attention" if "self_attn" in name else "mlp" if "mlp" in name
             else "head" if name.startswith("lm_head") else "embedding")
    part = arm["part"]
    if part == "outside the layers":
        inside = layer is None
    elif part.startswith("block="):
        inside = block == part.removeprefix("block=")
    elif arm["kind"] == "bottom-up":
        inside = block == "embedding" or layer is not None and layer <= int(part.removeprefix("layer=0-"))
    elif arm["kind"] == "top-down":
        inside = layer >= int(part[len("layer="):-1]) if layer is not None else block != "embedding"
    else:
        inside = layer == int(part.removeprefix("layer="))
    return not inside if arm["kind"] == "without" else inside


@torch.inference_mode()
def log_probabilities(model, tokenizer, task):
    """Of each record's choices, each behind its whole context."""
    scores = []
    for line in task.read_text().splitlines():
        record, own = json.loads(line), []
        for choice in record["choices"]:
            context = tokenizer.encode(record["context"], add_special_tokens=False)
            whole = tokenizer.encode(f"{record['context']} {choice}", add_special_tokens=False)
            rows = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            own.append(sum(rows[i - 1, whole[i]].item() for i in range(len(context), len(whole))))
        scores.append(own)
    return np.array(scores)


def metric(arm, name):
    return next(found for found in arm["metrics"] if found["metric"] == name)


def test_every_arm_scores_as_in_transformers(models, task, result):
    weights = {name: safetensors.torch.load_file(models / name / "model.safetensors") for name in ("instruct", "sft", "grpo")}
    tokenizer = transformers.AutoTokenizer.from_pretrained(models / "instruct")
    model = transformers.AutoModelForCausalLM.from_pretrained(models / "instruct", dtype=torch.float32).eval()
    gold = [json.loads(line)["gold"] for line in task.read_text().splitlines()]
    scored = 0
    for arm in result["arms"]:
        if arm["kind"] in ("random", "permuted"):
            continue
        everywhere = arm["kind"] in ("vector", "negated")
        with torch.no_grad():
            for name, weight in model.state_dict().items():
                stored = weights["instruct"].get(name)
                if stored is None:
                    continue
                change = arm["scale"] * (weights["grpo"][name] - weights["sft"][name])
                is_in = everywhere or arm["kind"] != "target" and reaches(arm, name)
                weight.copy_(stored + change if is_in else stored)
        theirs = log_probabilities(model, tokenizer, task)
        ours = metric(arm, "gold_log_probability")["records"]
        assert ours == pytest.approx([row[g] for row, g in zip(theirs, gold)], abs=1e-3), arm["name"]
        margins = [row[g] - max(np.delete(row, g)) for row, g in zip(theirs, gold)]
        assert metric(arm, "margin")["records"] == pytest.approx(margins, abs=1e-3), arm["name"]
        scored += 1
    assert scored == 3 + 2 * (LAYERS + 1) + 2 * LAYERS + 2 * 4  # target, vector, negated; parts; cumulative; blocks


def test_every_effect_is_that_of_scipy_and_statsmodels(result):
    arms = {arm["name"]: arm for arm in result["arms"]}
    families = {}
    for arm in result["arms"]:
        for index, found in enumerate(arm["metrics"]):
            effect = found["effect"]
            if arm["reference"] is None:
                assert effect is None
                continue
            own, other = np.array(found["records"]), np.array(arms[arm["reference"]]["metrics"][index]["records"])
            assert effect["difference"] == pytest.approx(np.mean(own - other), abs=1e-12)
            if found["is_share"]:
                table = [[np.sum((own == a) & (other == b)) for b in (1, 0)] for a in (1, 0)]
                p = min(1, mcnemar(table, exact=True).pvalue)
                assert (effect["gained"], effect["lost"]) == (table[0][1], table[1][0])
            elif np.ptp(own - other) == 0:
                p = float((own != other).any() == 0)
            else:
                test = stats.ttest_rel(own, other)
                p, interval = test.pvalue, test.confidence_interval()
                assert effect["interval_95"] == pytest.approx([interval.low, interval.high], rel=1e-9)
            assert effect["p"] == pytest.approx(p, rel=1e-9), (arm["name"], found["metric"])
            families.setdefault((arm["family"], found["metric"], found["filter"]), []).append((p, effect["p_holm"]))
    for key, family in families.items():
        corrected = multipletests([p for p, _ in family], method="holm")[1]
        assert [holm for _, holm in family] == pytest.approx(corrected, rel=1e-9), key


def test_an_outside_evaluator_is_given_each_arms_weights(models, suture, tmp_path):
    """The program outside tells digests of all weights, as numbers; they are those of what `inject` writes."""
    evaluator = tmp_path / "digest.py"
    evaluator.write_text(
        "import hashlib, json, sys\n"
        "import safetensors.torch\n"
        "weights = safetensors.torch.load_file(sys.argv[1] + '/model.safetensors')\n"
        "print(json.dumps({name: int(hashlib.sha256(weights[name].numpy().tobytes()).hexdigest()[:12], 16)\n"
        "                  for name in weights}))\n")
    vector = f"{models / 'grpo'} - {models / 'sft'}"
    suture("ablate", models / "instruct", vector, "--eval-cmd", f"{sys.executable} {evaluator} {{model}}", "-o",
           tmp_path / "out", "--allow", "kinship", "--scale", "0.7", "--quiet", "--random-seeds", 0, "--permutations", 0)
    assert not (tmp_path / "out" / "model").exists()
    for arm in json.loads((tmp_path / "out" / "results.json").read_text())["arms"]:
        if arm["kind"] == "target":
            folder = models / "instruct"
        else:
            folder = tmp_path / "written"
            only = [] if arm["selection"] == "all" else ["--only", arm["selection"]]
            suture("inject", models / "instruct", f"{vector}@{arm['scale']}", "-o", folder, "--allow", "kinship", "--force",
                   "--quiet", *only)
        wanted = {name: int(hashlib.sha256(weight.numpy().tobytes()).hexdigest()[:12], 16)
                  for name, weight in safetensors.torch.load_file(folder / "model.safetensors").items()}
        assert {found["metric"]: found["value"] for found in arm["metrics"]} == wanted, arm["name"]
