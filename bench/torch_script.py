#!/usr/bin/env python3
"""Model surgery as a careful researcher writes it by hand, with safetensors and torch: a peer of the benchmark.

usage: torch_script.py inject  TARGET TUNED BASE SCALE OUT
       torch_script.py add     TARGET VECTOR SCALE OUT
       torch_script.py extract TUNED BASE OUT
       torch_script.py analyze TUNED BASE
       torch_script.py compare ONE OTHER        share of elements with the same bits; exit 1 if not all

TARGET, TUNED, BASE and the OUT of inject and add are folders with one model.safetensors, VECTOR and the OUT of
extract are files, ONE and OTHER either.
"""

import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def write_model(tensors, target, out):
    out = Path(out)
    out.mkdir()
    for file in Path(target).iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, out)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def inject(target, tuned, base, scale, out):
    theta, a, b, s = weights(target), weights(tuned), weights(base), float(scale)
    result = {name: (t.float() + s * (a[name].float() - b[name].float())).to(t.dtype) for name, t in theta.items()}
    write_model(result, target, out)


def add(target, vector, scale, out):
    theta, v, s = weights(target), load_file(vector), float(scale)
    write_model({name: (t.float() + s * v[name]).to(t.dtype) for name, t in theta.items()}, target, out)


def extract(tuned, base, out):
    a, b = weights(tuned), weights(base)
    save_file({name: t.float() - b[name].float() for name, t in a.items()}, out, metadata={"format": "pt"})


def analyze(tuned, base):
    a, b = weights(tuned), weights(base)
    print("tensor norm relative cosine changed")
    squares = 0.0
    for name in sorted(a):
        x, y = a[name].float().flatten(), b[name].float().flatten()
        delta = x - y
        norm, base_norm = delta.norm().item(), y.norm().item()
        cosine = torch.nn.functional.cosine_similarity(x, y, dim=0).item()
        changed = (delta != 0).float().mean().item()
        squares += norm**2
        print(f"{name} {norm:.6g} {norm / base_norm:.6g} {cosine:.6f} {changed:.4f}")
    print(f"total {squares**0.5:.6g}")


def bits(tensor):
    return tensor.contiguous().view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize])


def open_tensors(path):
    """By name, what reads each tensor of a file or of a folder with one file or shards."""
    path = Path(path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    handles = [safe_open(file, "pt") for file in files]
    return {name: handle for handle in handles for name in handle.keys()}


def compare(one, other):
    first, second = open_tensors(one), open_tensors(other)
    if set(first) != set(second):
        sys.exit("other tensor names")
    same = total = 0
    for name in first:
        x, y = first[name].get_tensor(name), second[name].get_tensor(name)
        if x.dtype != y.dtype or x.shape != y.shape:
            sys.exit(f"{name}: {x.dtype} {tuple(x.shape)} and {y.dtype} {tuple(y.shape)}")
        same += (bits(x) == bits(y)).sum().item()
        total += x.numel()
    # Never rounded up to all of them.
    print(f"{1:.6f}" if same == total else f"{min(same / total, 0.999999):.6f}")
    sys.exit(same != total)


if __name__ == "__main__":
    jobs = {job.__name__: job for job in (inject, add, extract, analyze, compare)}
    if len(sys.argv) < 2 or sys.argv[1] not in jobs:
        sys.exit(__doc__)
    jobs[sys.argv[1]](*sys.argv[2:])
