"""The page's functions that need no page, in Node where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def test_functions():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    done = subprocess.run([node, "--test", Path(__file__).with_name("functions_test.mjs")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)[1]) >= 14
