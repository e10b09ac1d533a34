#!/usr/bin/env python3
"""Times whole commands against moving the same bytes, in turn, and prints medians, ratios and peak memory.

usage: run.py [--size 0.5b|1.5b] [--runs N] [--models FOLDER] [--kernels]

The yardstick is `cat` of a command's inputs to nowhere plus `cp` of its output, in the same run with the same
cache. Runs alternate, so that a drift of the machine's speed falls on both.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"


def run(command):
    """Seconds and peak resident megabytes of one command."""
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors}")
    return seconds, usage.ru_maxrss / 1024


def cat(files):
    return run(["sh", "-c", 'cat "$@" >/dev/null', "cat", *files])[0]


def cp(source, destination):
    Path(destination).unlink(missing_ok=True)
    return run(["cp", source, destination])[0]


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
    Path(path).unlink(missing_ok=True)


class Job:
    """One command, what it reads, and a file as large as what it writes."""

    def __init__(self, name, command, inputs, output_like=None, output=None):
        self.name, self.command, self.inputs = name, command, inputs
        self.output_like, self.output = output_like, output

    def measure(self, runs, scratch):
        ours, floor, memory = [], [], 0
        for number in range(runs + 1):
            moved = cat(self.inputs) + (cp(self.output_like, scratch / "copy") if self.output_like else 0)
            if self.output:
                remove(self.output)
            seconds, megabytes = run(self.command)
            if number == 0:
                continue  # warms the cache
            ours.append(seconds)
            floor.append(moved)
            memory = max(memory, megabytes)
        ratios = [a / b for a, b in zip(ours, floor)]
        print(f"{self.name:28} {statistics.median(ours):8.2f} s {statistics.median(floor):8.2f} s "
              f"{statistics.median(ratios):7.2f} ({min(ratios):.2f}-{max(ratios):.2f}) {memory:9.0f} MB", flush=True)


def make_models(folder, size):
    if not (folder / "instruct" / "tokenizer.json").exists():
        print(f"making {size} models in {folder}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([BUILD / "demo_family", folder, size], check=True)


def jobs(models, scratch):
    suture = BUILD / "suture"
    weights = {role: models / role / "model.safetensors" for role in ("sft", "grpo", "instruct")}
    vector = scratch / "vector.safetensors"
    out = scratch / "out"
    difference = f"{models / 'grpo'} - {models / 'sft'}"
    remove(vector)
    run([suture, "extract", models / "grpo", models / "sft", "-o", vector])
    kept_vector = scratch / "kept.safetensors"
    os.replace(vector, kept_vector)
    yield Job("inject 'grpo - sft'", [suture, "inject", models / "instruct", difference, "-o", out],
              weights.values(), weights["instruct"], out)
    yield Job("inject a stored vector", [suture, "inject", models / "instruct", kept_vector, "-o", out],
              [weights["instruct"], kept_vector], weights["instruct"], out)
    yield Job("extract", [suture, "extract", models / "grpo", models / "sft", "-o", vector],
              [weights["grpo"], weights["sft"]], kept_vector, vector)
    yield Job("analyze two models", [suture, "analyze", models / "grpo", models / "sft"],
              [weights["grpo"], weights["sft"]])
    yield Job("check three models", [suture, "check", *(models / role for role in weights)], weights.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="0.5b", choices=("0.5b", "1.5b"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--models", type=Path, help="where the models are, or are made (build/bench/SIZE)")
    parser.add_argument("--kernels", action="store_true", help="the kernels alone")
    options = parser.parse_args()
    if options.kernels:
        sys.exit(subprocess.run([BUILD / "bench" / "kernels_bench"]).returncode)

    models = options.models or ROOT / "build" / "bench" / options.size
    make_models(models, options.size)
    scratch = models / "scratch"
    scratch.mkdir(exist_ok=True)
    empty, empty_memory = min(run([BUILD / "suture", "--version"]) for _ in range(3))
    print(f"{os.cpu_count()} cores; `suture --version` (LibTorch's start): {empty:.2f} s, {empty_memory:.0f} MB; "
          f"medians of {options.runs} paired runs, warm cache")
    print(f"{'':28} {'suture':>10} {'cat + cp':>10} {'ratio':>7} {'(range)':>11} {'peak memory':>12}")
    for job in jobs(models, scratch):
        job.measure(options.runs, scratch)
    remove(scratch)


if __name__ == "__main__":
    main()
