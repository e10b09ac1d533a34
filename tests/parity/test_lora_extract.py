"""Adapters that `suture extract --lora` writes, loaded and merged by PEFT, against the weights and a full decomposition."""

import json
import shutil

import peft
import pytest
import torch
import transformers

from families import make_family, read_weights

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """models(tied): the folders base and sft of a Qwen2 model, with biases, that have everything changed."""
    made = {}

    def get(tied):
        if tied not in made:
            made[tied] = make_pair(tmp_path_factory.mktemp("tied" if tied else "untied"), tied)
        return made[tied]

    return get


def make_pair(folder, tied):
    """base, and tuned: all tensors moved, the matrices by a falling spectrum."""
    torch.manual_seed(7 + tied)
    config = transformers.Qwen2Config(hidden_size=64, intermediate_size=112, num_hidden_layers=3, num_attention_heads=4,
                                      num_key_value_heads=2, vocab_size=150, tie_word_embeddings=tied)
    model = transformers.Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():  # biases are zeros else
            if weight.dim() == 1:
                weight.add_(0.1 * torch.randn(weight.shape))
    model.save_pretrained(folder / "base")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.add_(change_of(weight.shape))
    model.save_pretrained(folder / "tuned")
    return folder


def change_of(shape):
    noise = 0.01 * torch.randn(shape)
    if len(shape) == 1:
        return noise
    left, values, right = torch.linalg.svd(noise, full_matrices=False)
    return left * (values * 0.9 ** torch.arange(len(values))) @ right


def merged(folder, adapter, dtype=torch.float32):
    """The state of base + adapter, after a look at what it computes before."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=dtype)
    adapted = peft.PeftModel.from_pretrained(model, adapter)
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        before = adapted(tokens).logits
        model = adapted.merge_and_unload()
        after = model(tokens).logits
    if dtype == torch.float32:
        assert torch.allclose(before, after, rtol=1e-4, atol=1e-4)
    return model.state_dict()


def extract(suture, folder, out, *options):
    return json.loads(suture("extract", folder / "tuned", folder / "base", "-o", out, "--json", "-", *options))


def norm(tensor):
    return tensor.double().norm().item()


def check_merged(state, folder, report, dtype=torch.float32):
    """Each tensor is as near the tuned one as the report says; what is stored whole is equal to the bit."""
    base, tuned = read_weights(folder / "base"), read_weights(folder / "tuned")
    rows = {row["name"]: row for row in report["tensors"]}
    assert set(rows) == set(tuned)
    for name, row in rows.items():
        wanted, found = tuned[name], state[name].to(tuned[name].dtype)
        if row["form"] != "low_rank":
            assert torch.equal(found, wanted), name
            continue
        change = norm(wanted.double() - base[name].double())
        left = norm(found.double() - wanted.double())
        assert row["norm"] == pytest.approx(change, rel=1e-6)
        # What is left is at right angles to the product, so that its length hardly tells of a wrong scale: closely.
        stated = row["residual"] if dtype == torch.float32 else row["merged_residual"]
        assert left == pytest.approx(stated, rel=5e-5, abs=1e-7 * norm(wanted)), name


@pytest.mark.parametrize("tied", (True, False))
def test_peft_merges_to_within_the_stated_error(suture, models, tmp_path, tied):
    report = extract(suture, models(tied), tmp_path / "adapter", "--lora", 8)
    state = merged(models(tied), tmp_path / "adapter")
    check_merged(state, models(tied), report)
    assert torch.equal(state["lm_head.weight"], state["model.embed_tokens.weight"]) == tied
    assert {row["form"] for row in report["tensors"]} == {"low_rank", "whole"}


@pytest.mark.parametrize("dtype", ("bf16", "f16"))
def test_narrow_factors_state_their_own_error(suture, models, tmp_path, dtype):
    report = extract(suture, models(True), tmp_path / "adapter", "--lora", 64, "--dtype", dtype)
    check_merged(merged(models(True), tmp_path / "adapter"), models(True), report)


def test_ranks_by_energy(suture, models, tmp_path):
    report = extract(suture, models(False), tmp_path / "adapter", "--energy", 0.9)
    ranks = [row["rank"] for row in report["tensors"] if row["form"] == "low_rank"]
    assert len(set(ranks)) > 1
    assert all(row["kept_energy"] >= 0.9 - 1e-6 for row in report["tensors"])
    check_merged(merged(models(False), tmp_path / "adapter"), models(False), report)


def test_low_rank_embeddings(suture, models, tmp_path):
    report = extract(suture, models(False), tmp_path / "adapter", "--lora", 8, "--low-rank-embeddings")
    forms = {row["name"]: row["form"] for row in report["tensors"]}
    assert forms["model.embed_tokens.weight"] == forms["lm_head.weight"] == "low_rank"
    check_merged(merged(models(False), tmp_path / "adapter"), models(False), report)


@pytest.mark.parametrize("architecture", ("qwen2", "llama", "mistral"))
def test_merging_in_bf16_adds_the_rounding_that_is_stated(suture, tmp_path, architecture):
    family = make_family(tmp_path, architecture, "bf16", "one-file")
    shutil.copytree(family.folders["sft"], tmp_path / "pair" / "base")
    shutil.copytree(family.folders["grpo"], tmp_path / "pair" / "tuned")
    report = extract(suture, tmp_path / "pair", tmp_path / "adapter", "--lora", 8)
    state = merged(tmp_path / "pair", tmp_path / "adapter", torch.bfloat16)
    check_merged(state, tmp_path / "pair", report, torch.bfloat16)
    assert report["total"]["merged_residual"] > report["total"]["residual"]


def test_a_selection_leaves_the_rest_of_the_base_alone(suture, models, tmp_path):
    folder = models(True)
    report = extract(suture, folder, tmp_path / "adapter", "--lora", 8, "--only", "layer=1 & module=q_proj,down_proj")
    state, base = merged(folder, tmp_path / "adapter"), read_weights(folder / "base")
    reached = {row["name"] for row in report["tensors"]}
    assert len(reached) == 3  # with q_proj's bias
    for name, weight in base.items():
        assert torch.equal(state[name], weight) != (name in reached), name


def test_error_is_nearly_that_of_a_full_decomposition(suture, tmp_path):
    """Of the size at which a sketch takes the place of a full decomposition."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(hidden_size=512, intermediate_size=1400, num_hidden_layers=1, num_attention_heads=8,
                                      num_key_value_heads=8, vocab_size=64)
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "base")
    with torch.no_grad():
        for name, weight in model.named_parameters():  # flat spectra in attention, falling ones in the MLP
            weight.add_(change_of(weight.shape) if "mlp" in name else 0.01 * torch.randn(weight.shape))
    model.save_pretrained(tmp_path / "tuned")
    report = extract(suture, tmp_path, tmp_path / "adapter", "--lora", 32)
    base, tuned = read_weights(tmp_path / "base"), read_weights(tmp_path / "tuned")
    for row in report["tensors"]:
        if row["form"] != "low_rank":
            continue
        values = torch.linalg.svdvals(tuned[row["name"]].double() - base[row["name"]].double())
        least = norm(values[32:])
        assert 0.9999 * least <= row["residual"] <= 1.02 * least, row["name"]


@pytest.mark.parametrize("options, named", [
    (("--lora", "0"), "--lora '0'"),
    (("--lora", "many"), "--lora 'many'"),
    (("--energy", "0"), "--energy 0"),
    (("--energy", "1.5"), "--energy 1.5"),
    (("--lora", "4", "--sparse"), "--sparse with --lora"),
    (("--lora", "4", "--vocab", "common"), "--vocab common with --lora"),
    (("--lora", "4", "--dry-run", "--explain", "*"), "--explain with --lora"),
    (("--low-rank-embeddings",), "--low-rank-embeddings without --lora"),
    (("--lora", "4", "--low-rank-embeddings"), "tied to the head"),
    (("--lora", "4", "--only", "block=norm"), "no weight matrix"),
])
def test_bad_arguments_are_told_in_one_line(run, models, tmp_path, options, named):
    done = run("extract", models(True) / "tuned", models(True) / "base", "-o", tmp_path / "adapter", *options)
    assert done.returncode == 2
    assert named in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_there_would_be(suture, models, tmp_path):
    foreseen = extract(suture, models(True), tmp_path / "adapter", "--lora", 8, "--dry-run")
    assert list(tmp_path.iterdir()) == []
    report = extract(suture, models(True), tmp_path / "adapter", "--lora", 8)
    assert foreseen["bytes_written"] == report["bytes_written"] and foreseen["dry_run"]
