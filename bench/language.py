#!/usr/bin/env python3
"""Times running a model in suture beside transformers, both in float32 on the same model and tokens, in turn.

Both hold the model while they are timed. transformers converts it to float32 as it loads; suture keeps it as it is
stored and widens weights as they are used. Choice scoring is given to transformers as lm-evaluation-harness does it,
every continuation behind its whole context, longest rows in batches, but with the head at the scored tokens alone.
"""

import argparse
import os
import statistics
import subprocess
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import torch
import transformers

import machine
import tables

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
MARKERS = ("<!-- language bench: begin -->", "<!-- language bench: end -->")
RECORDS, CONTEXT, OWN, CHOICES, LENGTH = 64, 64, 8, 2, 3
PROMPT, NEW_TOKENS, PREFILL = 16, 64, 512
ROWS = 16  # of a batch in transformers


def tokens(begin, count, vocab_size):
    """The same as model_bench's."""
    return [(i * 7919 + 13) % vocab_size for i in range(begin, begin + count)]


class Suture:
    def __init__(self, folder):
        self.process = subprocess.Popen([BUILD / "bench" / "model_bench", folder], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def measure(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        seconds, peak_mb = self.process.stdout.readline().split()
        return float(seconds), float(peak_mb)


class Transformers:
    def __init__(self, folder):
        transformers.utils.logging.disable_progress_bar()
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.vocab_size = self.model.config.vocab_size

    def measure(self, work):
        begin = time.perf_counter()
        with torch.inference_mode():
            work()
        return time.perf_counter() - begin

    def prefill(self):
        self.model(torch.tensor([tokens(0, PREFILL, self.vocab_size)]), logits_to_keep=1)

    def decode(self):
        prompt = torch.tensor([tokens(0, PROMPT, self.vocab_size)])
        self.model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, eos_token_id=None,
                            pad_token_id=0, min_new_tokens=NEW_TOKENS, max_new_tokens=NEW_TOKENS)

    def score(self):
        rows = []
        for record in range(RECORDS):
            context = tokens(0, CONTEXT - OWN, self.vocab_size) + tokens(1000 + OWN * record, OWN, self.vocab_size)
            for choice in range(CHOICES):
                begin = 10_000 + (record * CHOICES + choice) * LENGTH
                rows.append(context + tokens(begin, LENGTH, self.vocab_size))
        scores = []
        for begin in range(0, len(rows), ROWS):
            batch = torch.tensor(rows[begin:begin + ROWS])
            logits = self.model(batch[:, :-1], logits_to_keep=LENGTH).logits.log_softmax(-1)
            scores += logits.gather(2, batch[:, -LENGTH:, None]).sum((1, 2)).tolist()


def jobs(peer):
    return {
        f"prefill of {PREFILL} tokens": (f"prefill {PREFILL}", peer.prefill),
        f"{NEW_TOKENS} tokens, greedily": (f"decode {PROMPT} {NEW_TOKENS}", peer.decode),
        f"choice scoring, {RECORDS} records": (f"score {RECORDS} {CONTEXT} {CHOICES} {LENGTH}", peer.score),
    }


def measure(name, line, work, suture, peer, runs):
    rounds = []
    for number in range(runs + 1):  # the first one warms up
        ours, theirs = suture.measure(line), peer.measure(work)
        if number > 0:
            rounds.append((ours, theirs))
    ratios = [ours[0] / theirs for ours, theirs in rounds]
    return {
        "job": name,
        "suture": f"{statistics.median(ours[0] for ours, _ in rounds):.2f} s",
        "transformers": f"{statistics.median(theirs for _, theirs in rounds):.2f} s",
        "ratio (range)": f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
        "peak": f"{max(ours[1] for ours, _ in rounds):.0f} MB",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    suture, peer = Suture(options.model), Transformers(options.model)
    rows = []
    for name, (line, work) in jobs(peer).items():
        rows.append(measure(name, line, work, suture, peer, options.runs))
        print(tables.as_text(rows[-1:]).splitlines()[-1], flush=True)
    note = (f"Float32, {cores} threads each, transformers {transformers.__version__} on torch {torch.__version__}; medians "
            f"of {options.runs} rounds in turn. Greedy decoding is behind {PROMPT} tokens; scoring is of {CHOICES} continuations of "
            f"{LENGTH} tokens, whose contexts of {CONTEXT} tokens share all but the last {OWN}. The peak is suture's "
            f"whole process during the job, the model of {peer.model.num_parameters() * 2 / 2**20:.0f} MB in bf16 included.")
    tables.publish(rows, note, machine.in_words(machine.describe(BUILD, ROOT)), options.markdown, MARKERS)


if __name__ == "__main__":
    main()
