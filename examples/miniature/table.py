#!/usr/bin/env python3
"""The tables of the miniature's README, from what paper.sh wrote for one family or several.

usage: table.py OUT...      of seed 0, seed 1, ...
"""

import json
import sys
from pathlib import Path

COLUMNS = {  # heading -> task
    "sums": "sums",
    "with steps": "sums-steps",
    "sums, asked": "sums-asked",
    "differences": "differences",
    "letter sums": "letter-sums",
    "reversals": "reverse",
    "largest": "largest",
    "shifted": "shift",
}
RANDOM = ["random seed=0", "random seed=1", "random seed=2"]
ROWS = [  # label, result folder, arms
    ("target", "scales", ["target"]),
    ("+ 0.25 v", "scales", ["scale=0.25"]),
    ("+ 0.5 v", "scales", ["scale=0.5"]),
    ("+ 0.75 v", "scales", ["scale=0.75"]),
    ("**+ v**", "scales", ["scale=1"]),
    ("+ 1.25 v", "scales", ["scale=1.25"]),
    ("− v", "scales", ["scale=-1"]),
    ("− 1.5 v", "scales", ["scale=-1.5"]),
    ("+ random, three seeds", "controls", RANDOM),
    ("+ v, layers permuted", "controls", ["permuted seed=0"]),
    ("+ w", "second", ["scale=1"]),
    ("+ v + w", "both", ["scale=1"]),
    ("`base`, plain", "base", ["target"]),
    ("`base` − v, plain", "base", ["scale=-1"]),
]


def read(folder, name):
    return json.loads((folder / name / "results.json").read_text())


def score(result, arm, task):
    """The task's right-or-wrong score."""
    found = next(one for one in result["arms"] if one["name"] == arm)
    return next(m["value"] for m in found["metrics"] if m["task"] == task and m["is_share"])


def cell(result, arms, task):
    scores = [score(result, arm, task) for arm in arms]
    low, high = f"{min(scores):.3f}", f"{max(scores):.3f}"
    return low if low == high else f"{low} to {high}"


def scores_of(folders):
    lines = ["| seed | model | " + " | ".join(COLUMNS) + " |", "| --- | --- |" + " ---: |" * len(COLUMNS)]
    for seed, folder in enumerate(folders):
        results = {name: read(folder, name) for name in {name for _, name, _ in ROWS}}
        for label, name, arms in ROWS:
            cells = [cell(results[name], arms, task) for task in COLUMNS.values()]
            lines.append(f"| {seed} | {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def effect(arm, task, metric):
    found = next(m["effect"] for m in arm["metrics"] if m["task"] == task and m["metric"] == metric)
    return f"{found['difference']:+.3f}" + ("*" if found["p_holm"] < 0.05 else "")


def layers_of(folders):
    """Effects of each part on right sums, and on the log-likelihood of the right steps among the choices."""
    seeds = range(len(folders))
    lines = ["| arm | " + " | ".join(f"seed {seed}: sums | log-likelihood" for seed in seeds) + " |",
             "| --- |" + " ---: | ---: |" * len(folders)]
    results = [read(folder, "layers")["arms"] for folder in folders]
    for arms in zip(*results):
        if arms[0]["part"] is None:
            continue
        cells = [effect(arm, *measure) for arm in arms
                 for measure in (("sums", "exact_match"), ("sums-choice", "gold_log_probability"))]
        lines.append(f"| {arms[0]['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    folders = [Path(argument) for argument in sys.argv[1:]]
    print(f"{scores_of(folders)}\n\n{layers_of(folders)}")


if __name__ == "__main__":
    main()
