#!/usr/bin/env python3
"""Times `suture analyze --spectrum` beside full decompositions with torch, tensor by tensor.

Two jobs on the same matrices: a stored vector, of which only D is decomposed; and the difference of two models, whose
measures need the base W and W + D as well. The script calls torch.linalg.svd for D and W and svdvals for W + D, and
prints the first values; it measures nothing else. Both are whole processes, in turn, with the same number of threads.
"""

import argparse
import json
import os
import re
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
MARKERS = ("<!-- spectrum bench: begin -->", "<!-- spectrum bench: end -->")
RANK = 32


def decompose(options):
    """The script by hand, in a process of its own."""
    import torch
    from safetensors import safe_open
    torch.set_num_threads(options.threads)
    files = [safe_open(path, "pt") for path in options.decompose]
    for name in files[0].keys():
        if not options.only.search(name):
            continue
        tuned, *base = (file.get_tensor(name).float() for file in files)
        if tuned.dim() != 2:
            continue
        delta = tuned - base[0] if base else tuned
        values = [torch.linalg.svd(delta, full_matrices=False)[1]]
        if base:
            values += [torch.linalg.svd(base[0], full_matrices=False)[1], torch.linalg.svdvals(tuned)]
        print(name, *(found[:RANK].tolist() for found in values))


def run(command):
    """Seconds of one command by the clock and of the processors, which others on the machine lengthen less."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return {"seconds": time.perf_counter() - begin, "processor": usage.ru_utime + usage.ru_stime}


def measure(options):
    """By job, rounds of what each contender took."""
    models = options.models
    vector = ROOT / "build" / "bench" / "spectrum.safetensors"
    vector.parent.mkdir(parents=True, exist_ok=True)
    only = f're="{options.only.pattern}"'
    common = ["--spectrum", "--rank", RANK, "--threads", options.threads, "--only", only]
    script = [sys.executable, __file__, models, "--threads", options.threads, "--only", options.only.pattern, "--decompose"]
    grpo, sft = models / "grpo", models / "sft"
    run([SUTURE, "extract", grpo, sft, "--only", only, "-o", vector])
    commands = {
        "a stored vector": ([SUTURE, "analyze", vector, *common], [*script, vector]),
        "two models": ([SUTURE, "analyze", grpo, sft, *common],
                       [*script, grpo / "model.safetensors", sft / "model.safetensors"]),
    }
    rounds = {job: [] for job in commands}
    for number in range(options.runs):
        for job, (ours, theirs) in commands.items():
            rounds[job].append({"suture": run(ours), "script": run(theirs)})
            load = os.getloadavg()[0]
            print(job, rounds[job][-1], f"load {load:.1f}", flush=True)
    vector.unlink()
    return rounds


def row(job, times):
    def ratio(key):
        ratios = [pair["suture"][key] / pair["script"][key] for pair in times]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"

    def median(contender):
        return f"{statistics.median(pair[contender]['seconds'] for pair in times):.1f} s"

    return {
        "spectra of": job,
        "decomposed": "D" if job == "a stored vector" else "D, W, W + D",
        "suture": median("suture"),
        "torch script": median("script"),
        "ratio (range)": ratio("seconds"),
        "of processor time": ratio("processor"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", type=re.compile, default=re.compile(r"layers\.[0-3]\.|embed_tokens"),
                        help="tensors whose names hold this (the first four layers and the embedding)")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--decompose", nargs="+", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.decompose:
        return decompose(options)
    import torch
    rows = [row(job, times) for job, times in measure(options).items()]
    note = (f"`--rank {RANK}`, {options.threads} threads each, torch {torch.__version__}; medians of {options.runs} rounds in "
            f"turn, of whole processes. Of the 0.5 B shape, only matrices whose names hold `{options.only.pattern}`, the same for "
            "both. suture also computes every other measure of a spectrum.")
    tables.publish(rows, note, machine.in_words(machine.describe(BUILD, ROOT)), options.markdown, MARKERS)


if __name__ == "__main__":
    main()
