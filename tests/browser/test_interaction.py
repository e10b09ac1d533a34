"""Selecting, keys, the state in the address, and files."""

import base64
import csv
import io
import json
import struct
import subprocess
import urllib.parse
from xml.etree import ElementTree

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from conftest import SUTURE


@pytest.mark.parametrize("text, count", [
    ("layer=0-3 & module=q_proj", 4),
    ("module=embed_tokens", 1),
    ("!layer=0-", 2),
    ("block=mlp & layer=20-", 12),
    ("layer=1 | module=norm", 10),
    ("!(layer=0-22 | block=embedding)", 10),
    ("name=model.layers.[12].mlp.*", 6),
    ("re='layers\\.7\\..*proj'", 7),
])
def test_an_argument_makes_the_selection(page, full, text, count):
    page.open(full)
    page.type_only(text)
    assert len(page.selected_cells()) == count
    assert page.only() == text
    page.type_only(f"--only '{text}'" if "'" not in text else f"--only {text}")
    assert len(page.selected_cells()) == count, "pasted with the shell's quotes"


@pytest.mark.parametrize("text", ["layer=", "layer=9-3", "block=nose", "module=q_proj &", "(layer=1", "nonsense", "re='(a+)+$'", "layer=99", "!" * 100 + "layer=1"])
def test_a_wrong_argument_is_said_in_words(page, full, text):
    page.open(full)
    page.type_only(text)
    assert page.find("#only").get_attribute("aria-invalid") == "true"
    assert page.text("#only-note")
    assert page.selected_cells() == []


def test_rectangles_and_labels(page, full):
    page.open(full)
    page.drag(page.cell(3, "q_proj"), page.cell(6, "v_proj"))
    assert page.only() == "layer=3-6 & module=q_proj,k_proj,v_proj"
    assert len(page.selected_cells()) == 12
    label = page.js("return [...document.querySelectorAll('#map text.label')].find(t => t.textContent === '5')")
    page.click(label)
    assert page.only() == "layer=5"
    page.click(page.js("return [...document.querySelectorAll('#map text.label')].find(t => t.textContent === '8')"), Keys.SHIFT)
    assert page.only() == "layer=5-8"
    page.click(page.cell(20, "o_proj"), Keys.CONTROL)
    assert page.only() == "layer=5-8 | layer=20 & module=o_proj"
    page.click(page.cell(20, "o_proj"), Keys.CONTROL)
    assert page.only() == "layer=5-8"
    page.drag(page.cell(10, "gate_proj"), page.cell(11, "up_proj"))
    assert page.only() == "layer=10-11 & module=gate_proj,up_proj", "without Ctrl, what was selected is let go"
    page.press(Keys.ESCAPE)
    assert page.only() == "" and page.selected_cells() == []


def test_what_is_selected_filters_the_rest(page, full):
    page.open(full)
    page.type_only("layer=2 & block=mlp")
    assert page.text("#details-title") == "The selection"
    page.until("return document.querySelector('#table-scroll').getAttribute('aria-rowcount') === '4'")
    assert "3 of 290 tensors" in page.text("#table-note")
    assert len(page.all("#effects .effect:not(.faded)")) == 1 + 5
    assert "Cosines over the selection" in page.text("#compare .matrix h3")


def test_a_range_of_layers_on_the_profile(page, full):
    page.open(full)
    page.js("document.querySelector('#profile').scrollIntoView({block: 'center'})")
    left, top, low, high = page.js("""
      const figure = document.querySelector('#profile-figure'), box = figure.getBoundingClientRect();
      const x = layer => 70 + (layer / 23) * (figure.clientWidth - 92);
      return [box.left, box.top, x(4), x(9)]""")
    actions = ActionChains(page.driver)
    pointer = actions.w3c_actions.pointer_action
    pointer.move_to_location(round(left + low), round(top + 150))
    pointer.pointer_down()
    pointer.move_to_location(round(left + high), round(top + 150))
    pointer.pointer_up()
    actions.perform()
    page.settle()
    assert page.only() == "layer=4-9"


def test_a_click_on_an_effect_selects_its_part(page, full):
    page.open(full)
    page.click(page.js("return [...document.querySelectorAll('#effects .effect')].find(e => e.getAttribute('aria-label').startsWith('without outside'))"))
    assert page.only() == "!layer=0-"
    assert page.selected_cells() == ["outside the layers · embed_tokens", "outside the layers · norm"]


def test_selections_of_the_page_are_the_programs(page, tmp_path):
    """What the page writes, and what it takes it to select, against the program on a model of the same names."""
    family = SUTURE.parents[2] / "examples/miniature/family"
    if not family.exists():
        pytest.skip("no miniature family beside the program")
    result, made = tmp_path / "all.json", tmp_path / "all.html"
    vector = [family / "grpo", family / "sft"]
    subprocess.run([SUTURE, "analyze", *vector, "--json", result, "--html", made, "-q"], check=True, capture_output=True)
    page.open(made)
    texts = []
    page.drag(page.cell(1, "q_proj"), page.cell(2, "o_proj"))
    texts.append(page.only())
    page.click(page.cell("outside", "norm"), Keys.CONTROL)
    texts.append(page.only())
    page.click(page.cell(0, "up_proj"), Keys.CONTROL)
    texts.append(page.only())
    texts += ["layer=0-1,3- & !module=q_proj", "block=norm | name=*.2.*bias", "!(re='attn' | layer=3)", "!!layer=0-", "re='\\A[^0-9]*\\.2\\.'"]
    for text in texts:
        page.type_only(text)
        selected = page.js("return selectionNow().sites.map(s => s.name)")
        done = subprocess.run([SUTURE, "analyze", *vector, "--only", text, "--json", "-", "-q"], check=True, capture_output=True, text=True)
        assert sorted(selected) == sorted(t["name"] for t in json.loads(done.stdout)["vectors"][0]["tensors"]), text


def test_keys_move_open_and_select(page, full):
    page.open(full)
    page.press("g")
    assert page.js("return document.activeElement.id") == "map-grid"
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert page.text(".tip-title") == "layer 2 · q_proj"
    assert page.find("#map-grid").get_attribute("aria-activedescendant") == "cell-2-1"
    assert "layer 2 · q_proj, relative norm" in page.text("#said")
    page.press(Keys.ENTER)
    assert page.text("#details-title") == "layer 2 · q_proj"
    page.press(Keys.SPACE)
    assert page.only() == "layer=2 & module=q_proj"
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, held=Keys.SHIFT)
    assert page.only() == "layer=2-3 & module=q_proj,k_proj"
    page.press(Keys.ESCAPE)
    assert page.text("#details-title") == "The selection"
    page.press("m")
    assert page.js("return document.querySelector('#measure').value") == "norm"
    page.press("M")
    page.press("l")
    assert page.find("#log").is_selected()
    page.press("v")
    assert page.js("return store.view.v") == 1
    page.press("?")
    assert page.shown("#keys")
    page.press(Keys.ESCAPE)
    assert not page.shown("#keys")
    page.press("/")
    assert page.js("return document.activeElement.id") == "table-filter"
    page.press("m")
    assert page.js("return document.querySelector('#measure').value") == "relative", "keys typed into a field are text"


@pytest.mark.parametrize("mark, forward", [("#effects .effect", Keys.ARROW_DOWN), ("#effect-size .point", Keys.ARROW_RIGHT), ("#heads .head", Keys.ARROW_RIGHT),
                                           ("#histogram .bar", Keys.ARROW_RIGHT), ("#spectrum .catch", Keys.ARROW_RIGHT)])
def test_marks_are_one_stop_and_stepped_through(page, full, mark, forward):
    page.open(full, "at=3%2Fq_proj")
    assert page.js("return document.querySelectorAll(arguments[0] + '[tabindex=\"0\"]').length", mark) == 1
    page.press(Keys.TAB)
    page.js("document.querySelector(arguments[0]).focus()", mark)
    first = page.tip()
    page.press(forward)
    assert page.js("return [...document.querySelectorAll(arguments[0])].indexOf(document.activeElement)", mark) == 1
    assert page.tip() != first and page.text("#said")


def test_everything_is_reached_by_tab(page, full):
    page.open(full)
    reached = set()
    for _ in range(60):
        page.press(Keys.TAB)
        reached.add(page.js("const e = document.activeElement; return e.closest('section') ? e.closest('section').id : e.closest('.toolbar, .selection, .masthead') ? e.closest('.toolbar, .selection, .masthead').className : ''"))
    assert {"map", "effects", "masthead", "toolbar", "selection", "profile", "effect-size", "details", "histogram", "compare", "table"} <= reached


def test_the_theme_is_switched(page, full):
    page.open(full)
    assert page.js("return getComputedStyle(document.body).backgroundColor") is not None
    page.click(page.find("#theme"))
    page.click(page.find("#theme"))
    assert page.js("return document.documentElement.dataset.theme") == "dark"
    dark = page.js("return getComputedStyle(document.documentElement).backgroundColor")
    page.click(page.find("#theme"))
    assert page.js("return document.documentElement.dataset.theme") == "light"
    assert page.js("return getComputedStyle(document.documentElement).backgroundColor") != dark


def test_the_address_keeps_the_view(page, full):
    page.open(full)
    page.choose("#measure", "cosine")
    page.type_only("layer=3-5 & module=q_proj")
    page.click(page.cell(4, "q_proj"))
    page.until("return location.hash.includes('at=')")
    kept = page.js("return location.hash").lstrip("#")
    state = "return [document.querySelector('#measure').value, document.querySelector('#only').value, document.querySelector('#details-title').textContent]"
    before = page.js(state)
    page.open(full, kept)
    assert page.js(state) == before == ["cosine", "layer=3-5 & module=q_proj", "layer 4 · q_proj"]
    page.js("location.hash = 'm=rms'")
    page.until("return document.querySelector('#measure').value === 'rms' && document.querySelector('#only').value === ''")


@pytest.mark.parametrize("view", [
    "m=nonsense&v=99&w=-1&an=7&ab=7&am=99&fam=x&at=99/q&t=none&sort=zzz",
    "sel=" + urllib.parse.quote("<img src=x onerror=window.broken=1>"), "%E0%A4%A", "__proto__=1&constructor=2&toString=3",
    "sel=" + urllib.parse.quote("re='((a+)+)+$'"), "q=" + urllib.parse.quote("/(x+x+)+y/"), "at=/&sel=%00", "a" * 200000, "xs=NaN,1&xo=(",
    "sel=" + urllib.parse.quote("(" * 5000),
])
def test_hostile_addresses_do_nothing(page, full, view):
    page.open(full, view)
    assert page.shown("#map")
    assert page.js("return typeof window.broken") == "undefined"
    assert page.text("#details-title") == "The whole vector"


def rows_of(file):
    return list(csv.reader(io.StringIO(file.read_text())))


def test_numbers_are_saved(page, full, everything):
    page.open(full)
    rows = rows_of(page.export("map", "CSV"))
    assert rows[0][:4] == ["vector", "layer", "module", "relative"]
    found = next(row for row in rows if row[:3] == ["grpo - sft", "5", "up_proj"])
    tensor = next(t for t in everything[0]["vectors"][0]["tensors"] if t["name"] == "model.layers.5.mlp.up_proj.weight")
    assert float(found[rows[0].index("norm")]) == tensor["norm"]
    rows = rows_of(page.export("table", "CSV"))
    assert len(rows) == 1 + len(everything[0]["vectors"][0]["tensors"])
    rows = rows_of(page.export("effects", "CSV"))
    arm = next(arm for arm in everything[1]["arms"] if arm["name"] == "only layer=2")
    found = next(row for row in rows if row[0] == "only layer=2" and row[6] == "acc")
    assert float(found[rows[0].index("difference")]) == arm["metrics"][0]["effect"]["difference"]


@pytest.mark.parametrize("view", ["map", "effects", "profile", "effect-size", "histogram", "compare", "heads", "spectrum"])
def test_pictures_are_saved(page, full, view):
    page.open(full, "at=3%2Fq_proj")
    drawing = ElementTree.fromstring(page.export(view, "SVG").read_text())
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert len(texts) > 4 and texts[0] == page.text(f"#{view}-title")
    assert not any(name in ("class", "style") or name.startswith("on") for element in drawing.iter() for name in element.attrib)
    picture = page.export(view, "PNG").read_bytes()
    assert picture[:8] == base64.b64decode("iVBORw0KGgo=")
    width, height = struct.unpack(">II", picture[16:24])
    assert width == 2 * int(drawing.get("width")) and height == 2 * int(drawing.get("height"))
    assert len(rows_of(page.export(view, "CSV"))) > 2


def test_the_argument_is_copied(page, full):
    page.open(full)
    page.type_only("layer=0-3 & module=q_proj")
    page.js("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }")
    page.click(page.find("#only-copy"))
    assert page.js("return window.copied") == "--only 'layer=0-3 & module=q_proj'"
