import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import results

SUTURE = Path(os.environ.get("SUTURE_BIN") or Path(__file__).parents[2] / "build/release/suture").absolute()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


def make_driver(downloads, trace=None):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if trace:
        options.add_experimental_option("perfLoggingPrefs", {"traceCategories": trace})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(downloads):
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium with its driver")
    driver = make_driver(downloads)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """report(name, *results): the file that `suture report` writes of them, made once."""
    assert SUTURE.exists(), f"there is no {SUTURE}; run ./dev build, or set SUTURE_BIN"
    folder = tmp_path_factory.mktemp("pages")

    def write(name, *parts):
        page = folder / f"{name}.html"
        if not page.exists():
            files = []
            for i, part in enumerate(parts):
                files.append(folder / f"{name}-{i}.json")
                files[-1].write_text(json.dumps(part))
            done = subprocess.run([SUTURE, "report", *files, "--html", page], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        return page

    return write


class Page:
    """An open page, and what a reader does with it."""

    def __init__(self, driver, downloads):
        self.driver, self.downloads = driver, downloads
        self.allowed = ()  # how addresses begin that it may ask for

    def open(self, file, view="", *, width=1280, height=1000, dark=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                    {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        address = file if isinstance(file, str) else file.as_uri()
        self.driver.get(address + ("#" + view if view else ""))
        self.until("return document.documentElement.dataset.ready === 'yes'")
        # A pointer that already lies where it is sent to does not move.
        actions = ActionChains(self.driver)
        actions.w3c_actions.pointer_action.move_to_location(2, 2)
        actions.perform()
        return self

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, script, seconds=5):
        end = time.monotonic() + seconds
        while not (value := self.js(script)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)
        return value

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0]).textContent", selector)

    def shown(self, selector):
        return self.js("const found = document.querySelector(arguments[0]); return Boolean(found) && found.getClientRects().length > 0", selector)

    def cell(self, layer, module):
        label = f"{'outside the layers' if layer == 'outside' else f'layer {layer}'} · {module}:"
        cell = self.js("return [...document.querySelectorAll('#map .cell')].find(cell => cell.getAttribute('aria-label').startsWith(arguments[0]))", label)
        assert cell, f"no cell {label}"
        return cell

    def show(self, element):
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        self.settle()

    def hover(self, element):
        self.show(element)
        ActionChains(self.driver).move_to_element(element).perform()
        self.settle()

    def settle(self):
        self.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))")

    def click(self, element, *held):
        self.show(element)
        actions = ActionChains(self.driver)
        for key in held:
            actions.key_down(key)
        actions.move_to_element(element).click()
        for key in held:
            actions.key_up(key)
        actions.perform()
        self.settle()

    def drag(self, first, last):
        self.show(first)
        ActionChains(self.driver).move_to_element(first).click_and_hold().move_to_element(last).release().perform()
        self.settle()

    def press(self, *keys, held=None):
        actions = ActionChains(self.driver)
        if held:
            actions.key_down(held)
        for key in keys:
            actions.send_keys(key)
        if held:
            actions.key_up(held)
        actions.perform()
        self.settle()

    def choose(self, selector, value):
        self.js("""const select = document.querySelector(arguments[0]);
                   select.value = arguments[1];
                   select.dispatchEvent(new Event('change', {bubbles: true}))""", selector, value)
        self.settle()

    def only(self):
        return self.js("return document.querySelector('#only').value")

    def type_only(self, text):
        field = self.find("#only")
        field.clear()
        field.send_keys(text, Keys.ENTER)
        self.settle()

    def tip(self):
        assert self.shown(".tip"), "no tooltip"
        return self.js("""return Object.fromEntries([...document.querySelectorAll('.tip dl div')]
                          .map(line => [line.querySelector('dt').textContent, line.querySelector('dd').textContent]))""")

    def selected_cells(self):
        return self.js("return [...document.querySelectorAll('#map .cell.picked')].map(cell => cell.getAttribute('aria-label').split(':')[0])")

    def saved(self, name, act, seconds=10):
        """The file that appears in the downloads when `act` is done."""
        for old in self.downloads.glob("*"):
            old.unlink()
        act()
        end = time.monotonic() + seconds
        while not (self.downloads / name).exists():
            assert time.monotonic() < end, f"{name} was not saved: {list(self.downloads.iterdir())}"
            time.sleep(0.05)
        return self.downloads / name

    def export(self, view, kind):
        button = self.js("return [...document.querySelectorAll(`#${arguments[0]} .exports button`)].find(b => b.textContent === arguments[1])", view, kind)
        assert button, f"{view} has no {kind}"
        return self.saved(f"suture-{view}.{kind.lower()}", lambda: self.click(button))

    def requests(self):
        """Addresses that were asked for, but for the page itself and what it holds."""
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:", *self.allowed))]

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def page(driver, downloads):
    """A page; whatever a test does with it, it may ask for nothing and complain of nothing."""
    page = Page(driver, downloads)
    yield page
    assert page.requests() == []
    assert page.complaints() == []


VECTORS = ("grpo - sft", "sft - base")


@pytest.fixture(scope="session")
def everything():
    """An analysis with all that one can have, and an ablation."""
    return results.analysis(VECTORS, 24, spectra=True, realised=True), results.ablation(24)


@pytest.fixture(scope="session")
def full(report, everything):
    return report("full", *everything)
