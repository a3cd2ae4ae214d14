"""What is evaluated by hand is told plainly: bad numbers by their argument, and tasks of which nothing was measured."""

import runpy

import pytest
from made_evaluations import evaluated

from abovo.errors import AbovoError
from abovo.evaluation.by_hand import print_evaluation


@pytest.mark.parametrize("words", ["--context -3", "--context 0", "--threads 0", "--batch-size 0"])
def test_numbers_out_of_range_are_told_by_their_argument_and_meaning(tmp_path, words):
    script = runpy.run_path("workflow/scripts/evaluate.py")
    given = ["--model", str(tmp_path), "--tasks", "piqa", "--output", str(tmp_path / "out"), *words.split()]
    name, number = words.split()
    meant = name.removeprefix("--").replace("-", "_")
    with pytest.raises(AbovoError, match=f"^{name}: {number} is less than the minimum of [18]; {meant}: [A-Z]"):
        script["main"](script["arguments"]().parse_args(given))


def test_tasks_that_are_all_absent_are_told_without_a_table(tmp_path, capsys):
    print_evaluation(evaluated(tmp_path, {"piqa": "no network"}))
    told = capsys.readouterr().out.splitlines()
    assert told == ["nothing was measured: every task is absent", "absent: piqa: no network"]
