#!/usr/bin/env python3
"""The tables of the miniature's README, from what paper.sh wrote for one family or several.

usage: table.py OUT...
"""

import json
import sys
from pathlib import Path

COLUMNS = {  # heading -> task
    "sums right": "sums",
    "with steps": "sums-steps",
    "right, asked": "sums-asked",
    "letter sums right": "letter-sums",
    "with steps ": "letter-sums-steps",
    "reverse": "reverse",
    "largest": "largest",
    "shift": "shift",
}
ROWS = [  # label, result folder, arms
    ("target", "scales", ["target"]),
    ("target − v", "scales", ["scale=-1"]),
    ("target − 0.5 v", "scales", ["scale=-0.5"]),
    ("target + 0.25 v", "scales", ["scale=0.25"]),
    ("target + 0.5 v", "scales", ["scale=0.5"]),
    ("target + 0.75 v", "scales", ["scale=0.75"]),
    ("target + v", "scales", ["scale=1"]),
    ("target + 1.5 v", "scales", ["scale=1.5"]),
    ("target + random", "controls", ["random seed=0", "random seed=1", "random seed=2"]),
    ("target + v, layers permuted", "controls", ["permuted seed=0"]),
    ("target + second", "second", ["scale=1"]),
    ("target + v + second", "both", ["scale=1"]),
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


def scores_of(folder):
    lines = ["| " + " | ".join(["", *COLUMNS]) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    results = {name: read(folder, name) for _, name, _ in ROWS}
    for label, name, arms in ROWS:
        cells = [cell(results[name], arms, task) for task in COLUMNS.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def effect(metric):
    found = metric["effect"]
    star = "*" if found["p_holm"] is not None and found["p_holm"] < 0.05 else ""
    return f"{found['difference']:+.3f}{star}"


def layers_of(folder):
    """Effects of each part on right answers and on the log-likelihood of the right one among the choices."""
    result = read(folder, "layers")
    lines = ["| arm | sums right | with steps | log-likelihood of right steps |", "| --- | ---: | ---: | ---: |"]
    for arm in result["arms"]:
        if arm["part"] is None:
            continue
        cells = [effect(next(m for m in arm["metrics"] if m["task"] == task and m["metric"] == metric))
                 for task, metric in (("sums", "exact_match"), ("sums-steps", "exact_match"),
                                      ("sums-choice", "gold_log_probability"))]
        lines.append(f"| {arm['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    for folder in map(Path, sys.argv[1:]):
        print(f"### {folder.name}\n\n{scores_of(folder)}\n\n{layers_of(folder)}\n")


if __name__ == "__main__":
    main()
