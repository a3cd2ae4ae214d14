"""A training is told by its losses at shares of its tokens, and the reference runs say what they are drawn from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from abovo.errors import AbovoError
from abovo.reporting.curve import losses_at, table

DOCS = Path("docs")


def rows(steps=1000):
    made = [{"step": step, "tokens": step * 10, "loss": 1000.0 - step} for step in range(1, steps + 1)]
    made.insert(0, {"step": 0, "tokens": 0, "validation_loss": 9.0})
    made.insert(501, {"step": 500, "tokens": 5000, "validation_loss": 3.0, "validation_loss/web": 2.5})
    return [*made, {"step": steps, "tokens": steps * 10, "validation_loss": 2.0, "validation_loss/web": 1.5}]


def test_losses_are_means_around_a_share_and_the_last_validation_until_then():
    assert losses_at(rows(), 0.5) == {"tokens": 5000, "training": 500.0, "validation": 3.0, "web": 2.5}
    assert losses_at(rows(), 1.0) == {"tokens": 10_000, "training": 5.0, "validation": 2.0, "web": 1.5}
    assert losses_at(rows(), 0.1) == {"tokens": 1000, "training": 900.0}
    with pytest.raises(AbovoError, match="no row carries a loss"):
        losses_at(rows()[:1], 0.5)


@pytest.mark.parametrize("name", [path.stem for path in sorted((DOCS / "reference-runs").glob("*.jsonl"))])
def test_tables_and_figures_of_the_reference_runs_are_what_their_commands_make(name, tmp_path):
    page = (DOCS / "reference-runs.md").read_text(encoding="utf-8")
    found = [json.loads(line) for line in (DOCS / f"reference-runs/{name}.jsonl").read_text().splitlines()]
    assert "\n".join(table(found)) in page
    (command,) = [line.strip() for line in page.replace("\\\n", "").splitlines() if f"{name}.svg --title" in line]
    words = command.partition(" --title ")
    title = words[2].strip('"')
    own = [sys.executable, *words[0].replace(f"docs/reference-runs/{name}.svg", str(tmp_path / "new.svg")).split()[1:]]
    subprocess.run([*own, "--title", title], check=True, capture_output=True)
    drawn, kept = (path.read_text() for path in (tmp_path / "new.svg", DOCS / f"reference-runs/{name}.svg"))
    assert title in drawn and drawn.count("<path") == kept.count("<path")
