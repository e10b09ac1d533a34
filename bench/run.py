#!/usr/bin/env python3
"""Times whole commands against moving the same bytes and, with --peers, against others who do the same work.

The yardstick is `cat` of a command's inputs to nowhere plus `cp` of its output, in the same run with the same
cache. All contenders take turns, so that a drift of the machine's speed falls on every one; the first round
warms the cache and is not counted. Peers are a script by hand on safetensors and torch (torch_script.py) and
mergekit. Models of 0.5b and 1.5b are random. Those of 7b are files with holes, which read as zeros: one run of
suture each, for its peak memory alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import machine
import tables
from tables import FLOOR, MERGEKIT, OURS, SCRIPT

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
SUTURE = BUILD / "suture"
PARITY_PYTHON = ROOT / ".deps" / "parity" / "bin" / "python"
PEER_PYTHON = ROOT / ".deps" / "bench" / "bin" / "python"
MERGEKIT_PROGRAM = PEER_PYTHON.with_name("mergekit-yaml")
SIZES = ("0.5b", "1.5b", "7b")
WITH_HOLES = ("7b",)
SCALE = 0.8
RESERVED_BYTES = 2_000_000_000  # of disk, that others may want meanwhile
JOBS = ("inject", "stored", "extract", "analyze", "check", "language", "ablation", "spectrum", "lora")
IN_PYTHON = ("language", "ablation", "spectrum", "lora")  # beside transformers or torch, each in its own script
LANGUAGE_SIZE = "0.5b"


def run(command):
    """Seconds and peak resident megabytes of one command, which must succeed."""
    environment = dict(os.environ, HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=environment)
    errors = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - start
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors[-4000:]}")
    return {"seconds": took, "peak_mb": usage.ru_maxrss / 1024}


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
    Path(path).unlink(missing_ok=True)


def move_bytes(inputs, output_like, scratch):
    moved = run(["sh", "-c", 'cat "$@" >/dev/null', "cat", *inputs])
    if output_like:
        copy = scratch / "copy"
        moved["seconds"] += run(["cp", "--sparse=never", output_like, copy])["seconds"]
        remove(copy)
    return moved


@dataclass
class Command:
    """What a contender runs for a job, and what that leaves."""
    arguments: list
    output: Path | None = None


@dataclass
class Job:
    """Work that several contenders can do."""
    name: str
    inputs: list
    commands: dict  # contender -> Command
    output_like: Callable[[], Path] | None = None  # gives a file as large as the output

    def measure_memory(self):
        command = self.commands[OURS]
        peak = run(command.arguments)["peak_mb"]
        if command.output:
            remove(command.output)
        return {"job": self.name, "runs": [{OURS: {"peak_mb": peak}}], "same_bits": {}}

    def measure(self, contenders, runs, scratch):
        contenders = [contender for contender in contenders if contender in self.commands]
        output_like = self.output_like() if self.output_like else None
        rounds, same_bits = [], {}
        for number in range(runs + 1):
            times = {FLOOR: move_bytes(self.inputs, output_like, scratch)}
            for contender in contenders:
                output = self.commands[contender].output
                times[contender] = run(self.commands[contender].arguments)
                if output and number == 0 and len(contenders) > 1:
                    compare(contender, output, scratch / "ours", same_bits)
                if output:
                    remove(output)
            if number > 0:
                rounds.append(times)
            remove(scratch / "ours")
        return {"job": self.name, "runs": rounds, "same_bits": same_bits}


def compare(contender, output, ours, same_bits):
    """Keeps what suture wrote, then notes in how many elements a peer's output has its bits."""
    if contender == OURS:
        os.replace(output, ours)
        return
    done = subprocess.run([PEER_PYTHON, ROOT / "bench" / "torch_script.py", "compare", ours, output],
                          capture_output=True, text=True)
    same_bits[contender] = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]


def make_models(folder, size):
    if not (folder / "instruct" / "tokenizer.json").exists():
        print(f"making {size} models in {folder}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([BUILD / "bench" / "random_family", folder, size], check=True)


def disk_needed(job, models, has_peers, has_floor):
    """Bytes that a job's outputs and the files beside them take at once: a vector is twice a model of bf16."""
    model = (models / "instruct" / "model.safetensors").stat().st_size
    output = {"inject": 1, "stored": 1, "extract": 2}.get(job, 0)
    vector = 2 if job == "stored" or (job == "extract" and has_floor) else 0
    return (vector + output + (output if has_peers else 0)) * model


def linear_recipe(path, weights, out_dtype):
    """A recipe of mergekit: the sum of weight * model, computed in float32."""
    models = "".join(f"  - model: {model}\n    parameters:\n      weight: {weight}\n" for model, weight in weights)
    path.write_text(f"merge_method: linear\nmodels:\n{models}parameters:\n  normalize: false\n"
                    f"dtype: float32\nout_dtype: {out_dtype}\n")
    return path


def make_jobs(models, scratch):
    """What makes each job, by the name that --jobs takes."""
    role = {name: models / name for name in ("sft", "grpo", "instruct")}
    weights = {name: folder / "model.safetensors" for name, folder in role.items()}
    out, vector, new_vector = scratch / "out", scratch / "vector.safetensors", scratch / "new.safetensors"
    script = [PEER_PYTHON, ROOT / "bench" / "torch_script.py"]
    add = linear_recipe(scratch / "add.yaml", [(role["instruct"], 1), (role["grpo"], SCALE), (role["sft"], -SCALE)],
                        "bfloat16")
    subtract = linear_recipe(scratch / "subtract.yaml", [(role["grpo"], 1), (role["sft"], -1)], "float32")

    def inject():
        difference = f"{role['grpo']} - {role['sft']}@{SCALE}"
        return Job("inject 'grpo - sft'", list(weights.values()), {
            OURS: Command([SUTURE, "inject", role["instruct"], difference, "-o", out], out),
            SCRIPT: Command([*script, "inject", role["instruct"], role["grpo"], role["sft"], SCALE, out], out),
            MERGEKIT: Command([MERGEKIT_PROGRAM, add, out, "--quiet"], out),
        }, lambda: weights["instruct"])

    def inject_stored():
        return Job("inject a stored vector", [weights["instruct"], stored_vector(role, vector)], {
            OURS: Command([SUTURE, "inject", role["instruct"], f"{vector}@{SCALE}", "-o", out], out),
            SCRIPT: Command([*script, "add", role["instruct"], vector, SCALE, out], out),
        }, lambda: weights["instruct"])

    def extract():
        return Job("extract", [weights["grpo"], weights["sft"]], {
            OURS: Command([SUTURE, "extract", role["grpo"], role["sft"], "-o", new_vector], new_vector),
            SCRIPT: Command([*script, "extract", role["grpo"], role["sft"], new_vector], new_vector),
            MERGEKIT: Command([MERGEKIT_PROGRAM, subtract, out, "--quiet"], out),
        }, lambda: stored_vector(role, vector))

    def analyze():
        return Job("analyze two models", [weights["grpo"], weights["sft"]], {
            OURS: Command([SUTURE, "analyze", role["grpo"], role["sft"]]),
            SCRIPT: Command([*script, "analyze", role["grpo"], role["sft"]]),
        })

    def check():
        return Job("check three models", list(weights.values()), {OURS: Command([SUTURE, "check", *role.values()])})

    return {"inject": inject, "stored": inject_stored, "extract": extract, "analyze": analyze, "check": check}


def stored_vector(role, vector):
    if not vector.exists():
        run([SUTURE, "extract", role["grpo"], role["sft"], "-o", vector])
    return vector


def contenders_for(size, options):
    if not options.peers or size in WITH_HOLES:
        return [OURS]
    installed = {SCRIPT: PEER_PYTHON, MERGEKIT: MERGEKIT_PROGRAM}
    for peer, program in installed.items():
        if not program.exists():
            print(f"left out: {peer}; `./dev bench --peers` installs it", flush=True)
    return [OURS] + [peer for peer, program in installed.items() if program.exists()]


def measure_size(size, options):
    models = options.models or ROOT / "build" / "bench" / size
    make_models(models, size)
    scratch = ROOT / "build" / "bench" / "scratch"
    remove(scratch)
    scratch.mkdir(parents=True)
    contenders, jobs, results = contenders_for(size, options), make_jobs(models, scratch), []
    for name in options.jobs:
        needed = disk_needed(name, models, len(contenders) > 1, size not in WITH_HOLES)
        free = shutil.disk_usage(scratch).free
        if needed + RESERVED_BYTES > free:
            print(f"left out: {name} at {size}: {needed / 1e9:.0f} GB of disk needed, {free / 1e9:.0f} GB free", flush=True)
            continue
        job = jobs[name]()
        measured = job.measure_memory() if size in WITH_HOLES else job.measure(contenders, options.runs, scratch)
        result = {"size": size, **measured}
        results.append(result)
        print(tables.as_text([tables.cells(result)]), end="", flush=True)
        for peer, share in result["same_bits"].items():
            print(f"  {peer}: share of elements with the bits that suture writes: {share}", flush=True)
    remove(scratch)
    return results


def measure_beside_python(job, options):
    """Running or ablating a model or decomposing its matrices beside the Python packages of the parity tests."""
    if not PARITY_PYTHON.exists():
        print(f"left out: {job}, whose Python packages could not be installed", flush=True)
        return
    if job == "lora" and not MERGEKIT_PROGRAM.exists():
        print("left out: lora, whose peer --peers installs", flush=True)
        return
    models = options.models or ROOT / "build" / "bench" / LANGUAGE_SIZE
    make_models(models, LANGUAGE_SIZE)
    given = models / "base" if job == "language" else models
    command = [PARITY_PYTHON, ROOT / "bench" / f"{job}.py", given, "--runs", options.runs]
    command += ["--markdown", options.markdown] if options.markdown else []
    print(f"\n{job} with a model of {LANGUAGE_SIZE}", flush=True)
    subprocess.run([str(part) for part in command], check=True)


def notes(options):
    """What must be known to read the table."""
    text = (f"Medians of {options.runs} rounds with a warm cache. MB are 2^20 bytes of resident memory at the peak; "
            f"{options.empty['peak_mb']:.0f} MB are what this script itself leaves in every figure.")
    if set(options.sizes) & set(WITH_HOLES):
        text += " Models of 7b are files with holes, which read as zeros: they show memory, and no times."
    return text


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     prog="./dev bench")
    parser.add_argument("--sizes", "--size", default="0.5b", help=f"of {', '.join(SIZES)}, with commas (0.5b)")
    parser.add_argument("--jobs", default=",".join(JOBS), help=f"of {', '.join(JOBS)} (all)")
    parser.add_argument("--runs", type=int, default=5, help="rounds that are counted (5)")
    parser.add_argument("--peers", action="store_true", help="install and time the script by hand and mergekit too")
    parser.add_argument("--models", type=Path, help="where the models are, or are made (build/bench/SIZE)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single run")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table between its markers, as in docs/performance.md")
    parser.add_argument("--kernels", action="store_true", help="the kernels alone")
    options = parser.parse_args()
    options.sizes, options.jobs = options.sizes.split(","), options.jobs.split(",")
    for value, known in ((options.sizes, SIZES), (options.jobs, JOBS)):
        for name in value:
            if name not in known:
                parser.error(f"'{name}' is none of {', '.join(known)}")
    if options.runs < 1:
        parser.error("--runs wants at least 1")
    if options.markdown:  # told before the work
        tables.replace_block(options.markdown.read_text(), "")
    return options


def main():
    options = parse_options()
    if options.kernels:
        sys.exit(subprocess.run([BUILD / "bench" / "kernels_bench"]).returncode)
    options.empty = min((run([SUTURE, "--version"]) for _ in range(5)), key=lambda empty: empty["seconds"])
    ground = machine.describe(BUILD, ROOT)
    print(machine.in_words(ground))
    in_python = [job for job in options.jobs if job in IN_PYTHON]
    options.jobs = [job for job in options.jobs if job not in IN_PYTHON]
    if options.jobs:
        measure_files(options, ground)
    for job in in_python:
        measure_beside_python(job, options)


def measure_files(options, ground):
    results = [result for size in options.sizes for result in measure_size(size, options)]
    if not results:
        sys.exit("nothing was measured")
    rows = [tables.cells(result) for result in results]
    print(f"\n{tables.as_text(rows)}\n{notes(options)}")
    if options.json:
        written = {"machine": ground, "empty": options.empty, "scale": SCALE, "results": results}
        options.json.write_text(json.dumps(written, indent=2) + "\n")
    if options.markdown:
        block = f"{machine.in_words(ground)}.\n\n{tables.as_markdown(rows)}\n{notes(options)}"
        options.markdown.write_text(tables.replace_block(options.markdown.read_text(), block))


if __name__ == "__main__":
    main()
