"""lm-evaluation-harness on `suture serve`, and on the same model with its own `hf`: the same figures from both."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from conftest import SUTURE
from families import make_config, make_tokenizer

HARNESS = Path(os.environ.get("SUTURE_HARNESS") or Path(__file__).parents[2] / ".deps/harness/bin/python")
TOLERANCE = 1e-3

pytestmark = pytest.mark.skipif(not HARNESS.exists(), reason=f"there is no {HARNESS} with lm-eval")

WORDS = "adding and subtracting what the training added two are four".split()

TASKS = {
    "choice": """
task: choice
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
""",
    "write": """
task: write
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["d"], max_gen_toks: 12, do_sample: false, temperature: 0}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
    "rolling": """
task: rolling
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - {metric: word_perplexity}
  - {metric: byte_perplexity}
""",
}

# What runs inside the environment that has lm-eval: a model's name and arguments in, figures and answers out.
EVALUATE = """
import json, sys
import lm_eval
from lm_eval.tasks import TaskManager
model, model_args, folder, out = sys.argv[1:]
model_args = json.loads(model_args)
batch_size = model_args.pop("batch_size")
done = lm_eval.simple_evaluate(
    model=model, model_args=model_args, tasks=["choice", "write", "rolling"], log_samples=True,
    batch_size=batch_size,
    task_manager=TaskManager(include_path=folder, include_defaults=False), bootstrap_iters=0)
samples = {task: [s["filtered_resps"] for s in sorted(rows, key=lambda s: s["doc_id"])]
           for task, rows in done["samples"].items()}
json.dump({"results": done["results"], "samples": samples}, open(out, "w"), default=str)
"""


def sentence(start, length):
    return " ".join(WORDS[(start * 7 + i * (start + 3)) % len(WORDS)] for i in range(length))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    config = make_config("qwen2", True, 2, len(tokenizer))
    made = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in made.parameters():  # far enough from uniform for answers to differ
            weight.mul_(6)
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    records = {
        "choice": [{"question": sentence(i, 5), "choices": [sentence(i + j, 1 + j) for j in range(4)], "gold": i % 4}
                   for i in range(24)],
        "write": [{"question": sentence(i, 4), "answer": sentence(i, 2)} for i in range(8)],
        "rolling": [{"text": sentence(i, 5 + 40 * (i % 2))} for i in range(6)],  # some longer than the model
    }
    for name, rows in records.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        source = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n"
        (folder / f"{name}.yaml").write_text(TASKS[name].strip() + "\n" + source)
    return folder


@pytest.fixture(scope="module")
def served(model):
    """The address of `suture serve` on the model."""
    server = subprocess.Popen([SUTURE, "serve", str(model), "--port", "0", "--threads", "1"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    address = server.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address), server.communicate()[1]
    yield address
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)
    assert server.returncode == 128 + signal.SIGTERM


@pytest.fixture(scope="module")
def evaluate(tasks, tmp_path_factory):
    """evaluate(kind, **model_args): results and answers by task."""

    def run(kind, /, **model_args):
        out = tmp_path_factory.mktemp("results") / "out.json"
        environment = dict(os.environ, HF_DATASETS_OFFLINE="1", HF_HOME=str(out.parent / "cache"), OPENAI_API_KEY="",
                           OMP_NUM_THREADS="1")
        done = subprocess.run([HARNESS, "-c", EVALUATE, kind, json.dumps(model_args), tasks, out], env=environment,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(out.read_text())

    return run


@pytest.fixture(scope="module")
def by_transformers(evaluate, model):
    return evaluate("hf", pretrained=str(model), dtype="float32", device="cpu", max_length=127, batch_size=1)


@pytest.fixture(scope="module", params=[1, 4], ids=["one-by-one", "batches"])
def by_suture(request, evaluate, model, served):
    # Of max_length, local-completions keeps one token free for the generated one, and rolling windows another: so
    # `hf` is given one less than the model takes.
    return evaluate("local-completions", model=str(model), base_url=served + "/v1/completions",
                    tokenizer_backend="huggingface", tokenized_requests=True, max_length=129, max_retries=1,
                    batch_size=request.param)


def figures(results, task):
    return {name: value for name, value in results["results"][task].items()
            if isinstance(value, float) and "stderr" not in name}


def test_multiple_choice(by_suture, by_transformers):
    assert figures(by_suture, "choice") == figures(by_transformers, "choice")
    for ours, theirs in zip(by_suture["samples"]["choice"], by_transformers["samples"]["choice"], strict=True):
        for (our_sum, our_greedy), (their_sum, their_greedy) in zip(ours, theirs, strict=True):
            assert float(our_sum) == pytest.approx(float(their_sum), abs=TOLERANCE)
            assert str(our_greedy) == str(their_greedy)


def test_generation(by_suture, by_transformers):
    assert figures(by_suture, "write") == figures(by_transformers, "write")
    assert by_suture["samples"]["write"] == by_transformers["samples"]["write"]
    assert len({str(answer) for answer in by_suture["samples"]["write"]}) > 2


def test_rolling(by_suture, by_transformers):
    ours, theirs = figures(by_suture, "rolling"), figures(by_transformers, "rolling")
    assert ours.keys() == theirs.keys() and ours
    for ours_one, theirs_one in zip(by_suture["samples"]["rolling"], by_transformers["samples"]["rolling"], strict=True):
        assert float(ours_one[0]) == pytest.approx(float(theirs_one[0]), abs=TOLERANCE)
    for name in ours:
        assert ours[name] == pytest.approx(theirs[name], rel=TOLERANCE)
