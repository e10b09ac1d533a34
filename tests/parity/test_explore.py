"""The explorer through the real program: what it answers is what analyze and eval say of the same model, edits in flight do
not mix, and nobody without its address gets in."""

import concurrent.futures
import json
import random
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from conftest import SUTURE

FAMILY = Path(__file__).parents[2] / "examples/miniature/family"
TASK = FAMILY / "tasks/sums.jsonl"
ASKED = ["--apply-chat-template", "--threads", 1]


class Explorer:
    def __init__(self, *arguments):
        command = [SUTURE, "explore", *map(str, arguments)]
        self.program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=FAMILY)
        self.address = self.program.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[0-9a-f]{32}/", self.address), self.program.communicate()
        self.host, self.token = self.address[7:-1].split("/")

    def ask(self, path, body=None, headers=(), host=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.host}{path}", data=data, headers=dict(headers))
        if host:
            request.add_header("Host", host)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def edit(self, body):
        status, text = self.ask(f"/{self.token}/api/edit", body)
        return status, json.loads(text)

    def end(self):
        self.program.send_signal(signal.SIGINT)
        _, said = self.program.communicate(timeout=30)
        return self.program.returncode, said


@pytest.fixture
def explorer():
    begun = []

    def begin(*arguments):
        begun.append(Explorer(*arguments))
        return begun[-1]

    yield begin
    for one in begun:
        one.program.kill()
        one.program.communicate()


def test_answers_what_the_other_commands_say(explorer, suture, tmp_path):
    one = explorer("instruct", "grpo - sft", "--task", TASK, *ASKED, "--limit", 40, "-o", tmp_path)
    edit = {"edit": 5, "scales": [0.75], "only": "layer=1- & block=mlp"}
    status, got = one.edit(edit)
    assert status == 200 and got["edit"] == 5
    status, text = one.ask(f"/{one.token}/api/export", {**edit, "output": "made"})
    assert status == 200, text

    scored = json.loads(suture("eval", tmp_path / "made", "--task", TASK, *ASKED, "--limit", 40, "--json", "-"))
    plain = json.loads(suture("eval", FAMILY / "instruct", "--task", TASK, *ASKED, "--limit", 40, "--json", "-"))
    score = got["score"]
    values = [next(m["value"] for m in result["tasks"][0]["metrics"]
                   if (m["metric"], m["filter"]) == (score["metric"], score["filter"])) for result in (scored, plain)]
    assert [score["value"], score["reference_value"]] == pytest.approx(values)
    assert score["difference"] == pytest.approx(values[0] - values[1]) and score["records"] == 40

    vector = tmp_path / "part.safetensors"
    suture("extract", FAMILY / "grpo", FAMILY / "sft", "-o", vector, "--only", "layer=1- & block=mlp")
    analysis = json.loads(suture("analyze", f"{vector}@0.75", "--target", FAMILY / "instruct", "--json", "-"))
    realised = analysis["vectors"][0]["total"]["realised"]
    assert got["realised"]["total"] == realised
    # The command that it shows makes the same model.
    words = got["command"].replace("-o OUT", f"-o {tmp_path / 'by-command'}").removeprefix("suture ")
    done = subprocess.run(f"{SUTURE} {words}", shell=True, cwd=FAMILY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = "model.safetensors"
    assert (tmp_path / "by-command" / name).read_bytes() == (tmp_path / "made" / name).read_bytes()


def test_edits_in_flight_do_not_mix(explorer):
    one = explorer("instruct", "grpo - sft", "shift - base")
    parts = {"": 0, "layer=0": 1, "layer=1-2": 2, "block=mlp": 3, "module=q_proj,o_proj": 4}
    norms = {}
    for only in parts:
        for vector in ([1, 0], [0, 1]):
            norms[only, vector[0]] = one.edit({"scales": vector, "only": only})[1]["realised"]["total"]["wanted_norm"]
    chance = random.Random(3)
    edits = [{"edit": i, "scales": chance.choice(([s, 0], [0, s])), "only": chance.choice(list(parts))}
             for i, s in enumerate(chance.choice((0.25, -0.5, 1, 2)) for _ in range(1000))]
    answered = 0
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for sent, (status, got) in zip(edits, pool.map(one.edit, edits)):
            assert status in (200, 409), got
            assert got["edit"] == sent["edit"]
            if status == 409:
                continue
            answered += 1
            assert got["scales"] == sent["scales"]
            size = max(abs(scale) for scale in sent["scales"])
            expected = size * norms[sent["only"], 1 if sent["scales"][0] else 0]
            assert got["realised"]["total"]["wanted_norm"] == pytest.approx(expected, rel=1e-6)
    assert answered > 100
    # It compares the digest of its weights with that from before, and would end with status 2.
    status, said = one.end()
    assert status == 130, said


def test_nobody_else_gets_in(explorer):
    one = explorer("instruct", "grpo - sft")
    port = one.host.split(":")[1]
    edit = {"scales": [1], "only": ""}
    assert one.ask(f"/{one.token}/")[0] == 200
    wrong = "0" * 32
    assert one.ask(f"/{wrong}/")[0] == 404
    assert one.ask("/")[0] == 404
    assert one.ask(f"/{wrong}/api/edit", edit)[0] == 404
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", "[::1]"):
        assert one.ask(f"/{one.token}/", host=host)[0] == 403, host
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://127.0.0.1:{port}"):
        assert one.ask(f"/{one.token}/api/edit", edit, {"Origin": origin})[0] == 403, origin
    own = {"Origin": f"http://127.0.0.1:{port}"}
    assert one.ask(f"/{one.token}/api/edit", edit, own)[0] == 200
    for path in (f"/{one.token}/../../etc/passwd", f"/{one.token}/instruct/config.json", f"/{one.token}/api/edit/"):
        assert one.ask(path)[0] in (400, 404), path


def test_refuses_before_it_loads(run, tmp_path):
    for arguments, word in ((["instruct", "grpo - sft", "-o", "nowhere"], "nowhere"),
                            (["instruct", "grpo - sft", "--only", "layer=99"], "99"),
                            (["instruct"], "explore"),
                            (["instruct", "grpo - sft", "--task", TASK, "--task", TASK], "")):
        done = subprocess.run([SUTURE, "explore", *map(str, arguments)], capture_output=True, text=True, cwd=FAMILY, timeout=60)
        assert done.returncode == 2 and word in done.stderr and done.stdout == "", done
