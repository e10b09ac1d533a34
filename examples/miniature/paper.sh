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

tasks() {
  local name
  for name in "$@"; do printf '%s\n' --task "$family/tasks/$name.jsonl"; done
}
readarray -t skill_tasks < <(tasks sums sums-steps sums-asked sums-asked-steps letter-sums letter-sums-steps)
readarray -t other_tasks < <(tasks reverse largest shift)
readarray -t layer_tasks < <(tasks sums sums-steps sums-choice)
# Models this small gain nothing from a second thread.
run() { "$suture" "$@" --apply-chat-template --threads 1 --quiet; }

"$suture" check "$family/grpo" "$family/sft" "$family/instruct"
# v = GRPO - SFT, and a second skill's vector.
[ -e "$out/skill.safetensors" ] || "$suture" extract "$family/grpo" "$family/sft" -o "$out/skill.safetensors"
[ -e "$out/shift.safetensors" ] || "$suture" extract "$family/shift" "$family/base" -o "$out/shift.safetensors"

# The target, target + scale * v, target - v; the same asked to think step by step; sums that the vector never saw; what
# else the target can.
run sweep "$family/instruct" "$out/skill.safetensors" --scales -1,-0.5,0.25,0.5,0.75,1,1.5 --no-controls \
  "${skill_tasks[@]}" "${other_tasks[@]}" -o "$out/scales"
# Random vectors of the same norms, and the layers in another order, at scale 1.
run ablate "$family/instruct" "$out/skill.safetensors" --design none "${skill_tasks[@]}" "${other_tasks[@]}" \
  -o "$out/controls"
# Both skills at once, and the second alone.
run sweep "$family/instruct" "$out/skill.safetensors" "$out/shift.safetensors" --scales 1 --no-controls \
  "${skill_tasks[@]}" "${other_tasks[@]}" -o "$out/both"
run sweep "$family/instruct" "$out/shift.safetensors" --scales 1 --no-controls "${skill_tasks[@]}" "${other_tasks[@]}" \
  -o "$out/second"
# Which layers carry it.
run ablate "$family/instruct" "$out/skill.safetensors" --design leave-one-out,only-one,bottom-up --by layer,block \
  "${layer_tasks[@]}" -o "$out/layers"
