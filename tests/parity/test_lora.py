"""LoRA adapters that PEFT itself made: `inject BASE ADAPTER` against PEFT's own merge, and what is refused.

Bound: PEFT adds up the r products of an element in float32, Suture in float64. With eps = 2^-23 the two may differ by
r + 2 eps of the sum of the products' magnitudes, and by one eps of each number that is rounded on the way.
"""

import json
import re
import shutil

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

EPS = 2.0**-23
SIZE = dict(vocab_size=96, hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64)


def build(kind):
    torch.manual_seed(7)
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=96, n_embd=40, n_layer=2, n_head=4, n_positions=64, n_inner=72)
        return transformers.GPT2LMHeadModel(config)
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZE, tie_word_embeddings=kind == "tied"))


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folders = {}
    for kind in ("untied", "tied", "gpt2"):
        folders[kind] = tmp_path_factory.mktemp(kind) / "base"
        build(kind).float().save_pretrained(folders[kind])
    return folders


def open_base(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def make_adapter(base, folder, dtype=None, train_base=True, save=None, **config):
    """An adapter whose every trainable weight is random, as a training would leave it."""
    model = get_peft_model(open_base(base), LoraConfig(task_type="CAUSAL_LM", **config))
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder, **(save or {}))
    if dtype is not None:
        path = folder / "adapter_model.safetensors"
        save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path)
    return folder


def magnitudes(model):
    """name -> (|B| |A| |scale|, rank) of the tensors that factors are added to."""
    found = {}
    for name, module in model.get_base_model().named_modules():
        for a, b in (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B")):
            if "default" not in getattr(module, a, {}):
                continue
            left, right = getattr(module, b)["default"], getattr(module, a)["default"]
            left, right = getattr(left, "weight", left), getattr(right, "weight", right)
            product = left.detach().abs() @ right.detach().abs() * abs(module.scaling["default"])
            if a == "lora_embedding_A" or getattr(module, "fan_in_fan_out", False):
                product = product.T
            found[f"{name}.weight"] = product, right.shape[0]
    return found


def merge(base, adapter, scale=1.0):
    """The merged weights by name, those of the base, and how far from the former one may be."""
    before = {name: tensor.clone() for name, tensor in open_base(base).state_dict().items()}
    model = PeftModel.from_pretrained(open_base(base), adapter)
    if scale != 1:
        for module in model.modules():
            if isinstance(getattr(module, "scaling", None), dict):  # an attention has one, too: a number
                module.set_scale("default", scale)
    allowed = magnitudes(model)
    after = {name: tensor.clone() for name, tensor in model.merge_and_unload().state_dict().items()}
    bounds = {}
    for name, tensor in after.items():
        bounds[name] = EPS * (tensor.abs() + (tensor - before[name]).abs())
        if name in allowed:
            product, rank = allowed[name]
            bounds[name] = bounds[name] + EPS * (rank + 2) * product
    return after, before, bounds


def assert_equals_merge(suture, base, adapter, out, argument=None, scale=1.0):
    """Injects, compares with PEFT's merge, and returns the names that changed."""
    suture("inject", base, argument or f"{adapter}@{scale}", "-o", out, "--dtype", "f32")
    got = load_file(out / "model.safetensors")
    after, before, bounds = merge(base, adapter, scale)
    assert set(got) <= set(after)
    changed = set()
    for name, tensor in got.items():
        assert tensor.shape == after[name].shape
        error = (tensor - after[name]).abs()
        assert (error <= bounds[name]).all(), f"{name}: off by up to {(error / bounds[name]).max()} of the bound"
        if not torch.equal(tensor, before[name]):
            changed.add(name)
    expected = {name for name in got if not torch.equal(after[name], before[name])}
    assert changed == expected and changed
    return changed


ATTENTION = ["q_proj", "v_proj"]
PLAIN = {
    "plain": dict(r=8, lora_alpha=16, target_modules=ATTENTION),
    "one rank": dict(r=1, lora_alpha=3, target_modules=ATTENTION),
    "all linear": dict(r=5, lora_alpha=7, target_modules="all-linear"),
    "rslora": dict(r=8, lora_alpha=16, use_rslora=True, target_modules=ATTENTION),
    "rank pattern": dict(r=8, lora_alpha=16, target_modules=ATTENTION, rank_pattern={"q_proj": 4, "layers.1.self_attn.v_proj": 2}),
    "alpha pattern": dict(r=8, lora_alpha=16, target_modules=ATTENTION,
                          alpha_pattern={"^model.layers.0.self_attn.q_proj": 40, r"layers\.\d+\.self_attn\.v_proj": 3.5,
                                         "proj": 1000, "v_proj": 2000}),
    "patterns and rslora": dict(r=8, lora_alpha=16, use_rslora=True, target_modules=ATTENTION, rank_pattern={"v_proj": 3},
                                alpha_pattern={"q_proj": 5}),
    "lora bias": dict(r=4, lora_alpha=8, lora_bias=True, target_modules=ATTENTION),
    "gaussian": dict(r=4, lora_alpha=8, init_lora_weights="gaussian", target_modules=ATTENTION),
}


@pytest.mark.parametrize("name", PLAIN)
def test_factors_need_no_base(name, bases, suture, tmp_path):
    adapter = make_adapter(bases["untied"], tmp_path / "adapter", **PLAIN[name])
    changed = assert_equals_merge(suture, bases["untied"], adapter, tmp_path / "out")
    assert any("bias" in name for name in changed) == ("lora_bias" in PLAIN[name])


WHOLE = {
    "head": dict(r=4, lora_alpha=8, target_modules=["lm_head", "down_proj"]),
    "bias all": dict(r=4, lora_alpha=8, bias="all", target_modules=ATTENTION),
    "bias lora_only": dict(r=4, lora_alpha=8, bias="lora_only", target_modules=["q_proj"]),
    "modules to save": dict(r=4, lora_alpha=8, target_modules=ATTENTION, modules_to_save=["lm_head", "embed_tokens", "norm"]),
    "embeddings": dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "q_proj"]),
    "embeddings rslora": dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["embed_tokens", "lm_head"]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_tensors_are_differences_from_the_base(name, bases, run, suture, tmp_path):
    base = bases["untied"]
    adapter = make_adapter(base, tmp_path / "adapter", **WHOLE[name])
    refused = run("inject", base, adapter, "-o", tmp_path / "no")
    assert refused.returncode == 2 and "stores tensors whole" in refused.stderr and "ADAPTER - BASE" in refused.stderr
    assert not (tmp_path / "no").exists()
    assert_equals_merge(suture, base, adapter, tmp_path / "out", f"{adapter} - {base}")


@pytest.mark.parametrize("name", ["plain", "embeddings", "modules to save", "lora bias"])
def test_extract_stores_the_dense_vector(name, bases, suture, tmp_path):
    base = bases["untied"]
    adapter = make_adapter(base, tmp_path / "adapter", **(PLAIN | WHOLE)[name])
    vector = tmp_path / "vector.safetensors"
    suture("extract", adapter, base, "-o", vector)
    assert all(tensor.dtype == torch.float32 for tensor in load_file(vector).values())
    assert_equals_merge(suture, base, adapter, tmp_path / "out", str(vector))
    suture("inject", base, f"{adapter} - {base}", "-o", tmp_path / "direct", "--dtype", "f32")
    assert (tmp_path / "direct/model.safetensors").read_bytes() == (tmp_path / "out/model.safetensors").read_bytes()


def test_factors_of_an_embedding_alone(bases, suture, tmp_path):
    adapter = make_adapter(bases["untied"], tmp_path / "adapter", save=dict(save_embedding_layers=False), **WHOLE["embeddings"])
    changed = assert_equals_merge(suture, bases["untied"], adapter, tmp_path / "out")
    assert "model.embed_tokens.weight" in changed


def test_embedding_of_a_tied_model_changes_the_head_too(bases, run, tmp_path):
    base = bases["tied"]
    adapter = make_adapter(base, tmp_path / "adapter", save=dict(save_embedding_layers=False), **WHOLE["embeddings"])
    done = run("inject", base, adapter, "-o", tmp_path / "out", "--dtype", "f32")
    assert done.returncode == 0, done.stderr
    assert "both change, as they do when PEFT merges it" in done.stderr
    after, _, bounds = merge(base, adapter)
    got = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert ((got[name] - after[name]).abs() <= bounds["model.embed_tokens.weight"]).all()


@pytest.mark.parametrize("config", [dict(target_modules=["lm_head"]),
                                    dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"])],
                         ids=["factors of the head", "embedding saved alone"])
def test_what_would_untie_a_tied_model_is_refused(config, bases, run, tmp_path):
    base = bases["tied"]
    adapter = make_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, save=dict(save_embedding_layers=False), **config)
    done = run("inject", base, f"{adapter} - {base}" if "modules_to_save" in config else adapter, "-o", tmp_path / "out")
    assert done.returncode == 1 and "tied" in done.stderr and "untie the target" in done.stderr, done.stderr


@pytest.mark.parametrize("targets", [["q_proj"], ["q_proj", "embed_tokens"]], ids=["frozen", "with factors"])
def test_a_stored_copy_of_a_tied_head_is_nothing_of_its_own(targets, bases, run, tmp_path):
    """`save_embedding_layers=True` stores the head, too, where the model ties it to the embedding."""
    base = bases["tied"]
    adapter = make_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, target_modules=targets,
                           save=dict(save_embedding_layers=True))
    path = adapter / "adapter_model.safetensors"
    stored = load_file(path)
    embedding = next(tensor for name, tensor in stored.items() if "embed_tokens" in name and "lora" not in name)
    stored["base_model.model.lm_head.weight"] = embedding.clone()  # some releases of PEFT write it, others do not
    save_file(stored, path, metadata={"format": "pt"})
    out = tmp_path / "out"
    done = run("inject", base, f"{adapter} - {base}", "-o", out, "--dtype", "f32")
    assert done.returncode == 0, done.stderr
    after, _, bounds = merge(base, adapter)
    got = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight", "model.layers.1.self_attn.q_proj.weight"):
        assert ((got[name] - after[name]).abs() <= bounds[name] + bounds["model.embed_tokens.weight"].max()).all(), name
    checked = run("check", base, f"{adapter} - {base}")
    assert "stores a copy of lm_head.weight" in checked.stdout + checked.stderr, checked.stdout + checked.stderr


def test_an_embedding_that_was_stored_but_not_trained(bases, run, tmp_path):
    base = bases["tied"]
    adapter = make_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, target_modules=["q_proj"],
                           save=dict(save_embedding_layers=True))
    assert any("embed_tokens" in name for name in load_file(adapter / "adapter_model.safetensors"))
    done = run("inject", bases["untied"], f"{adapter} - {base}", "-o", tmp_path / "out", "--allow", "tied,kinship")
    assert done.returncode == 0 and "embed_tokens" not in done.stderr, done.stderr


def test_a_head_of_its_own_on_a_tied_base(bases, run, suture, tmp_path):
    """Trained apart from the embedding, it is a difference from it, for targets that keep a head of their own."""
    base = bases["tied"]
    adapter = make_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["lm_head"])
    vector, out = f"{adapter} - {base}", tmp_path / "out"
    refused = run("inject", base, vector, "-o", out)
    assert refused.returncode == 1 and "trained for the head alone" in refused.stderr, refused.stderr
    allowed = run("inject", base, vector, "-o", out, "--allow", "tied", "--dtype", "f32")
    assert allowed.returncode == 0, allowed.stderr
    weights = open_base(base).state_dict()
    assert torch.equal(load_file(out / "model.safetensors")["model.embed_tokens.weight"], weights["model.embed_tokens.weight"])

    untied = tmp_path / "untied"
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZE, tie_word_embeddings=False))
    model.load_state_dict(weights)
    model.save_pretrained(untied)
    suture("inject", untied, vector, "-o", out, "--force", "--dtype", "f32")
    stored = load_file(adapter / "adapter_model.safetensors")
    got = load_file(out / "model.safetensors")
    torch.testing.assert_close(got["lm_head.weight"], stored["base_model.model.lm_head.weight"], rtol=0, atol=2 * EPS)
    assert torch.equal(got["model.embed_tokens.weight"], weights["model.embed_tokens.weight"])


def test_a_base_of_other_names(bases, run, suture, tmp_path):
    base, other = bases["untied"], tmp_path / "other"
    shutil.copytree(base, other)
    weights = load_file(base / "model.safetensors")
    renamed = lambda name: "language_model." + name
    save_file({renamed(name): tensor for name, tensor in weights.items()}, other / "model.safetensors", metadata={"format": "pt"})
    adapter = make_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, target_modules=ATTENTION, modules_to_save=["lm_head"],
                           bias="all")
    suture("inject", base, f"{adapter} - {base}", "-o", tmp_path / "plain", "--dtype", "f32")
    done = run("inject", other, f"{adapter} - {other}", "-o", tmp_path / "out", "--dtype", "f32")
    assert done.returncode == 0 and "under the names of its base: model.* -> language_model.model.*" in done.stderr, done.stderr
    plain, got = load_file(tmp_path / "plain" / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert set(got) == {renamed(name) for name in plain}
    assert all(torch.equal(got[renamed(name)], tensor) for name, tensor in plain.items())
    stored = tmp_path / "v.safetensors"
    suture("extract", adapter, other, "-o", stored)
    suture("inject", base, stored, "-o", tmp_path / "again", "--dtype", "f32")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize("targets", [ATTENTION, ["q_proj"], ["k_proj", "up_proj"]], ids=" ".join)
@pytest.mark.parametrize("with_base", (False, True), ids=("alone", "with its base"))
def test_some_parts_of_a_fused_projection(targets, with_base, bases, suture, tmp_path):
    """What the adapter lacks of qkv_proj or gate_up_proj stays as it is."""
    base, fused = bases["untied"], tmp_path / "fused"
    shutil.copytree(base, fused)

    def fuse(weights):
        made = {}
        for name, tensor in weights.items():
            if any(part in name for part in ("k_proj", "v_proj", "up_proj")):
                continue
            parts = [name]
            if "q_proj" in name:
                parts = [name.replace("q_proj", part) for part in ("q_proj", "k_proj", "v_proj")]
            elif "gate_proj" in name:
                parts = [name.replace("gate_proj", part) for part in ("gate_proj", "up_proj")]
            own = name.replace("q_proj", "qkv_proj").replace("gate_proj", "gate_up_proj")
            made[own] = torch.cat([weights[part] for part in parts]) if len(parts) > 1 else tensor
        return made

    save_file(fuse(load_file(base / "model.safetensors")), fused / "model.safetensors", metadata={"format": "pt"})
    adapter = make_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, target_modules=targets)
    suture("inject", base, adapter, "-o", tmp_path / "plain", "--dtype", "f32")
    vector = f"{adapter} - {base}" if with_base else adapter
    report = json.loads(suture("inject", fused, vector, "-o", tmp_path / "out", "--dtype", "f32", "--json", "-"))
    assert any("without" in rule for rule in report["compatibility"]["names"][0]["rules"])
    expected, got = fuse(load_file(tmp_path / "plain" / "model.safetensors")), load_file(tmp_path / "out" / "model.safetensors")
    assert set(got) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(got[name], tensor), name

def test_a_copied_head_beside_positions(bases, run, tmp_path):
    """GPT-2's embedding of positions is no second embedding of tokens."""
    base = bases["gpt2"]
    adapter = make_adapter(base, tmp_path / "adapter", r=4, lora_alpha=8, target_modules=["c_attn"], fan_in_fan_out=True)
    path = adapter / "adapter_model.safetensors"
    stored = load_file(path)
    stored["base_model.model.lm_head.weight"] = open_base(base).state_dict()["transformer.wte.weight"].clone()
    save_file(stored, path, metadata={"format": "pt"})
    done = run("inject", base, f"{adapter} - {base}", "-o", tmp_path / "out", "--dtype", "f32")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("targets", [["c_attn"], ["c_attn", "c_proj", "c_fc"]])
def test_conv1d(targets, bases, suture, tmp_path):
    adapter = make_adapter(bases["gpt2"], tmp_path / "adapter", r=6, lora_alpha=12, target_modules=targets, fan_in_fan_out=True)
    assert_equals_merge(suture, bases["gpt2"], adapter, tmp_path / "out")


def test_square_weights_are_not_guessed(bases, run, suture, tmp_path):
    """PEFT sets fan_in_fan_out layer by layer, and saves it as it was for the last."""
    base = bases["gpt2"]
    adapter = make_adapter(base, tmp_path / "adapter", r=6, lora_alpha=12, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"fan_in_fan_out": False}))
    assert_equals_merge(suture, base, adapter, tmp_path / "out", f"{adapter} - {base}")
    square = make_adapter(base, tmp_path / "square", r=6, lora_alpha=12, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    (square / "adapter_config.json").write_text(json.dumps(settings | {"fan_in_fan_out": False}))
    refused = run("inject", base, f"{square} - {base}", "-o", tmp_path / "no")
    assert refused.returncode == 2 and "a square weight" in refused.stderr


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_factors(dtype, bases, suture, tmp_path):
    adapter = make_adapter(bases["untied"], tmp_path / "adapter", dtype=dtype, **PLAIN["all linear"])
    assert_equals_merge(suture, bases["untied"], adapter, tmp_path / "out")


@pytest.mark.parametrize("scale", [-1.0, 0.5])
def test_scales(scale, bases, suture, tmp_path):
    adapter = make_adapter(bases["untied"], tmp_path / "adapter", **PLAIN["plain"])
    assert_equals_merge(suture, bases["untied"], adapter, tmp_path / "out", scale=scale)


def test_torch_files_and_other_adapter_names(bases, suture, tmp_path):
    base, config = bases["untied"], LoraConfig(task_type="CAUSAL_LM", **PLAIN["plain"])
    adapter = make_adapter(base, tmp_path / "adapter", **PLAIN["plain"])
    suture("inject", base, adapter, "-o", tmp_path / "out")
    shutil.copytree(adapter, tmp_path / "bin")
    torch.save(load_file(adapter / "adapter_model.safetensors"), tmp_path / "bin/adapter_model.bin")
    (tmp_path / "bin/adapter_model.safetensors").unlink()
    suture("inject", base, tmp_path / "bin", "-o", tmp_path / "out-bin")
    same = (tmp_path / "out/model.safetensors").read_bytes()
    assert (tmp_path / "out-bin/model.safetensors").read_bytes() == same

    named = get_peft_model(open_base(base), config, adapter_name="skill")
    with torch.no_grad():
        for parameter in named.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    named.save_pretrained(tmp_path / "named")
    suture("inject", base, tmp_path / "named/skill", "-o", tmp_path / "out-named", "--dtype", "f32")
    got = load_file(tmp_path / "out-named/model.safetensors")
    after, _, bounds = merge(base, tmp_path / "named/skill")
    assert all(((got[name] - after[name]).abs() <= bounds[name]).all() for name in got)


def test_threads_and_memory_do_not_show(bases, suture, tmp_path):
    adapter = make_adapter(bases["untied"], tmp_path / "adapter", **PLAIN["all linear"])
    outputs = []
    for i, options in enumerate((["--threads", 1], ["--threads", 3], ["--memory", "1MiB"])):
        suture("inject", bases["untied"], adapter, "-o", tmp_path / f"out{i}", *options)
        outputs.append((tmp_path / f"out{i}/model.safetensors").read_bytes())
    assert outputs[0] == outputs[1] == outputs[2]


def test_what_was_added_is_told(bases, suture, tmp_path):
    adapter = make_adapter(bases["untied"], tmp_path / "adapter", **PLAIN["plain"])
    suture("inject", bases["untied"], f"{adapter}@0.5", "-o", tmp_path / "out")
    made = json.loads((tmp_path / "out/suture.json").read_text())
    assert made["formula"] == "base + 0.5 * adapter"
    (source,) = made["sources"]
    assert source["kind"] == "LoRA adapter" and re.fullmatch("[0-9a-f]{32}", source["digest"])
    assert source["trained_on"] == str(bases["untied"])


REFUSED = {
    "dora": (dict(use_dora=True), "DoRA"),
    "pissa": (dict(init_lora_weights="pissa"), "'pissa'"),
    "pissa niter": (dict(init_lora_weights="pissa_niter_4"), "'pissa_niter_4'"),
    "olora": (dict(init_lora_weights="olora"), "'olora'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_linear_is_refused(name, bases, run, tmp_path):
    config, word = REFUSED[name]
    adapter = make_adapter(bases["untied"], tmp_path / "adapter", r=4, lora_alpha=8, target_modules=ATTENTION, **config)
    done = run("inject", bases["untied"], adapter, "-o", tmp_path / "out")
    assert done.returncode == 2 and word in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "out").exists()


def test_other_kinds_are_refused(bases, run, tmp_path):
    from peft import IA3Config
    model = get_peft_model(open_base(bases["untied"]), IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"],
                                                                 feedforward_modules=[]))
    model.save_pretrained(tmp_path / "ia3")
    done = run("inject", bases["untied"], tmp_path / "ia3", "-o", tmp_path / "out")
    assert done.returncode == 2 and "type IA3" in done.stderr
