"""What is compiled once is kept: for a resume, for the next run of the same shape, for other numbers of rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from abovo.training.compiling import FOLDER, keep_compiled

PROGRAM = Path(__file__).parent / "compiled_steps.py"


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ("results/pretrain/nano/state", f"results/.cache/compile/{os.getuid()}"),
        ("results/pretrain/small/phase-a/state", f"results/.cache/compile/{os.getuid()}"),
        ("elsewhere/state", f"elsewhere/.cache/compile/{os.getuid()}"),
    ],
)
def test_runs_of_one_project_share_a_place_that_no_product_holds(tmp_path, monkeypatch, state, place):
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.delenv(FOLDER)
    monkeypatch.chdir(tmp_path)
    keep_compiled(Path(state))
    assert Path(os.environ[FOLDER]) == tmp_path / place


def test_a_place_that_the_environment_names_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, "mine")
    keep_compiled(tmp_path / "state")
    assert os.environ[FOLDER] == "mine"


@pytest.mark.slow
@pytest.mark.compiles
def test_a_second_process_compiles_nothing_and_numbers_of_rows_share_what_is_compiled(tmp_path):
    def run():
        words = [sys.executable, str(PROGRAM), str(tmp_path / "results/pretrain/nano/state"), "2", "4", "8", "16"]
        environment = {key: value for key, value in os.environ.items() if key != FOLDER}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    cold, warm = run(), run()
    assert (tmp_path / "results/.cache/compile").is_dir()
    assert cold["hits"] == 0 and warm["hits"] > 0
    assert warm["seconds"][0] < cold["seconds"][0]
    # one for the first number of rows, one for any other
    assert cold["graphs"] == warm["graphs"] == [1, 2, 2, 2]
