"""The live page, served by the program itself on the miniature family."""

import re
import signal
import subprocess

import pytest
from selenium.webdriver.common.keys import Keys

from conftest import SUTURE

FAMILY = SUTURE.parents[2] / "examples/miniature/family"
ANSWERED = "return document.querySelector('#explore-status').textContent.startsWith('answered')"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    if not FAMILY.exists():
        pytest.skip("no miniature family beside the program")
    out = tmp_path_factory.mktemp("explored")
    program = subprocess.Popen([SUTURE, "explore", "instruct", "grpo - sft", "shift - base@0", "--task", "tasks/sums.jsonl", "--limit", "32",
                                "--apply-chat-template", "--threads", "1", "-o", out], cwd=FAMILY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    address = program.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:"), address + program.stderr.read()
    yield address, out
    program.send_signal(signal.SIGINT)
    program.wait(20)


@pytest.fixture
def live(page, served):
    page.allowed = (served[0],)
    page.open(served[0])
    page.until(ANSWERED, 60)
    return page


def wait_for_command(page, text):
    page.until(f"return document.querySelector('#explore-command').textContent.includes({text!r})", 30)
    page.until(ANSWERED, 30)


def score(page):
    return float(re.match(r"([\d.]+) %", page.text("#explore-score"))[1])


def test_a_scale_changes_the_score(live):
    assert score(live) > 80
    number = live.find(".scale input[type=number]")
    number.clear()
    number.send_keys("0", Keys.ENTER)
    wait_for_command(live, "(grpo - sft)@0.0")
    assert score(live) < 40 and "0.00 pp" in live.text("#explore-score")
    assert live.text("#explore-sample dd:nth-of-type(2)") == live.text("#explore-sample dd:nth-of-type(3)"), "without a change, the same answer"
    live.click(live.js("return [...document.querySelectorAll('#explore button')].find(b => b.textContent === 'reset')"))
    wait_for_command(live, "(grpo - sft)@1.0")
    assert score(live) > 80


def test_switches_write_a_selection(live):
    switch = "return [...document.querySelectorAll('#explore .switch')].find(b => b.textContent === arguments[0])"
    live.click(live.js(switch, "0"))
    wait_for_command(live, "--only")
    assert live.js("return document.querySelector('#explore-only').value") == "layer=1- | !layer=0-"
    live.click(live.js(switch, "outside"))
    wait_for_command(live, "'layer=1-'")
    live.click(live.js(switch, "q_proj"))
    wait_for_command(live, "k_proj")
    assert live.js("return arguments[0].getAttribute('aria-pressed')", live.js(switch, "q_proj")) == "false"


def test_with_everything_off_it_is_the_target_alone(live):
    live.js("setView({xo: NOTHING})")
    wait_for_command(live, "(grpo - sft)@0.0")
    assert "0.00 pp" in live.text("#explore-score")
    assert live.js("return [...document.querySelectorAll('#explore .switch')].every(b => b.getAttribute('aria-pressed') === 'false')")


def test_the_selection_of_the_map_is_taken_over(live):
    live.type_only("block=mlp & layer=2")
    live.click(live.js("return [...document.querySelectorAll('#explore button')].find(b => b.textContent === 'from the map')"))
    wait_for_command(live, "block=mlp & layer=2")


def test_another_prompt_is_answered(live):
    live.find("#explore-prompt").send_keys("1+1+1=", Keys.TAB)
    live.until("return document.querySelector('#explore-sample dd').textContent.includes('1+1+1=')", 30)


def test_a_wrong_selection_is_said_in_words(live):
    live.js("setView({xo: 'layer=3-1'})")
    live.until("return document.querySelector('#explore-status').classList.contains('problem')", 30)
    assert "3-1" in live.text("#explore-status")
    assert live.text("#explore-command") == "" and live.text("#explore-score") == "", "nothing of another state stands beside it"
    live.driver.get_log("browser")  # tells of the answer 400, too


def test_of_many_changes_the_last_is_shown(live):
    for step in range(30):
        live.js("setView({xs: [arguments[0], 0]})", step / 40)
    wait_for_command(live, "(grpo - sft)@0.725")
    assert live.js("return document.querySelector('.scale input[type=number]').value") == "0.725"


def test_a_change_that_another_window_overtakes_is_said(live):
    live.js("""
      window.fetch = () => Promise.resolve({status: 409, json: () => Promise.resolve({edit: 1, superseded: true})});
      setView({xs: [0.5, 0]})""")
    live.until("return document.querySelector('#explore-status').textContent.startsWith('overtaken')")


def test_answers_of_an_older_edit_are_dropped(live):
    live.js("""
      window.asked = 0;
      window.fetch = () => {
        ++window.asked;
        return Promise.resolve({status: 200, json: () => Promise.resolve({edit: 0, command: 'old', scales: [], only: ''})});
      };
      setView({xs: [0.5, 0]})""")
    live.until("return window.asked === 1")
    live.settle()
    assert live.text("#explore-command") != "old"


def test_a_program_that_has_ended_is_said(live):
    live.js("window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); setView({xs: [0.5, 0]})")
    live.until("return document.querySelector('#explore-status').textContent.includes('does not answer')")


def test_a_model_is_written(live, served):
    live.find("#export-output").send_keys("made")
    live.click(live.find("#export-model"))
    live.until("return document.querySelector('.export-line .note').textContent.startsWith('wrote')", 30)
    assert (served[1] / "made/model.safetensors").exists()
    live.click(live.find("#export-model"))
    live.until("return !document.querySelector('.export-line .note').textContent.startsWith('wr')", 30)
    live.driver.get_log("browser")
