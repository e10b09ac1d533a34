"""Results as suture writes them, with made-up numbers, for pages larger or stranger than any model at hand."""

import math
import random

WIDTH, MLP, HEADS, KV_HEADS, HEAD_SIZE = 896, 4864, 14, 2, 64

HOSTILE_NAMES = [
    "model.layers.0.self_attn.</script><script>window.broken=1</script>.weight",
    "model.layers.0.mlp.\u202egnp.exe\u202c.weight",
    "model.layers.1.mlp.two\nlines.weight",
    "model.layers.1.mlp.\"quotes\" & 'more'.weight",
    "model.layers.1.mlp.<img src=x onerror=window.broken=2>.weight",
    "model.layers.1.mlp.=HYPERLINK(\"http://example.org\").weight",
    "{{data}}{{script}}",
    "x" * 3000,
]


def layout(layers):
    """(name, layer, module, block, shape) of a Qwen2-shaped model, as files have them."""
    tensors = [("model.embed_tokens.weight", None, "embed_tokens", "embedding", [151936, WIDTH])]
    for layer in range(layers):
        at = f"model.layers.{layer}."
        kv = KV_HEADS * HEAD_SIZE
        for module, rows in (("q_proj", WIDTH), ("k_proj", kv), ("v_proj", kv)):
            tensors.append((f"{at}self_attn.{module}.weight", layer, module, "attention", [rows, WIDTH]))
            tensors.append((f"{at}self_attn.{module}.bias", layer, module, "attention", [rows]))
        tensors.append((f"{at}self_attn.o_proj.weight", layer, "o_proj", "attention", [WIDTH, WIDTH]))
        for module, shape in (("gate_proj", [MLP, WIDTH]), ("up_proj", [MLP, WIDTH]), ("down_proj", [WIDTH, MLP])):
            tensors.append((f"{at}mlp.{module}.weight", layer, module, "mlp", shape))
        for module in ("input_layernorm", "post_attention_layernorm"):
            tensors.append((f"{at}{module}.weight", layer, module, "norm", [WIDTH]))
    tensors.append(("model.norm.weight", None, "norm", "norm", [WIDTH]))
    return tensors


def hostile_layout():
    tensors = layout(2)
    for name in HOSTILE_NAMES:
        parts = name.split(".")
        module = parts[-2] if len(parts) > 1 else name
        layer = int(parts[2]) if name.startswith("model.layers.") else None
        tensors.append((name, layer, module, "other", [8, 8]))
    return tensors


def row(rng, elements, *, realised):
    rms = 10 ** rng.uniform(-4.5, -3)
    changed = round(elements * rng.uniform(0.2, 0.98))
    norm = rms * math.sqrt(elements)
    base = 0.03 * math.sqrt(elements)
    counts = [0] * 48
    for i in range(18, 31):
        counts[i] = round(changed * math.exp(-((i - 27) ** 2) / 6) / 4.3)
    made = {"elements": elements, "norm": norm, "rms": rms, "max": 8 * rms, "changed": changed / elements,
            "changed_elements": changed, "base_norm": base, "relative_norm": norm / base,
            "histogram": {"first_exponent": -40, "counts": counts}}
    if realised:
        made["realised"] = {"elements": elements, "changed": 0.5, "non_finite": 0, "wanted_norm": norm,
                            "realised_norm": norm * rng.uniform(0.8, 1.05), "cosine": rng.uniform(0.6, 1)}
    return made


def spectrum(rng, norm, shape):
    rank = 32
    values = [norm * 0.4 * math.exp(-i / 9) for i in range(rank)]
    stable = norm ** 2 / values[0] ** 2
    noise = (math.sqrt(shape[0]) + math.sqrt(shape[1])) ** 2 / (shape[0] * shape[1])
    return {"rank": rank, "exact": False, "singular_values": values, "error_bound": values[-1],
            "stable_rank": {"low": 0.9 * stable, "high": stable}, "effective_rank": {"low": 21.5, "high": 300.25},
            "rank1_energy": values[0] ** 2 / norm ** 2, "rank1_energy_of_noise": noise, "unchanged_bitwise": 0.25,
            "unchanged_relative": 0.26, "realisable": 0.7, "changed_in_small_weights": 0.5,
            "changed_in_principal_weights": 0.29, "spectral_drift": rng.uniform(1e-5, 1e-3)}


def pair_row(rng):
    return {"cosine": rng.uniform(-0.4, 0.8), "both_changed": rng.randrange(100, 10000),
            "sign_agreement": rng.uniform(0.4, 0.8), "sign_agreement_by_chance": rng.uniform(0.49, 0.51)}


def pair_spectrum():
    return {"k": 8, "left_cosines": [1 - i / 9 for i in range(8)], "right_cosines": [0.9 - i / 10 for i in range(8)],
            "left_similarity": 0.4, "right_similarity": 0.3, "left_chance": 0.01, "right_chance": 0.02,
            "sign_conflict": 0.45, "sign_conflict_by_chance": 0.5, "changed_overlap": 0.3, "changed_overlap_by_chance": 0.2}


def by_level(tensors, make):
    """The levels above tensors, each a row of its own numbers."""
    layers = [*sorted({layer for _, layer, *_ in tensors if layer is not None})]
    if any(layer is None for _, layer, *_ in tensors):
        layers.append("outside")
    return {"total": make(), "layers": [{"layer": layer, **make()} for layer in layers],
            "blocks": [{"block": block, **make()} for block in dict.fromkeys(block for *_, block, _ in tensors)],
            "modules": [{"module": module, **make()} for module in dict.fromkeys(module for _, _, module, *_ in tensors)]}


def analysis(names=("grpo - sft",), layers=24, *, tensors=None, heads=True, spectra=False, realised=False, seed=1):
    rng = random.Random(seed)
    tensors = tensors or layout(layers)
    vectors = []
    for name in names:
        vector = {"name": name, **by_level(tensors, lambda: row(rng, rng.randrange(10**5, 10**7), realised=realised)), "tensors": []}
        for tensor, layer, module, block, shape in tensors:
            entry = {"name": tensor, **row(rng, math.prod(shape), realised=realised),
                     "layer": layer, "block": block, "module": module, "shape": shape}
            if heads and module in ("q_proj", "k_proj", "v_proj", "o_proj") and len(shape) == 2:
                count = KV_HEADS if module in ("k_proj", "v_proj") else HEADS
                entry["heads"] = {"along": "columns" if module == "o_proj" else "rows", "head_size": HEAD_SIZE,
                                  "norms": [rng.uniform(0.1, 0.4) for _ in range(count)], "base_norms": [rng.uniform(5, 9) for _ in range(count)]}
            if spectra and len(shape) == 2:
                entry["spectrum"] = spectrum(rng, entry["norm"], shape)
            vector["tensors"].append(entry)
        vectors.append(vector)
    pairs = []
    for i, first in enumerate(names):
        for second in names[i + 1:]:
            pair = {"first": first, "second": second, **by_level(tensors, lambda: pair_row(rng)),
                    "tensors": [{"name": tensor, **pair_row(rng)} for tensor, *_ in tensors]}
            if spectra:
                for entry, (*_, shape) in zip(pair["tensors"], tensors):
                    if len(shape) == 2:
                        entry["spectrum"] = pair_spectrum()
            pairs.append(pair)
    result = {"schema": "suture.analyze/1", "vectors": vectors, "pairs": pairs}
    if realised:
        result["target"] = {"model": "instruct"}
    return result


def effect(rng, reference, p):
    difference = rng.uniform(-0.4, 0.1)
    return {"reference_value": reference, "difference": difference, "standard_error": 0.02,
            "interval_95": [difference - 0.04, difference + 0.04], "p": p, "p_holm": min(1, 24 * p), "gained": None,
            "lost": None, "non_finite": 0, "smallest_detectable": 0.06}


def sweep(scales=(0.25, 0.5, 1)):
    """Of a sweep there are controls, and one arm for each scale."""
    result = ablation(0)
    arms = [arm for arm in result["arms"] if arm["family"] == "controls" and arm["kind"] != "vector"]
    whole = next(arm for arm in result["arms"] if arm["kind"] == "vector")
    return {**result, "arms": arms + [{**whole, "name": f"scale={scale}", "family": "scales", "scale": scale} for scale in scales]}


def ablation(layers=24, seed=2):
    rng = random.Random(seed)

    def metrics(reference, p):
        return [{"task": "sums", "metric": metric, "filter": "none", "is_share": metric == "acc", "higher_is_better": True,
                 "value": rng.uniform(-3, 0), "effect": effect(rng, -1.5, p) if reference else None, "records": [0.5, 0.25]}
                for metric in ("acc", "gold_log_probability")]

    def arm(name, kind, family, part, reference, p=0.5, seed_=None):
        return {"name": name, "kind": kind, "family": family, "part": part, "selection": "all", "scale": 1.0, "seed": seed_,
                "reference": reference, "same_weights_as": None, "realised": None, "metrics": metrics(reference, p)}

    arms = [arm("target", "target", "controls", None, None), arm("vector", "vector", "controls", None, "target", 1e-9),
            arm("negated", "negated", "controls", None, "target", 1e-9)]
    arms += [arm(f"random seed={i}", "random", "controls", None, "target", seed_=i) for i in range(3)]
    for kind in ("without", "only"):
        reference = "vector" if kind == "without" else "target"
        for layer in range(layers):
            arms.append(arm(f"{kind} layer={layer}", kind, f"{kind} layer", f"layer={layer}", reference, 1e-6 if layer % 3 == 0 else 0.4))
        arms.append(arm(f"{kind} outside the layers", kind, f"{kind} layer", "outside the layers", reference))
        for module in ("q_proj", "down_proj"):
            arms.append(arm(f"{kind} module={module}", kind, f"{kind} module", f"module={module}", reference, 1e-5))
    return {"schema": "suture.ablation/1", "protocol": {"command": "ablate", "vector": "(grpo - sft)", "model": "instruct", "dtype": "F32",
                                                        "vector_digest": "73268f1858cf7dc8d03a318ac32d9681"},
            "statistics": {"confidence": 0.95, "correction": "Holm over the family"},
            "tasks": [{"task": "sums", "version": "1", "kind": "choice", "primary_metric": "acc", "scored_records": 2}], "arms": arms}
