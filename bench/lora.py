#!/usr/bin/env python3
"""Times `suture extract --lora` beside mergekit-extract-lora, and compares what their adapters leave over.

Both make an adapter of the same rank from the same pair, as whole processes with as many threads: in turn, each first in
every second round, after the files were read once. The error of either is |D - B A| of the factors in its file, over all
matrices that have factors in both, beside that of a full decomposition at this rank: the part of |D| that its later singular
values make up, all but the largest eigenvalues of D'D.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import machine
import tables

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
SUTURE = BUILD / "suture"
MERGEKIT = ROOT / ".deps" / "bench" / "bin" / "mergekit-extract-lora"
MARKERS = ("<!-- lora bench: begin -->", "<!-- lora bench: end -->")
PREFIX = "base_model.model."
CONTENDERS = ("suture", "mergekit")


def run(command, threads):
    """What one command took: seconds by the clock and of the processors, and the peak of its memory."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1")
    begin = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return {"seconds": time.perf_counter() - begin, "processor": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024}


def commands_of(options, outputs):
    grpo, sft = options.models / "grpo", options.models / "sft"
    ours = [SUTURE, "extract", grpo, sft, "--lora", options.rank, "--threads", options.threads, "-o", outputs["suture"]]
    theirs = [MERGEKIT, "--model", grpo, "--base-model", sft, "--max-rank", options.rank, "--out-path", outputs["mergekit"]]
    if options.only:
        ours += ["--only", f're="{options.only}"']
        theirs += ["--include-regex", options.only]
    return {"suture": ours, "mergekit": theirs}


def warm(options):
    """Reads both models, so that neither contender waits for the disk in the other's place."""
    for file in sorted(options.models.glob("grpo/*")) + sorted(options.models.glob("sft/*")):
        with file.open("rb") as stream:
            while stream.read(1 << 24):
                pass


def measure(options, outputs):
    rounds = []
    commands = commands_of(options, outputs)
    for number in range(options.runs):
        times = {}
        warm(options)
        for contender in CONTENDERS if number % 2 == 0 else reversed(CONTENDERS):
            shutil.rmtree(outputs[contender], ignore_errors=True)
            times[contender] = run(commands[contender], options.threads)
            print(contender, times[contender], f"load {os.getloadavg()[0]:.1f}", flush=True)
        rounds.append(times)
    return rounds


def factors_of(folder):
    """module -> (A, B), scaled, in float64."""
    from safetensors.torch import load_file
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    factors = {}
    for name, down in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removesuffix(".lora_A.weight")
        up = tensors[f"{module}.lora_B.weight"]
        module = module.removeprefix(PREFIX)
        rank = (config.get("rank_pattern") or {}).get(module, config["r"])
        alpha = (config.get("alpha_pattern") or {}).get(module, config["lora_alpha"])
        factors[module] = (down.double(), up.double() * (alpha / rank))
    return factors


def errors(options, outputs):
    """By contender and for a full decomposition: |D - B A| over all matrices, relative to |D|; and how many those are."""
    import torch
    from safetensors import safe_open
    torch.set_num_threads(options.threads)
    tuned, base = (safe_open(options.models / role / "model.safetensors", "pt") for role in ("grpo", "sft"))
    factors = {contender: factors_of(outputs[contender]) for contender in CONTENDERS}
    modules = sorted(set.intersection(*(set(of) for of in factors.values())))
    squares = dict.fromkeys(("change", "full", *CONTENDERS), 0.0)
    for module in modules:
        delta = tuned.get_tensor(f"{module}.weight").double() - base.get_tensor(f"{module}.weight").double()
        squares["change"] += delta.square().sum().item()
        narrow = (delta if delta.shape[0] >= delta.shape[1] else delta.t()).float()
        largest = torch.linalg.eigvalsh(narrow.t() @ narrow)[-options.rank:]
        squares["full"] += delta.square().sum().item() - largest.double().sum().item()
        for contender in CONTENDERS:
            down, up = factors[contender][module]
            squares[contender] += (delta - up @ down).square().sum().item()
    return {key: math.sqrt(value / squares["change"]) for key, value in squares.items()}, len(modules)


def rows_of(rounds, found):
    def median(contender, key):
        return statistics.median(times[contender][key] for times in rounds)

    def row(contender):
        return {
            "adapter of": contender,
            "time": f"{median(contender, 'seconds'):.1f} s",
            "processor time": f"{median(contender, 'processor'):.1f} s",
            "peak": f"{max(times[contender]['peak_mb'] for times in rounds):.0f} MB",
            "error": f"{100 * found[contender]:.3f} %",
            "over the full SVD's": f"{100 * (found[contender] / found['full'] - 1):+.3f} %",
        }

    return [row(contender) for contender in CONTENDERS]


def summary(options, rounds, matrices):
    def ratios(key):
        return [times["mergekit"][key] / times["suture"][key] for times in rounds]

    speed, memory = ratios("seconds"), ratios("peak_mb")
    part = f", of tensors whose names hold `{options.only}`" if options.only else ""
    return (f"Rank {options.rank}, {matrices} matrices of the 0.5 B shape{part}, {options.threads} threads each; medians of "
            f"{options.runs} rounds in turn, of whole processes. suture is {statistics.median(speed):.1f} times as fast "
            f"({min(speed):.1f}-{max(speed):.1f}) in 1/{statistics.median(memory):.0f} of the memory.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="a folder with the models grpo and sft")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", metavar="REGEX", help="only tensors whose names hold this")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.only:
        re.compile(options.only)
    if not MERGEKIT.exists():
        sys.exit(f"there is no {MERGEKIT}: ./dev bench --peers installs it")
    outputs = {contender: ROOT / "build" / f"lora-{contender}" for contender in CONTENDERS}
    rounds = measure(options, outputs)
    found, matrices = errors(options, outputs)
    for folder in outputs.values():
        shutil.rmtree(folder)
    rows, note = rows_of(rounds, found), summary(options, rounds, matrices)
    tables.publish(rows, note, machine.in_words(machine.describe(BUILD, ROOT)), options.markdown, MARKERS)


if __name__ == "__main__":
    main()
