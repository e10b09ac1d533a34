"""Logits, scores and continuations against transformers, on small random models of every architecture."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from conftest import SUTURE

PROBE = SUTURE.with_name("language_probe")
SMALL = dict(vocab_size=199, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.1)


def small(config, **changes):
    return config(**{**SMALL, **changes})


def rope(kind, **settings):
    return {"rope_type": kind, "rope_theta": 10000.0, **settings}


MODELS = {
    "qwen2": lambda: small(Qwen2Config),
    "qwen2-tied": lambda: small(Qwen2Config, tie_word_embeddings=True, num_key_value_heads=1),
    "qwen2-multi-head": lambda: small(Qwen2Config, num_key_value_heads=4, hidden_size=48, intermediate_size=80),
    "qwen2-sliding": lambda: small(Qwen2Config, use_sliding_window=True, sliding_window=9, max_window_layers=1),
    "qwen2-yarn": lambda: small(Qwen2Config, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=64)),
    "qwen3": lambda: small(Qwen3Config, head_dim=24),
    "qwen3-tied": lambda: small(Qwen3Config, head_dim=16, tie_word_embeddings=True, attention_bias=True),
    "qwen3-sliding": lambda: small(Qwen3Config, head_dim=16, use_sliding_window=True, sliding_window=7,
                                   layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    "llama": lambda: small(LlamaConfig),
    "llama-biases": lambda: small(LlamaConfig, attention_bias=True, mlp_bias=True, head_dim=20, num_key_value_heads=4),
    "llama3": lambda: small(LlamaConfig, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_parameters=rope(
        "llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=64)),
    "llama-linear": lambda: small(LlamaConfig, rope_parameters=rope("linear", factor=2.5)),
    "llama-dynamic": lambda: small(LlamaConfig, rope_parameters=rope("dynamic", factor=2.0)),
    "llama-yarn": lambda: small(LlamaConfig, rope_parameters=rope(
        "yarn", factor=8.0, original_max_position_embeddings=64, beta_fast=16.0, beta_slow=2.0, truncate=False)),
    "mistral": lambda: small(MistralConfig, sliding_window=None),
    "mistral-sliding": lambda: small(MistralConfig, sliding_window=11, head_dim=32),
}


@dataclasses.dataclass
class Pair:
    """One model: on disk for the probe, and in transformers."""
    folder: Path
    model: torch.nn.Module

    def probe(self, what, dtype="f32", **inputs):
        save_file({name: torch.as_tensor(value) for name, value in inputs.items()}, self.folder / "in.safetensors")
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        result = out / "out.safetensors"
        result.unlink(missing_ok=True)
        done = subprocess.run([PROBE, self.folder / "model", dtype, what, self.folder / "in.safetensors", result],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return load_file(result)


def load_reference(folder, dtype):
    """From the files: a model that is converted in memory rounds its rope as well."""
    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=dtype).eval()


def randomise(model):
    """Norms and biases too: an initial one or zero would hide what is left out."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_((1 if "norm" in name else 0) + 0.3 * noise)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    made = {}

    def get(name, dtype=torch.float32):
        if (name, dtype) not in made:
            torch.manual_seed(len(name))
            model = AutoModelForCausalLM.from_config(MODELS[name](), dtype=torch.float32)
            randomise(model)
            folder = tmp_path_factory.mktemp(name)
            model.to(dtype).save_pretrained(folder / "model")
            made[name, dtype] = Pair(folder, load_reference(folder, dtype))
        return made[name, dtype]

    return get


def random_tokens(rows, length, seed=3):
    return torch.randint(0, SMALL["vocab_size"], (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", MODELS)
def test_logits(pair, name):
    both = pair(name)
    tokens = random_tokens(3, 97)
    with torch.no_grad():
        wanted = both.model(tokens).logits
    found = both.probe("logits", tokens=tokens)["logits"]
    assert wanted.abs().max() > 1
    assert (found - wanted).abs().max() <= 1e-4


@pytest.mark.parametrize("name", ["qwen2-yarn", "llama3", "mistral-sliding"])
def test_logits_of_more_tokens_than_a_piece(pair, name, tmp_path):
    long = Pair(tmp_path, None)
    config = json.loads((pair(name).folder / "model/config.json").read_text())
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    os.link(pair(name).folder / "model/model.safetensors", tmp_path / "model/model.safetensors")
    tokens = random_tokens(2, 1300)  # pieces hold 512 of each row
    with torch.no_grad():
        wanted = load_reference(tmp_path, torch.float32)(tokens).logits
    assert (long.probe("logits", tokens=tokens)["logits"] - wanted).abs().max() <= 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_greedy_continuations_with_and_without_cache(pair, name):
    both = pair(name)
    prompts = [random_tokens(1, length, length)[0] for length in (5, 23, 40)]
    wanted = []
    for prompt in prompts:
        with torch.no_grad():
            generated = both.model.generate(prompt[None], attention_mask=torch.ones_like(prompt[None]), max_new_tokens=64,
                                            min_new_tokens=64, do_sample=False, eos_token_id=None, pad_token_id=0)
        wanted.append(generated[0, len(prompt):])
    rows = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True)
    inputs = dict(tokens=rows, lengths=[len(prompt) for prompt in prompts], count=[64])
    batched = both.probe("generate", **inputs)["tokens"]
    uncached = both.probe("generate-uncached", **inputs)["tokens"]
    assert torch.equal(batched, torch.stack(wanted))
    assert torch.equal(uncached, batched)
    for row, prompt in zip(batched, prompts):
        assert torch.equal(both.probe("generate", tokens=prompt[None], count=[64])["tokens"][0], row)


def reference_scores(model, row, context):
    with torch.no_grad():
        scores = model(row[None]).logits[0].double().log_softmax(-1)
    return scores[context - 1:-1].gather(1, row[context:, None]).squeeze(1)


@pytest.mark.parametrize("name", ["qwen2", "qwen3-sliding", "llama3", "mistral-sliding"])
def test_scores_of_continuations_that_share_contexts(pair, name):
    both = pair(name)
    shots = random_tokens(1, 30, 9)[0]
    rows, contexts = [], []
    for record in range(6):
        context = torch.cat([shots, random_tokens(1, 3 + 4 * record, 20 + record)[0]])
        for choice in range(1 if record == 2 else 4):
            rows.append(torch.cat([context, random_tokens(1, 1 + choice, 50 + record * 4 + choice)[0]]))
            contexts.append(len(context))
    wanted = torch.cat([reference_scores(both.model, row, context) for row, context in zip(rows, contexts)])
    found = both.probe("score", tokens=torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
                       lengths=[len(row) for row in rows], contexts=contexts)["scores"]
    assert (found - wanted).abs().max() <= 1e-4


# Rounding of every activation to 8 (bf16) or 11 (f16) bits, in another order of sums, moves logits of size 10 by this.
@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.25), (torch.float16, 0.04)])
@pytest.mark.parametrize("name", ["qwen2", "qwen3", "llama", "mistral-sliding"])
def test_half_precision(pair, name, dtype, tolerance):
    both = pair(name, dtype)
    tokens = random_tokens(2, 60)
    with torch.no_grad():
        wanted = both.model(tokens).logits.float()
        wide = load_reference(both.folder, torch.float32)(tokens).logits
    found = both.probe("logits", str(dtype).removeprefix("torch."), tokens=tokens)["logits"]
    assert (found - wanted).abs().max() <= tolerance
    # No farther from the truth than transformers in the same dtype.
    assert (found - wide).abs().mean() <= 1.2 * (wanted - wide).abs().mean()
    # The same files computed in float32: the weights are their own, nothing else is rounded.
    assert (both.probe("logits", "f32", tokens=tokens)["logits"] - wide).abs().max() <= 1e-4


@pytest.mark.parametrize("name, change, complaint", [
    ("llama", {"model_type": "gemma2"}, "model_type 'gemma2'"),
    ("llama", {"hidden_act": "gelu"}, "hidden_act"),
    ("llama", {"rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 2.0}}, "longrope"),
    ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
     "partial_rotary_factor"),
    ("llama", {"attn_logit_softcapping": 30.0}, "attn_logit_softcapping"),
    ("qwen2", {"num_experts": 8}, "num_experts"),
    ("qwen2", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
    ("qwen3", {"layer_types": ["full_attention", "linear_attention", "full_attention"]}, "linear_attention"),
    ("llama", {"num_hidden_layers": 2}, "model.layers.2."),
    ("llama", {"num_hidden_layers": 4}, "model.layers.3."),
    ("qwen2", {"intermediate_size": 95}, "[96, 64]"),
    ("qwen2", {"hidden_size": -64}, "hidden_size"),
    ("qwen2", {"num_key_value_heads": 3}, "a multiple"),
    ("mistral", {"sliding_window": "wide"}, "sliding_window"),
    ("llama", {"is_causal": False}, "is_causal"),
    ("llama", {"num_hidden_layers": 900_000_000}, "900000000 layers"),
    ("llama", {"use_qk_norm": False}, "use_qk_norm"),
    ("qwen2", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}, "differ"),
])
def test_refusals(pair, tmp_path, name, change, complaint):
    source = pair(name).folder / "model"
    config = json.loads((source / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    os.link(source / "model.safetensors", tmp_path / "model.safetensors")
    save_file({"tokens": random_tokens(1, 4)}, tmp_path / "in.safetensors")
    done = subprocess.run([PROBE, tmp_path, "f32", "logits", tmp_path / "in.safetensors", tmp_path / "out.safetensors"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert complaint in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("settings", [
    {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
    {"rope_theta": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.5}, "torch_dtype": "float32"},
])
def test_configs_of_transformers_4(pair, tmp_path, settings):
    both = pair("llama-linear")
    config = json.loads((both.folder / "model/config.json").read_text())
    del config["rope_parameters"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps({**config, **settings}))
    os.link(both.folder / "model/model.safetensors", tmp_path / "model/model.safetensors")
    tokens = random_tokens(1, 50)
    old = Pair(tmp_path, both.model).probe("logits", tokens=tokens)["logits"]
    assert torch.equal(old, both.probe("logits", tokens=tokens)["logits"])


def test_a_window_that_is_not_named(pair, tmp_path):
    config = json.loads((pair("qwen2").folder / "model/config.json").read_text())
    del config["sliding_window"], config["layer_types"]
    config.update(use_sliding_window=True, max_window_layers=0, max_position_embeddings=8192)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    os.link(pair("qwen2").folder / "model/model.safetensors", tmp_path / "model/model.safetensors")
    tokens = random_tokens(1, 4200)  # transformers takes a window of 4096
    with torch.no_grad():
        wanted = load_reference(tmp_path, torch.float32)(tokens).logits
    assert (Pair(tmp_path, None).probe("logits", tokens=tokens)["logits"] - wanted).abs().max() <= 1e-4
