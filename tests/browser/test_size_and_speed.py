"""Sizes of pages are limits; times are only written down, in browser-figures.json beside the other reports."""

import json
import os
from pathlib import Path

import results

FIGURES = Path(os.environ.get("SUTURE_BROWSER_FIGURES") or Path(__file__).parents[2] / "build/browser-figures.json")


def note(name, **figures):
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    known[name] = figures
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(known, indent=2) + "\n")


def seconds_of(page):
    """What the browser's own counters say that it has spent, in seconds."""
    counters = {metric["name"]: metric["value"] for metric in page.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    return {name: counters[name] for name in ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration")}


def measure(page, file):
    page.driver.execute_cdp_cmd("Performance.enable", {})
    page.open(file)
    opened = seconds_of(page)
    timing = page.js("const t = performance.getEntriesByType('navigation')[0]; return [t.domInteractive, t.loadEventEnd]")
    hover = page.driver.execute_async_script("""
      const done = arguments[0];
      const grid = document.querySelector('#map-grid'), box = grid.getBoundingClientRect(), times = [];
      let step = 0;
      function next() {
        if (step++ === 60) { done([Math.max(...times), times.reduce((a, b) => a + b) / times.length]); return; }
        const begin = performance.now();
        grid.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + 60 + step * 5, clientY: box.top + 110 + step * 8, bubbles: true}));
        requestAnimationFrame(() => { document.body.offsetHeight; times.push(performance.now() - begin); next(); });
      }
      next();""")
    scroll = page.driver.execute_async_script("""
      const done = arguments[0];
      const box = document.querySelector('#table-scroll'), times = [];
      let step = 0;
      function next() {
        if (step++ === 60) { done([Math.max(...times), times.reduce((a, b) => a + b) / times.length]); return; }
        const begin = performance.now();
        box.scrollTop = step * 397;
        requestAnimationFrame(() => { document.body.offsetHeight; times.push(performance.now() - begin); next(); });
      }
      next();""")
    moved = {name: value - opened[name] for name, value in seconds_of(page).items()}
    switch = page.js("const begin = performance.now(); setView({m: 'rms'}); document.body.offsetHeight; return performance.now() - begin")
    return {"bytes": file.stat().st_size, "interactive_ms": timing[0], "loaded_ms": timing[1], "hover_ms_worst_mean": hover,
            "table_scroll_ms_worst_mean": scroll, "switch_of_measure_ms": switch,
            "browser_seconds_to_open": opened, "browser_seconds_of_120_moves": moved}


def test_a_model_of_24_layers(page, full):
    figures = measure(page, full)
    note("24 layers, 2 vectors, spectra, ablation", **figures)
    assert figures["bytes"] < 2_000_000


def test_80_layers_and_three_vectors(page, report):
    figures = measure(page, report("large", results.analysis(("a", "b", "c"), 80), results.ablation(80)))
    note("80 layers, 3 vectors, ablation", **figures)
    assert figures["bytes"] < 6_000_000
