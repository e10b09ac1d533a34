"""Models of one kind under other names, as transformers writes them, against the same arithmetic in torch."""

import json

import pytest
import torch
import transformers
from safetensors.torch import save_file

from arithmetic import add, assert_same_bits, narrow_difference
from families import read_weights, tune

SHAPE = dict(hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=96, max_position_embeddings=128, bos_token_id=None, eos_token_id=0, pad_token_id=0,
             tie_word_embeddings=False, rms_norm_eps=1e-5)
SETTINGS = ("--allow", "architecture,structure,settings,rope,norm,config")


def split(weights):
    """The names and matrices of a Llama, cut out of a Phi-3's: what Phi3Attention and Phi3MLP do with their outputs."""
    cut = {}
    for name, weight in weights.items():
        if "qkv_proj" in name:
            sizes = {"q_proj": 64, "k_proj": 32, "v_proj": 32}
            for part, rows in zip(sizes, weight.split(list(sizes.values()))):
                cut[name.replace("qkv_proj", part)] = rows.clone()
        elif "gate_up_proj" in name:
            for part, rows in zip(("gate_proj", "up_proj"), weight.chunk(2)):
                cut[name.replace("gate_up_proj", part)] = rows.clone()
        else:
            cut[name] = weight.clone()
    return cut


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders: phi-base, -tuned, -target, as Phi3ForCausalLM saves them, and llama- with the same weights, split."""
    root = tmp_path_factory.mktemp("names")
    torch.manual_seed(0)
    phi = transformers.Phi3ForCausalLM(transformers.Phi3Config(**SHAPE)).to(torch.bfloat16)
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).to(torch.bfloat16)
    base = {name: weight.clone() for name, weight in phi.state_dict().items()}
    for number, role in enumerate(("base", "tuned", "target")):
        weights = base if number == 0 else tune(base, number)
        phi.load_state_dict(weights)
        phi.save_pretrained(root / f"phi-{role}")
        llama.load_state_dict(split(weights))
        llama.save_pretrained(root / f"llama-{role}")
    return root


def sum_of(models, kind, scale):
    target, tuned, base = (read_weights(models / f"{kind}-{role}") for role in ("target", "tuned", "base"))
    return {name: add(target[name], [(scale, narrow_difference(tuned[name], base[name]))]) for name in target}


def assert_model(folder, expected):
    got = read_weights(folder)
    assert set(got) == set(expected)
    for name, tensor in expected.items():
        assert_same_bits(got[name], tensor, name)


def test_the_two_compute_the_same(models):
    """So that the cuts above are those of the architecture."""
    tokens = torch.arange(24).view(1, -1)
    logits = [transformers.AutoModelForCausalLM.from_pretrained(models / f"{kind}-tuned", dtype=torch.float32)(tokens).logits
              for kind in ("phi", "llama")]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", ("phi", "llama"))
@pytest.mark.parametrize("donors", ("phi", "llama"))
@pytest.mark.parametrize("stored", (False, True))
def test_inject_across_fusion(models, suture, tmp_path, donors, target, stored):
    vector = f"{models}/{donors}-tuned - {models}/{donors}-base"
    if stored:
        suture("extract", models / f"{donors}-tuned", models / f"{donors}-base", "-o", tmp_path / "v.safetensors")
        vector = tmp_path / "v.safetensors"
    out = tmp_path / "out"
    suture("inject", models / f"{target}-target", f"{vector}@0.3", "-o", out, *SETTINGS)
    assert_model(out, sum_of(models, target, 0.3))
    assert_loads(out)


def assert_loads(folder):
    _, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]


def test_extract_across_fusion(models, suture, tmp_path):
    for tuned, base in (("phi", "llama"), ("llama", "phi")):
        mixed, plain = tmp_path / f"{tuned}.safetensors", tmp_path / f"plain-{base}.safetensors"
        suture("extract", models / f"{tuned}-tuned", models / f"{base}-base", "-o", mixed, *SETTINGS)
        suture("extract", models / f"{base}-tuned", models / f"{base}-base", "-o", plain)
        assert_model(mixed, read_weights(plain))


def test_vision_model_around_the_decoder(models, suture, tmp_path):
    """A LLaVA as transformers saves it: other prefixes, a head, and towers that no text vector reaches."""
    text = transformers.LlamaConfig(**SHAPE)
    vision = transformers.CLIPVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=3,
                                           num_attention_heads=2, image_size=28, patch_size=14)
    llava = transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=5)).to(torch.bfloat16)
    llava.save_pretrained(tmp_path / "llava")
    state = read_weights(tmp_path / "llava")
    names = {}
    for name, tensor in read_weights(models / "llama-target").items():
        suffix = name.removeprefix("model.")
        own = [other for other in state if (other == suffix or other.endswith("." + suffix))
               and ("language_model" in other or "lm_head" in other)]
        assert len(own) == 1, (name, own)
        assert state[own[0]].shape == tensor.shape
        state[own[0]], names[name] = tensor.clone(), own[0]
    assert any(name != own for name, own in names.items())
    save_file(state, tmp_path / "llava" / "model.safetensors", metadata={"format": "pt"})
    out = tmp_path / "out"
    for donors in ("llama", "phi"):
        report = json.loads(suture("inject", tmp_path / "llava",
                                   f"{models}/{donors}-tuned - {models}/{donors}-base@0.3", "-o", out,
                                   "--json", "-", "--force", *SETTINGS))
        assert report["compatibility"]["names"]
        expected = dict(state)
        for name, tensor in sum_of(models, "llama", 0.3).items():
            expected[names[name]] = tensor
        assert_model(out, expected)


def test_tied_donors(models, suture, run, tmp_path):
    """A tied model of the same weights: its embedding's change goes to an untied head when that is asked for."""
    for role in ("base", "tuned"):
        weights = read_weights(models / f"llama-{role}")
        tied = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SHAPE, "tie_word_embeddings": True}))
        del weights["lm_head.weight"]
        tied.to(torch.bfloat16).load_state_dict(weights, strict=False)
        tied.save_pretrained(tmp_path / role)
    arguments = ("inject", models / "llama-target", f"{tmp_path}/tuned - {tmp_path}/base@0.3", "-o", tmp_path / "out")
    refused = run(*arguments, "--allow", "config")
    assert refused.returncode == 1 and "--head embedding" in refused.stderr
    suture(*arguments, "--head", "embedding", "--allow", "config")
    expected = sum_of(models, "llama", 0.3)
    tuned, base = (read_weights(models / f"llama-{role}")["model.embed_tokens.weight"] for role in ("tuned", "base"))
    head = read_weights(models / "llama-target")["lm_head.weight"]
    expected["lm_head.weight"] = add(head, [(0.3, narrow_difference(tuned, base))])
    assert_model(tmp_path / "out", expected)
