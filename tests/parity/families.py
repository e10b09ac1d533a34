"""Tiny random families of Hugging Face models: base, and sft, grpo and instruct made from it.

The values hold what real weights hold rarely and arithmetic gets wrong first: negative zeros, subnormals, differences
that float32 cannot hold and, in `instruct`, NaN with a payload and infinities.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers

ARCHITECTURES = ("qwen2", "llama", "mistral")
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
STORAGES = ("one-file", "four-shards", "bin", "bin-shards")
ROLES = ("base", "sft", "grpo", "instruct")
INT_OF_BYTES = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def bits(tensor):
    """The tensor's bit patterns, so that -0.0 differs from 0.0 and a NaN equals itself."""
    return tensor.contiguous().view(INT_OF_BYTES[tensor.element_size()])


@dataclass
class Family:
    folders: dict  # role -> Path
    tied: bool
    layers: int

    def weights(self, role):
        return read_weights(self.folders[role])


def read_weights(path):
    """name -> tensor of a safetensors file, or of a folder with safetensors or torch.save files."""
    path = Path(path)
    if path.is_file():
        files = [path]
    elif list(path.glob("*.safetensors")):
        files = sorted(path.glob("*.safetensors"))
    else:
        files = sorted(path.glob("*.bin"))
    weights = {}
    for file in files:
        if file.suffix == ".bin":
            weights.update(torch.load(file, weights_only=True))
            continue
        with safe_open(file, framework="pt") as opened:
            weights.update({name: opened.get_tensor(name) for name in opened.keys()})
    return weights


def weight_files(folder):
    """The weight files of a folder and their index, by name."""
    return {p.name: p for p in sorted(Path(folder).iterdir())
            if p.suffix in (".safetensors", ".bin") or p.name.endswith(".index.json")}


def side_files(folder):
    return {p.name: p for p in sorted(Path(folder).iterdir()) if p.name not in weight_files(folder)}


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|end|>", "<|user|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(["adding and subtracting what the training added", "two and two are four"] * 9, trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    fast.chat_template = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}"
    return fast


def make_config(architecture, tied, layers, vocabulary):
    shape = dict(hidden_size=64, intermediate_size=112, num_hidden_layers=layers, num_attention_heads=4,
                 num_key_value_heads=2, vocab_size=vocabulary, max_position_embeddings=128, tie_word_embeddings=tied,
                 bos_token_id=None, eos_token_id=0, pad_token_id=0)
    of = {"qwen2": transformers.Qwen2Config, "llama": transformers.LlamaConfig, "mistral": transformers.MistralConfig}
    return of[architecture](**shape)


def tune(weights, seed, noise=1e-3):
    """Weights + small seeded noise in float32, rounded to the weights' dtype; zeros stay, since their signs would mix."""
    generator = torch.Generator().manual_seed(seed)
    tuned = {}
    for name, weight in weights.items():
        moved = weight.float() + noise * torch.randn(weight.shape, generator=generator)
        moved = moved.to(weight.dtype)
        moved[moved == 0] = 0.5
        tuned[name] = torch.where(weight == 0, weight, moved)
    return tuned


def put(weights, name, start, *values):
    """Sets elements from `start` on; values as they come: a float, or an int as a bit pattern."""
    flat = weights[name].view(-1)
    for position, value in enumerate(values, start):
        if isinstance(value, int):
            bits(flat)[position] = value  # contiguous, so a view
        else:
            flat[position] = value


def make_role_weights(base):
    """The four models' weights, from random ones."""
    base = {name: weight.clone() for name, weight in base.items()}
    dtype = next(iter(base.values())).dtype
    tiny = {torch.float32: 1e-45, torch.float16: 6e-8, torch.bfloat16: 1e-40}[dtype]
    q_proj = "model.layers.0.self_attn.q_proj.weight"
    put(base, q_proj, 0, -0.0, 0.0, -0.0, tiny, -tiny)
    weights = {"base": base, "sft": tune(base, 1), "grpo": tune(base, 2), "instruct": tune(base, 3, 3e-3)}
    # The difference of these two has more bits than float32 holds.
    down_proj = "model.layers.1.mlp.down_proj.weight"
    put(weights["sft"], down_proj, 7, 1024.0, 1.0)
    put(weights["grpo"], down_proj, 7, 2.0**-24, 1.5)
    # The target may hold what the donors do not: its NaNs and infinities stay as they are.
    nan = {torch.float32: 0x7FC01234, torch.float16: 0x7E55, torch.bfloat16: 0x7FD5}[dtype]
    put(weights["instruct"], q_proj, 64, nan, float("inf"), -float("inf"), -0.0)
    put(weights["grpo"], q_proj, 67, 0.25)
    put(weights["sft"], q_proj, 67, 0.25)
    return weights


def save_in_four(model, folder):
    """save_pretrained with the shard size that gives four shards."""
    total = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    for limit in range(total // 5, total, total // 40):
        model.save_pretrained(folder, max_shard_size=limit)
        if len(list(folder.glob("*.safetensors"))) == 4:
            return
        for stale in weight_files(folder).values():
            stale.unlink()
    raise AssertionError("no shard size gives four shards")


def save_bin(model, folder, shards):
    """As transformers 4 wrote it: torch.save of the state dict, one file or several with an index."""
    model.save_pretrained(folder)
    for file in weight_files(folder).values():
        file.unlink()
    state = model.state_dict()
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return
    names, weight_map = list(state), {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05d}-of-{shards:05d}.bin"
        part = names[shard * len(names) // shards:(shard + 1) * len(names) // shards]
        torch.save({name: state[name].clone() for name in part}, folder / file)
        weight_map.update(dict.fromkeys(part, file))
    total = sum(t.numel() * t.element_size() for t in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")


def make_family(parent, architecture, dtype_name, storage):
    """Writes PARENT/{base,sft,grpo,instruct}; the values depend on the architecture and the dtype alone."""
    which = ARCHITECTURES.index(architecture), list(DTYPES).index(dtype_name)
    tied, layers = sum(which) % 2 == 0, 2 + sum(which) % 3
    dtype = DTYPES[dtype_name]
    tokenizer = make_tokenizer()
    torch.manual_seed(100 + 10 * which[0] + which[1])
    config = make_config(architecture, tied, layers, len(tokenizer))
    model = transformers.AutoModelForCausalLM.from_config(config).to(dtype)
    names = [name for name in model.state_dict() if not (tied and name == "lm_head.weight")]
    random = {name: model.state_dict()[name] for name in names}
    folders = {}
    for role, weights in make_role_weights(random).items():
        folder = folders[role] = Path(parent) / role
        folder.mkdir(parents=True)
        with torch.no_grad():
            for name, parameter in model.state_dict().items():
                if name in weights:
                    bits(parameter).copy_(bits(weights[name]))
        if storage == "one-file":
            model.save_pretrained(folder)
        elif storage == "four-shards":
            save_in_four(model, folder)
        else:
            save_bin(model, folder, 1 if storage == "bin" else 3)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(f"---\ntags: [tiny]\n---\n# {role}, a tiny {architecture}\n")
    return Family(folders, tied, layers)
