import os
import subprocess
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1",
                  TOKENIZERS_PARALLELISM="false")

import pytest
import torch
import transformers

import families

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()

SUTURE = Path(os.environ.get("SUTURE_BIN") or Path(__file__).parents[2] / "build/release/suture").absolute()


def run_suture(*arguments, timeout=60):
    return subprocess.run([SUTURE, *map(str, arguments)], capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, timeout=timeout)


@pytest.fixture(scope="session")
def run():
    """Runs suture and returns what it did."""
    assert SUTURE.exists(), f"there is no {SUTURE}; run ./dev build, or set SUTURE_BIN"
    return run_suture


@pytest.fixture(scope="session")
def suture(run):
    """Runs suture, which must succeed, and returns its standard output."""

    def succeed(*arguments):
        done = run(*arguments)
        assert done.returncode == 0, f"exit {done.returncode} from suture {' '.join(map(str, arguments))}\n{done.stderr}"
        return done.stdout

    return succeed


@pytest.fixture(scope="session")
def family(tmp_path_factory):
    """family(architecture, dtype, storage): the four models, made on first use."""
    made = {}

    def get(*key):
        if key not in made:
            made[key] = families.make_family(tmp_path_factory.mktemp("-".join(key)), *key)
        return made[key]

    return get
