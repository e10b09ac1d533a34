"""What the browser's own trace says of moving over the map and scrolling the table of a large page: how long the main thread was
busy at a stretch. The figures are written down beside those of test_size_and_speed; only that there is a trace is asserted."""

import json

import pytest
from selenium.webdriver.common.action_chains import ActionChains

import results
from conftest import Page, make_driver
from test_size_and_speed import note


@pytest.fixture
def traced(driver, downloads):  # `driver` skips where there is no browser
    other = make_driver(downloads, trace="devtools.timeline,disabled-by-default-devtools.timeline")
    yield Page(other, downloads)
    other.quit()


def tasks_by_phase(driver):
    """Milliseconds of every task of the page's main thread, by the stamp before it."""
    # The driver hands a trace out with a later look than the one that ends it.
    entries = [entry for _ in range(4) for entry in driver.get_log("performance")]
    events = [json.loads(entry["message"])["message"] for entry in entries]
    traced = [event["params"] for event in events if event["method"] == "Tracing.dataCollected"]
    stamps = sorted((event["ts"], event["args"]["data"]["message"], event["pid"], event["tid"])
                    for event in traced if event.get("name") == "TimeStamp")
    tasks = {name: [] for _, name, _, _ in stamps}
    for event in traced:
        if event.get("name") not in ("RunTask", "ThreadControllerImpl::RunTask") or "dur" not in event:
            continue
        before = [stamp for stamp in stamps if stamp[0] <= event["ts"]]
        if before and (event["pid"], event["tid"]) == before[-1][2:]:
            tasks[before[-1][1]].append(event["dur"] / 1000)
    return tasks


def summary(tasks):
    return {"tasks": len(tasks), "longest_ms": max(tasks), "over_50_ms": sum(task > 50 for task in tasks)}


def test_moving_and_scrolling(traced, report):
    traced.open(report("large", results.analysis(("a", "b", "c"), 80), results.ablation(80)))
    box = traced.find("#map-grid")
    traced.show(box)
    traced.js("console.timeStamp('moving over the map')")
    for step in range(60):
        ActionChains(traced.driver, duration=0).move_to_element_with_offset(box, -100 + 3 * step, -200 + 6 * step).perform()
    traced.js("console.timeStamp('between')")
    traced.show(traced.find("#table-scroll"))
    traced.js("console.timeStamp('scrolling the table')")
    traced.driver.execute_async_script("""
      const done = arguments[0], box = document.querySelector('#table-scroll');
      let step = 0;
      const next = () => step++ === 60 ? done() : (box.scrollTop = step * 397, requestAnimationFrame(next));
      next();""")
    tasks = tasks_by_phase(traced.driver)
    phases = {name: summary(tasks[name]) for name in ("moving over the map", "scrolling the table")}
    assert all(phase["tasks"] > 60 for phase in phases.values())
    note("80 layers, 3 vectors, ablation: trace of the main thread", **phases)
