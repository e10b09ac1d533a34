#!/usr/bin/env bash
# The table of Reasoning Vectors (arXiv 2509.01363) on a family that `miniature` trained, with suture's own commands.
#
#   paper.sh FAMILY OUT
#
# SUTURE names the program (build/release/suture). What is in OUT already is gone on with.
set -euo pipefail
family=${1:?a folder that miniature wrote} out=${2:?a folder for the results}
suture=${SUTURE:-$(dirname "${BASH_SOURCE[0]}")/../../build/release/suture}
mkdir -p "$out"

with_tasks() {  # NAME...: --task FILE...
  local name
  for name in "$@"; do printf '%s\n' --task "$family/tasks/$name.jsonl"; done
}
# Sums that the vector was trained on, the same asked to think step by step, sums that it never saw, and other skills.
readarray -t all < <(with_tasks sums sums-steps sums-asked differences letter-sums reverse largest shift)
readarray -t layer_tasks < <(with_tasks sums sums-steps sums-choice)
# Models this small gain nothing from a second thread.
run() { "$suture" "$@" --threads 1 --quiet; }
chat() { run "$@" --apply-chat-template; }

# v = GRPO - SFT, and a second skill's vector.
"$suture" check "$family/grpo" "$family/sft" "$family/instruct"
[ -e "$out/v.safetensors" ] || "$suture" extract "$family/grpo" "$family/sft" -o "$out/v.safetensors"
[ -e "$out/w.safetensors" ] || "$suture" extract "$family/shift" "$family/base" -o "$out/w.safetensors"

# The target alone, with v at several scales, and without v.
chat sweep "$family/instruct" "$out/v.safetensors" --scales -1.5,-1,0.25,0.5,0.75,1,1.25 --no-controls "${all[@]}" \
  -o "$out/scales"
# Random vectors of v's norms, and its layers in another order.
chat ablate "$family/instruct" "$out/v.safetensors" --design none "${all[@]}" -o "$out/controls"
# The second skill alone, and both at once.
chat sweep "$family/instruct" "$out/w.safetensors" --scales 1 --no-controls "${all[@]}" -o "$out/second"
chat sweep "$family/instruct" "$out/v.safetensors" "$out/w.safetensors" --scales 1 --no-controls "${all[@]}" -o "$out/both"
# A target that has the skill as a habit: the base, with plain prompts.
run sweep "$family/base" "$out/v.safetensors" --scales -1 --no-controls "${all[@]}" -o "$out/base"
# Which layers carry it.
chat ablate "$family/instruct" "$out/v.safetensors" --design leave-one-out,only-one,bottom-up --by layer,block \
  --no-controls "${layer_tasks[@]}" -o "$out/layers"
