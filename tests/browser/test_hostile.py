"""Names from files are text, whatever they hold."""

import csv
import io

import results

RESULT = results.analysis((results.HOSTILE_NAMES[0], results.HOSTILE_NAMES[1], "=1+1"), tensors=results.hostile_layout())


def test_names_are_shown_as_text(page, report):
    page.open(report("hostile", RESULT), "sort=name&down=0")
    assert page.js("return typeof window.broken") == "undefined"
    assert page.js("return document.querySelectorAll('#page img, #page script').length") == 0
    listed = set()
    for top in range(0, 1400, 200):
        page.js("document.querySelector('#table-scroll').scrollTop = arguments[0]", top)
        page.settle()
        listed |= set(page.js("return [...document.querySelectorAll('#table .table-rows .column.name')].map(e => e.textContent)"))
    assert results.HOSTILE_NAMES[0] in listed
    assert "model.layers.0.mlp.\\u202egnp.exe\\u202c.weight" in listed
    assert "model.layers.1.mlp.two\\nlines.weight" in listed
    assert results.HOSTILE_NAMES[3] in listed and results.HOSTILE_NAMES[6] in listed
    assert not any("\u202e" in name or "\n" in name for name in listed)
    assert page.js("return document.body.textContent.includes('\\u202e')") is False
    assert page.js("return document.documentElement.scrollWidth") <= 1280


def test_names_do_not_break_the_layout(page, report):
    page.open(report("hostile", RESULT), "t=" + "x" * 3000, width=420)
    assert page.text("#details-title").startswith("xxx")
    assert page.js("return document.documentElement.scrollWidth") <= 420


def test_hostile_names_are_selected_and_said(page, report):
    page.open(report("hostile", RESULT))
    cells = page.js("return [...document.querySelectorAll('#map .cell')].map(c => c.id)")
    sites = page.js("return analysisNow().sites.length")
    assert sites == len(results.hostile_layout())
    for cell in cells:
        row, column = map(int, cell.split("-")[1:])
        page.js("setView({sel: ''}); togglePlace({row: arguments[0], column: arguments[1]})", row, column)
        wanted, found = page.js("""
          const analysis = analysisNow();
          return [analysis.cells.get(analysis.cellKey(arguments[0], arguments[1])).map(s => s.name), selectionNow() ? selectionNow().sites.map(s => s.name) : []]""", row, column)
        assert sorted(found) == sorted(wanted), page.js("return store.view.sel")


def test_cells_of_a_spreadsheet_are_harmless(page, report):
    page.open(report("hostile", RESULT))
    text = page.export("map", "CSV").read_text()
    rows = list(csv.reader(io.StringIO(text)))
    assert {row[0] for row in rows} >= {"'=1+1"}
    assert not any(cell[:1] in ("=", "+", "@", "\t", "\r") or (cell[:1] == "-" and not cell[1:2].isdigit()) for row in rows for cell in row)


def test_numbers_that_are_none(page, report):
    result = results.analysis(("a", "b"), layers=2)
    tensors = result["vectors"][0]["tensors"]
    tensors[3].update(norm="nan", rms="nan", max="inf", relative_norm=None, base_norm=None, non_finite=3)
    tensors[5].update(norm="inf", rms="inf", relative_norm="inf")
    result["pairs"][0]["tensors"][4]["cosine"] = None
    page.open(report("broken", result), "m=norm")
    for measure in ("norm", "relative", "max", "cosine", "sign"):
        page.choose("#measure", measure)
        assert page.shown("#map .legend")
        assert "NaN" not in page.js("return document.querySelector('#map svg.figure').outerHTML"), measure
    page.js("setView({t: arguments[0]})", tensors[3]["name"])
    assert "3 not finite" in page.text("#histogram-note")
