"""Each view is there, with the numbers of the JSON, and comes and goes with what it needs."""

import math

import pytest

import results
from conftest import VECTORS

VIEWS = ["map", "effects", "profile", "effect-size", "details", "histogram", "compare", "table", "provenance"]


def tensor(result, name, vector=0):
    return next(t for t in result["vectors"][vector]["tensors"] if t["name"] == name)


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_view_is_drawn(page, full, width, dark):
    page.open(full, "at=3%2Fq_proj", width=width, dark=dark)
    for view in [*VIEWS, "heads", "spectrum"]:
        assert page.shown(f"#{view}"), view
        if view not in ("details", "table", "provenance"):
            assert page.js("return document.querySelectorAll(`#${arguments[0]} svg.figure *`).length", view) > 10, view
    assert page.js("return document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert page.js("return document.documentElement.scrollWidth") <= width, "the page scrolls sideways"


def test_text_has_contrast(page, full):
    """4.5 to 1 for body text, notes, accents, problems and the marks of effects on what they lie on."""
    script = """
      const luminance = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16) / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const style = getComputedStyle(document.documentElement);
      const of = key => luminance(style.getPropertyValue(key).trim());
      return ['--ink', '--muted', '--accent', '--problem', '--gain', '--loss'].flatMap(text => ['--surface', '--ground', '--faint'].map(under => {
        const [a, b] = [of(text), of(under)];
        return [text, under, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
      }))"""
    for dark in (False, True):
        page.open(full, dark=dark)
        for text, under, ratio in page.js(script):
            assert ratio >= 4.5, f"{text} on {under}: {ratio:.2f}"


def test_an_analysis_alone(page, report):
    page.open(report("analysis", results.analysis(layers=2, heads=False)))
    assert page.shown("#map") and page.shown("#table")
    for absent in ("#effects", "#effect-size", "#compare", "#heads", "#spectrum"):
        assert not page.shown(absent), absent


def test_an_ablation_alone(page, report):
    page.open(report("ablation", results.ablation(4)))
    assert page.shown("#effects") and page.shown("#provenance")
    for absent in ("#map", "#table", "#details", "#profile", "#only"):
        assert not page.shown(absent), absent
    assert len(page.all("#effects .effect")) == 5 + 5


def test_a_sweep(page, report):
    page.open(report("sweep", results.sweep()))
    labels = page.js("return [...document.querySelectorAll('#effects .effect')].map(e => e.getAttribute('aria-label').split(':')[0])")
    assert labels == ["scale=0.25", "scale=0.5", "scale=1", "negated", "random seed=0", "random seed=1", "random seed=2"]
    assert page.text("#effects-title") == "Effects on the score"


def test_hover_tells_the_numbers_of_the_json(page, full, everything):
    result = everything[0]
    page.open(full)
    page.hover(page.cell(5, "up_proj"))
    row, tip = tensor(result, "model.layers.5.mlp.up_proj.weight"), page.tip()
    assert float(tip["norm"]) == row["norm"]
    assert float(tip["relative norm"]) == row["relative_norm"] or tip["relative norm"].endswith("%")
    for label, key in (("RMS", "rms"), ("largest", "max"), ("share changed", "changed"), ("elements", "elements"), ("changed", "changed_elements")):
        assert float(tip[label]) == row[key], label
    pair = next(t for t in result["pairs"][0]["tensors"] if t["name"] == row["name"])
    assert float(tip["cosine"]) == pair["cosine"]
    assert float(tip["sign agreement"]) == pair["sign_agreement"]
    assert float(tip["… by chance"]) == pair["sign_agreement_by_chance"]
    assert page.text(".tip-title") == "layer 5 · up_proj"


def test_a_cell_of_weight_and_bias_is_their_sum(page, full, everything):
    page.open(full)
    page.hover(page.cell(5, "q_proj"))
    parts = [tensor(everything[0], f"model.layers.5.self_attn.q_proj.{kind}") for kind in ("weight", "bias")]
    tip = page.tip()
    assert float(tip["norm"]) == pytest.approx(math.hypot(*(part["norm"] for part in parts)), rel=1e-12)
    assert float(tip["elements"]) == sum(part["elements"] for part in parts)
    assert float(tip["largest"]) == max(part["max"] for part in parts)
    assert tip["tensors"] == "2"


def test_labels_tell_whole_layers_and_modules(page, full, everything):
    page.open(full)
    page.hover(page.js("return [...document.querySelectorAll('#map text.label')].find(t => t.textContent === '7')"))
    layer = next(row for row in everything[0]["vectors"][0]["layers"] if row["layer"] == 7)
    assert float(page.tip()["norm"]) == layer["norm"]
    page.js("setHover(null)")
    page.driver.execute_script("document.querySelector('#map-grid').focus()")
    page.press("\ue013", "\ue013")  # Up, onto the labels of modules
    module = next(row for row in everything[0]["vectors"][0]["modules"] if row["module"] == "input_layernorm")
    assert float(page.tip()["norm"]) == module["norm"]


def test_every_measure_colours_the_map(page, full):
    page.open(full)
    measures = page.js("return [...document.querySelectorAll('#measure option')].map(o => o.value)")
    assert measures == ["relative", "norm", "rms", "max", "changed", "cosine", "sign", "stable_rank", "effective_rank", "fidelity", "realised_cosine"]
    seen = set()
    for measure in measures:
        page.choose("#measure", measure)
        colours = page.js("return [...document.querySelectorAll('#map .cell')].map(c => c.getAttribute('fill'))")
        assert len(set(colours)) > (20 if measure not in ("stable_rank", "effective_rank") else 1), measure
        seen.add(tuple(colours))
        assert page.text("#map .legend .axis-title"), measure
    assert len(seen) >= len(measures) - 1
    page.choose("#measure", "sign")
    assert "by chance" in page.text("#map-note")


def test_scales_of_colours(page, full):
    page.open(full, "m=norm")
    before = page.text("#map .legend")
    page.click(page.find("#log"))
    assert "log scale" in page.text("#map .legend") and page.text("#map .legend") != before
    page.click(page.find("#clip"))
    assert "2 % at each end cut" in page.text("#map .legend") and "≥" in page.text("#map .legend")
    page.choose("#measure", "cosine")
    assert not page.find("#log").is_enabled()


def test_effects_lie_in_the_rows_of_the_map(page, full):
    page.open(full)
    rows = page.js("""
      const top = selector => Math.round(document.querySelector(selector).getBoundingClientRect().top);
      return [0, 11, 23].map(layer => [top(`#cell-${layer}-1`),
        Math.round([...document.querySelectorAll('#effects .effect')][layer].querySelector('.band').getBoundingClientRect().top)])""")
    assert all(abs(cell - band) <= 1 for cell, band in rows), rows


def test_effects_tell_the_json(page, full, everything):
    page.open(full)
    arm = next(arm for arm in everything[1]["arms"] if arm["name"] == "without layer=3")
    element = page.js("return [...document.querySelectorAll('#effects .effect')].find(e => e.getAttribute('aria-label').startsWith('without layer=3:'))")
    page.hover(element)
    tip, effect = page.tip(), arm["metrics"][0]["effect"]
    assert float(tip["less vector"]) == effect["difference"]
    assert [float(x) for x in tip["95 % interval"].split(" to ")] == effect["interval_95"]
    assert float(tip["value"]) == arm["metrics"][0]["value"]
    assert element.get_attribute("class").startswith("effect loss" if effect["difference"] < 0 else "effect gain")
    plain = page.js("return [...document.querySelectorAll('#effects .effect')].find(e => e.getAttribute('aria-label').startsWith('without layer=4:'))")
    assert plain.get_attribute("class").startswith("effect none"), "p is 1 after Holm"
    assert page.js("return document.querySelectorAll('#effects .effect').length") == 25 + 5
    page.choose("#effects .tools label:nth-child(2) select", "only layer")
    assert page.shown("#effects .random-band"), "against the target, random vectors are a reference"
    page.choose("#effects .tools label:nth-child(1) select", "1")
    assert "gold_log_probability" in page.js("return document.querySelector('#effects select').selectedOptions[0].textContent")
    page.choose("#effects .tools label:nth-child(2) select", "without module")
    assert "q_proj" in page.text("#effects svg.figure")
    assert not page.shown("#effect-size"), "modules have no layer to compare with"


def test_hover_is_shared(page, full):
    page.open(full)
    page.hover(page.cell(9, "k_proj"))
    visible = page.js("""return [...document.querySelectorAll('#effects .effect')]
      .filter(e => e.querySelector('.band:not(.own)') && e.querySelector('.band').getAttribute('visibility') === 'visible').map(e => e.getAttribute('aria-label'))""")
    assert len(visible) == 1 and visible[0].startswith("without layer=9:")
    assert page.js("return document.querySelector('#size-9').classList.contains('hovered')")
    assert page.js("return document.querySelector('#profile .hover-rule').getAttribute('visibility')") == "visible"


def test_drilling_down_and_back(page, full, everything):
    page.open(full)
    assert page.text("#details-title") == "The whole vector"
    page.click(page.cell(2, "k_proj"))
    assert page.text("#details-title") == "layer 2 · k_proj"
    assert page.shown("#heads") and page.shown("#spectrum")
    strips = page.js("return document.querySelectorAll('#heads .head').length")
    assert strips == results.HEADS * 2 + results.KV_HEADS * 2
    assert "7 of them share each head" in page.text("#heads-note")
    page.click(page.js("return [...document.querySelectorAll('#details .link')].find(b => b.textContent.includes('weight'))"))
    assert page.text("#details-title") == "model.layers.2.self_attn.k_proj.weight"
    page.press("\ue00c")
    assert page.text("#details-title") == "layer 2 · k_proj"
    page.press("\ue00c")
    assert page.text("#details-title") == "The whole vector"
    page.click(page.cell(2, "gate_proj"))
    assert not page.shown("#heads")
    page.click(page.cell(2, "gate_proj"))
    assert page.text("#details-title") == "The whole vector", "a second click closes"


def test_heads_tell_the_json(page, full, everything):
    page.open(full, "at=2%2Fv_proj")
    heads = tensor(everything[0], "model.layers.2.self_attn.v_proj.weight")["heads"]
    page.hover(page.js("return [...document.querySelectorAll('#heads .head')].find(h => h.getAttribute('aria-label').startsWith('v_proj head 1:'))"))
    tip = page.tip()
    assert float(tip["norm"]) == heads["norms"][1] and float(tip["base norm"]) == heads["base_norms"][1]
    assert tip["serves query heads"] == "7 to 13"


def test_spectrum_tells_the_json(page, full, everything):
    page.open(full, "t=model.layers.4.mlp.down_proj.weight")
    row = tensor(everything[0], "model.layers.4.mlp.down_proj.weight")
    page.hover(page.all("#spectrum .catch")[2])
    sigma, bound = row["spectrum"]["singular_values"][2], row["spectrum"]["error_bound"]
    tip = page.tip()
    assert float(tip["at least"]) == sigma
    assert float(tip["at most"]) == pytest.approx(math.hypot(sigma, bound), rel=1e-12)
    assert page.shown("#spectrum .noise") and page.shown("#spectrum .angles")
    assert "21.5 to 300.3" in page.text("#spectrum")


def test_spectra_not_computed_are_said(page, report):
    page.open(report("plain", results.analysis(layers=2)), "t=model.layers.1.mlp.up_proj.weight")
    assert "--spectrum" in page.text("#spectrum .empty")


def test_histogram_counts(page, full, everything):
    page.open(full, "t=model.layers.1.mlp.up_proj.weight")
    row = tensor(everything[0], "model.layers.1.mlp.up_proj.weight")
    counts = [count for count in row["histogram"]["counts"] if count]
    bars = page.all("#histogram .bar")
    assert len(bars) == len(counts)
    page.hover(bars[4])
    assert int(page.tip()["elements"]) == counts[4]
    assert f"{row['elements'] - row['changed_elements']:,} elements of {row['elements']:,} unchanged" in page.text("#histogram-note")


def test_vectors_side_by_side(page, full, everything):
    page.open(full)
    assert len(page.all("#compare .small-map")) == len(VECTORS) + 1
    cosine = everything[0]["pairs"][0]["total"]["cosine"]
    cell = page.find("#compare .cosines tbody tr:first-child td:nth-of-type(2)")
    page.hover(cell)
    assert float(page.tip()["cosine"]) == cosine
    page.js("document.querySelector('#small-1').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert page.js("return store.view.v") == 1 and page.js("return store.view.w") == 0
    assert "sft - base" in page.text("#map-note")


def test_the_table_searches_and_sorts(page, full):
    page.open(full)
    rows = "return [...document.querySelectorAll('#table .table-rows .table-row')].filter(r => !r.hidden).sort((a, b) => a.at - b.at).map(r => r.firstChild.textContent)"
    norms = page.js("return [...document.querySelectorAll('#table .table-rows .table-row')].filter(r => !r.hidden).sort((a, b) => a.at - b.at).map(r => r.entry.row.norm)")
    assert norms == sorted(norms, reverse=True) and len(norms) < 60, "only rows in sight exist"
    page.click(page.find("#table [data-sort=name]"))
    assert page.js(rows)[0] == "model.embed_tokens.weight"
    assert page.find("#table .name[role=columnheader]").get_attribute("aria-sort") == "ascending"
    for text, count in (("q_proj.weight", 24), ("*.11.*", 12), ("/layers\\.(3|4)\\..*norm/", 4), ("none such", 0)):
        search = page.find("#table-filter")
        search.clear()
        search.send_keys(text)
        page.until(f"return document.querySelector('#table-scroll').getAttribute('aria-rowcount') === '{count + 1}'")
    search.clear()
    search.send_keys("/(/")
    page.until("return document.querySelector('#table-note .problem')")


def test_the_table_scrolls_to_its_end(page, full):
    page.open(full, "sort=name&down=0")
    page.js("document.querySelector('#table-scroll').focus()")
    page.press("\ue010")  # End
    page.settle()
    last = page.js("return [...document.querySelectorAll('#table .table-row.cursor')].map(r => r.firstChild.textContent)")
    assert last == ["model.norm.weight"]
    page.press("\ue007")
    assert page.text("#details-title") == "model.norm.weight"


def test_provenance(page, full):
    page.open(full)
    text = page.text("#provenance")
    for expected in ("suture report", "73268f1858cf7dc8d03a318ac32d9681", "Holm over the family", "full-0.json", "suture.analyze/1"):
        assert expected in text, expected
