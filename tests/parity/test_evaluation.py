"""Scores and files against lm-evaluation-harness: the same records, the same model that is a formula."""

import json
import math
import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed; ./dev test installs it into .deps/harness")

import datasets
import jinja2
from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.loggers import evaluation_tracker
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from conftest import SUTURE

PROBE = SUTURE.parent / "evaluation_probe"
END_TOKEN = 256
CHATML = ("{%- for message in messages -%}\n{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}\n"
          "{%- endfor -%}\n{%- if add_generation_prompt -%}\n{{- '<|im_start|>assistant\\n' -}}\n{%- endif -%}")


class PseudoModel(TemplateLM):
    """The model of tests/support/pseudo_model.h."""

    def __init__(self, completions, max_length):
        super().__init__()
        self.completions, self.max_length = completions, max_length

    eot_token_id = END_TOKEN

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        return jinja2.Template(CHATML).render(messages=chat_history, add_generation_prompt=add_generation_prompt)

    def chat_template(self, chat_template=False):
        return CHATML

    tokenizer_name = "pseudo"

    def tok_encode(self, string, add_special_tokens=None, **kwargs):
        return list(string.encode())

    def _loglikelihood_tokens(self, requests, **kwargs):
        scores = []
        for _, context, continuation in requests:
            tokens = (context + continuation)[-(self.max_length + 1) :]
            values = [-((tokens[i - 1] * 31 + tokens[i] * 17 + i) % 97 + 1) / 8
                      for i in range(len(tokens) - len(continuation), len(tokens))]
            total = 0.0
            for value in values:
                total += value
            scores.append((total, all(value == -1 / 8 for value in values)))
        return scores

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        totals = []
        for request in requests:
            windows = utils.get_rolling_token_windows(self.tok_encode(request.args[0]), END_TOKEN, self.max_length, 1)
            pairs = [(None, *utils.make_disjoint_window(window)) for window in windows]
            total = 0.0
            for score, _ in self._loglikelihood_tokens(pairs):
                total += score
            totals.append(total)
        return totals

    def generate_until(self, requests, disable_tqdm=False):
        texts = []
        for request in requests:
            prompt, settings = request.args
            settings = normalize_gen_kwargs(settings)
            stops = handle_stop_sequences(settings["until"], eos="<|end|>")
            text = self.completions[prompt][: settings["max_gen_toks"]]
            texts.append(postprocess_generated_text(text, stops, None))
        return texts


def harness_run(folder, records, config, completions, max_length, **chat):
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    full = dict(task="probe", dataset_path="json", test_split="test", num_fewshot=0,
                dataset_kwargs={"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")}, **config)
    # Not simple_evaluate, which takes minutes here.
    outcome = evaluate(PseudoModel(completions, max_length), {"probe": ConfigurableTask(config=full)}, bootstrap_iters=100,
                       **chat)
    samples = outcome.pop("samples")
    tracker = evaluation_tracker.EvaluationTracker(output_path=str(folder / "harness"))
    tracker.general_config_tracker.model_name_sanitized = "m"
    tracker.save_results_aggregated(results=outcome, samples=samples)
    tracker.save_results_samples("probe", samples["probe"])
    (results,) = (folder / "harness/m").glob("results_*.json")
    (lines,) = (folder / "harness/m").glob("samples_probe_*.jsonl")
    return json.loads(results.read_text()), [json.loads(line) for line in lines.read_text().splitlines()]


def suture_run(folder, records, header, completions, max_length, chat=()):
    task, answers, out = folder / "probe.jsonl", folder / "completions.json", folder / "suture"
    out.mkdir(parents=True)
    lines = [json.dumps({"task": {"name": "probe", **header}}), *map(json.dumps, records)]
    task.write_text("\n".join(lines) + "\n")
    answers.write_text(json.dumps(completions))
    done = subprocess.run([PROBE, task, answers, str(max_length), out, *chat], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    return json.loads((out / "results.json").read_text()), samples


@pytest.fixture
def both(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def run(records, config, header, completions=None, max_length=64, system=None):
        completions = completions or {}
        chat = {} if system is None else dict(apply_chat_template=True, system_instruction=system or None)
        theirs = harness_run(tmp_path, records, config, completions, max_length, **chat)
        ours = suture_run(tmp_path, records, header, completions, max_length, [] if system is None else [CHATML, system])
        return ours, theirs

    return run


def assert_same(ours, theirs):
    (results, samples), (expected, expected_samples) = ours, theirs
    assert samples == expected_samples
    assert list(samples[0]) == list(expected_samples[0]), "the order of keys"
    assert results["task_hashes"] == expected["task_hashes"]
    assert results["n-samples"] == expected["n-samples"]
    assert results["higher_is_better"] == expected["higher_is_better"]
    assert set(results["results"]["probe"]) == set(expected["results"]["probe"])
    for key, value in expected["results"]["probe"].items():
        assert results["results"]["probe"][key] == (
            pytest.approx(value, rel=1e-12, abs=1e-15) if isinstance(value, float) else value), key


CHOICES = [
    {"context": "The capital of France is", "choices": ["Paris", "Rome", "a small town"], "gold": 0},
    {"context": "Ends in spaces: \n ", "choices": ["naïve café", "日本", "x"], "gold": 1},
    {"context": "", "choices": ["nothing before", "it"], "gold": 1},
    {"context": "Equal", "choices": ["same", "same"], "gold": 1},
    {"context": "so long a context that it has to lose its beginning " * 3, "choices": ["yes", "no", "maybe"], "gold": 2},
    {"context": "\u3000ideographic\u3000", "choices": ["a", "bb", "ccc", "dddd"], "gold": 3},
]


@pytest.mark.parametrize("description, delimiter", [("", " "), ("Answer well.\n\n", ""), ("", "\n- ")])
def test_choices(both, description, delimiter):
    config = dict(output_type="multiple_choice", doc_to_text="context", doc_to_choice="choices", doc_to_target="gold",
                  description=description, target_delimiter=delimiter,
                  metric_list=[{"metric": "acc"}, {"metric": "acc_norm"}, {"metric": "acc_bytes"}])
    header = {"description": description, "target_delimiter": delimiter}
    assert_same(*both(CHOICES, config, header))


@pytest.mark.parametrize("description, system", [("", ""), ("Answer well. ", ""), ("Answer well.", "Be brief."), ("", "Be brief.")])
def test_choices_in_a_chat(both, description, system):
    config = dict(output_type="multiple_choice", doc_to_text="context", doc_to_choice="choices", doc_to_target="gold",
                  description=description, metric_list=[{"metric": "acc"}])
    records = [record for record in CHOICES if record["context"]]
    ours, theirs = both(records, config, {"description": description}, system=system, max_length=256)
    assert ours[1][0]["arguments"]["gen_args_0"]["arg_1"] == "Paris"
    for sample, expected in zip(ours[1], theirs[1], strict=True):
        for key in ("arguments", "resps", "target", "doc_hash", "prompt_hash", "acc"):
            assert sample[key] == expected[key], key
    assert ours[0]["results"]["probe"]["acc,none"] == theirs[0]["results"]["probe"]["acc,none"]


def test_texts(both):
    records = [{"text": "two  words\nand more \u00a0 here"}, {"text": "long " * 40}, {"text": "日本語"}, {"text": " a "}]
    config = dict(output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="text",
                  metric_list=[{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")])
    assert_same(*both(records, config, {}, max_length=17))


GSM_FILTERS = [("strict-match", r"#### (\-?[0-9\.\,]+)", 0), ("flexible-extract", r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1)]
IGNORE = [",", r"\$", r"(?s).*#### ", r"\.$"]
ANSWERS = {
    "Question: 1\nAnswer:": " 40 + 2 is 42.\n#### 42\n\nQuestion: next #### 7",
    "Question: 2\nAnswer:": " about $1,200.",
    "Question: 3\nAnswer:": " no idea",
    "Question: 4\nAnswer:": "",
    "Question: 5\nAnswer:": " #### -3.5<|end|>8",
    "Question: 6\nAnswer:": " ４２ or 42",
}


def generation_config(filters, until, max_new_tokens, **comparison):
    return dict(
        output_type="generate_until", doc_to_text="prompt", doc_to_target="target",
        generation_kwargs={"until": until, "do_sample": False, "max_gen_toks": max_new_tokens},
        metric_list=[{"metric": "exact_match", **comparison}],
        filter_list=[{"name": name, "filter": [{"function": "regex", "regex_pattern": regex, "group_select": select},
                                               {"function": "take_first"}]} for name, regex, select in filters])


def test_generations_in_the_manner_of_gsm8k(both):
    targets = ["so #### 42", "1200", "#### 5", "0", "-3.5", "42"]
    records = [{"prompt": prompt, "target": target} for prompt, target in zip(ANSWERS, targets)]
    config = generation_config(GSM_FILTERS, ["Question:", "</s>"], 200, ignore_case=True, regexes_to_ignore=IGNORE)
    header = {"until": ["Question:", "</s>"], "max_new_tokens": 200, "ignore_case": True, "regexes_to_ignore": IGNORE,
              "filters": [{"name": name, "regex": regex, "group_select": select} for name, regex, select in GSM_FILTERS]}
    assert_same(*both(records, config, header, ANSWERS, max_length=512))


REGEXES = [(r"(?<=the answer is )(.*)(?=.)", 0), (r"a*", 1), (r"(x)|(y)?", 0), (r"\bÉ\w+", 0), (r"(?m)^- (.+)$", -1), (r"z", 0)]


@pytest.mark.parametrize("ignore", ["ignore_case", "ignore_punctuation", "ignore_numbers"])
def test_regexes_find_what_python_finds(both, ignore):
    completions = {"1": "so the answer is (B).", "2": "- one\n- Two 2!\n", "3": "Été, Économie aa", "4": "xaay"}
    targets = ["(b)", "two", "économie", "aa"]
    records = [{"prompt": prompt, "target": target} for prompt, target in zip(completions, targets)]
    filters = [(f"f{i}", regex, select) for i, (regex, select) in enumerate(REGEXES)]
    config = generation_config(filters, ["\n\n"], 100, **{ignore: True})
    header = {"until": ["\n\n"], "max_new_tokens": 100, ignore: True,
              "filters": [{"name": name, "regex": regex, "group_select": select} for name, regex, select in filters]}
    assert_same(*both(records, config, header, completions, max_length=512))


def test_the_interval_of_a_share_by_its_defining_equation(tmp_path):
    records = [{"context": f"question {i}", "choices": ["a", "bc"], "gold": i % 2} for i in range(40)]
    suture_run(tmp_path, records, {}, {}, 64)
    report = json.loads((tmp_path / "suture/report.json").read_text())
    (acc,) = [metric for metric in report["tasks"][0]["metrics"] if metric["metric"] == "acc"]
    share, n, z = acc["value"], 40, 1.959963984540054
    # Wilson's interval holds exactly the shares that are z standard errors of their own from what was seen.
    for bound in acc["interval_95"]:
        assert abs(share - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / n), rel=1e-9)


def test_the_converters_of_the_guide_make_tasks(tmp_path):
    guide = (Path(__file__).parents[2] / "docs/evaluation.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        exec(block, names)
    sciq = {"support": " Water is wet.", "question": "What is wet?", "distractor1": "sand", "distractor2": "dust",
            "distractor3": "stone", "correct_answer": "water"}
    suture_run(tmp_path / "sciq", [names["sciq"](sciq)], {}, {}, 64)

    def answer(name, row, completion):
        record, header = names[name](row), names[f"{name.upper()}_HEADER"]["task"]
        _, samples = suture_run(tmp_path / name, [record], header, {record["prompt"]: completion}, 2048)
        return [(sample["filtered_resps"], sample.get("exact_match")) for sample in samples]

    gsm8k = {"question": "What is 2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}
    assert answer("gsm8k", gsm8k, " It is 4.\nQuestion: 9") == [(["[invalid]"], 0), (["4."], 1)]
    bbh = {"input": "not True is", "target": "False"}
    assert answer("bbh", bbh, "So the answer is False.\n\nQ: more") == [(["False"], 1)]
    humaneval = {"task_id": "HumanEval/0", "prompt": "def one():\n", "canonical_solution": "    return 1\n", "test": "", "entry_point": "one"}
    assert answer("humaneval", humaneval, "    return 1\n\ndef two():") == [(["    return 1\n"], None)]
