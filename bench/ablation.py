#!/usr/bin/env python3
"""Times leaving each layer of a vector out: suture's ablation, a naive loop in suture, the same loop in transformers.

All three score the same records of a choice task with the same 24 arms (of a 0.5 B-shaped model), in turn, and each
is told as a multiple of its own full evaluation times the number of layers. The naive loops put the vector without a
layer into the weights, score everything, and take it off again. transformers' changes only the two layers that
differ from the arm before, in float32, and scores as lm-evaluation-harness does: every continuation behind its whole
context, rows of like length in batches, with the head at the scored tokens alone.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import safetensors.torch
import tokenizers
import torch
import transformers

import machine
import tables

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
MARKERS = ("<!-- ablation bench: begin -->", "<!-- ablation bench: end -->")
RECORDS, CONTEXT, CHOICES = 16, 64, 2
ROWS = 16  # of a batch in transformers


def write_task(path):
    """Contexts that share nothing, of one token a byte, and choices of three more."""
    generator = random.Random(0)
    word = lambda length: "".join(generator.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(length))
    with path.open("w") as file:
        for _ in range(RECORDS):
            record = {"context": word(CONTEXT), "choices": [word(2) for _ in range(CHOICES)], "gold": 0}
            file.write(json.dumps(record) + "\n")


class Suture:
    def __init__(self, models, task, threads):
        arguments = [models / "instruct", models / "grpo", models / "sft", task, str(threads)]
        self.process = subprocess.Popen([BUILD / "bench" / "ablation_bench", *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


class Transformers:
    def __init__(self, models, task):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(models / "instruct", dtype=torch.float32).eval()
        tokenizer = tokenizers.Tokenizer.from_file(str(models / "instruct" / "tokenizer.json"))
        self.rows = []
        for line in task.read_text().splitlines():
            record = json.loads(line)
            self.rows += [tokenizer.encode(f"{record['context']} {choice}").ids for choice in record["choices"]]
        tuned, base = (safetensors.torch.load_file(models / name / "model.safetensors") for name in ("grpo", "sft"))
        self.target = {name: weight.clone() for name, weight in self.model.state_dict().items()}
        self.vector = {name: tuned[name].float() - base[name].float() for name in tuned}
        self.layers = self.model.config.num_hidden_layers

    def put(self, names, with_vector):
        weights = self.model.state_dict()
        for name in names:
            weights[name].copy_(self.target[name] + self.vector[name] if with_vector else self.target[name])

    def in_layer(self, layer):
        return [name for name in self.vector if f".layers.{layer}." in name]

    @torch.inference_mode()
    def full(self):
        scores = []
        for begin in range(0, len(self.rows), ROWS):
            batch = torch.tensor(self.rows[begin:begin + ROWS])
            logits = self.model(batch[:, :-1], logits_to_keep=3).logits.log_softmax(-1)
            scores += logits.gather(2, batch[:, -3:, None]).sum((1, 2)).tolist()
        return scores

    @torch.inference_mode()
    def naive(self):
        self.put(self.vector, True)
        for layer in range(self.layers):
            self.put(self.in_layer(layer), False)
            self.full()
            self.put(self.in_layer(layer), True)
        self.put(self.vector, False)

    def seconds(self, work):
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin


def measure(suture, peer, runs):
    rounds = []
    for number in range(runs + 1):  # the first one warms up
        times = {
            "full": float(suture.ask("full")),
            "ours": float(suture.ask("ours")),
            "naive": float(suture.ask("naive")) if number > 0 else 0,
            "peer full": peer.seconds(peer.full),
            "peer": peer.seconds(peer.naive) if number > 0 else 0,
        }
        if number > 0:
            rounds.append(times)
            print({name: round(value, 2) for name, value in times.items()}, suture.ask("digest"), flush=True)
    return rounds


def rows_of(rounds, layers):
    def row(name, key, full):
        ratios = [times[key] / (layers * times[full]) for times in rounds]
        against = [times["ours"] / times[key] for times in rounds]
        return {
            "leaving each layer out": name,
            "time": f"{statistics.median(times[key] for times in rounds):.1f} s",
            "full evaluations per layer": f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            "suture ablate by this": f"{statistics.median(against):.2f}",
        }
    return [row("suture ablate", "ours", "full"), row("a naive loop in suture", "naive", "full"),
            row("a naive loop in transformers", "peer", "peer full")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    task = options.models / "ablation.jsonl"
    write_task(task)
    suture, peer = Suture(options.models, task, cores), Transformers(options.models, task)
    rows = rows_of(measure(suture, peer, options.runs), peer.layers)
    note = (f"{peer.layers} layers, float32, {cores} threads each, transformers {transformers.__version__} on torch "
            f"{torch.__version__}; medians of {options.runs} rounds in turn. {RECORDS} records of {CONTEXT} tokens that share "
            f"nothing, with {CHOICES} continuations of 3 tokens. suture's naive loop and its ablation gave the "
            f"{suture.ask('digest')} margins, bit for bit.")
    tables.publish(rows, note, machine.in_words(machine.describe(BUILD, ROOT)), options.markdown, MARKERS)


if __name__ == "__main__":
    main()
