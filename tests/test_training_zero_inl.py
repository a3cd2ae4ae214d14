"""Integrators train under ZeRO in two processes as in one of torch, and whatever stops them, end bit for bit alike."""

import subprocess

import pytest
from test_training_deepspeed import PROGRAM, STEPS, equal_bit_for_bit, outcome, run, train_with_torch
from test_training_engines import command

pytest.importorskip("deepspeed", reason="DeepSpeed runs on Linux only")
INTEGRATORS = ("zero2-offload-inl", "zero3-inl")
CHECKPOINT = "step-000000005"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What each left that nobody stopped, and that an exception stopped."""
    return run(2, tmp_path_factory.mktemp("integrators"), INTEGRATORS)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", INTEGRATORS)
def test_zero_trains_integrators_as_torch_does_in_one_process(folder, tmp_path, strategy):
    train_with_torch(tmp_path, ["inl"]).assert_equalled_by(*outcome(folder / strategy, "whole"))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", INTEGRATORS)
def test_integrators_that_an_exception_stopped_go_on_bit_for_bit(folder, strategy):
    equal_bit_for_bit(outcome(folder / strategy, "whole"), outcome(folder / strategy, "again"))


@pytest.mark.slow
def test_integrators_whose_processes_were_killed_go_on_bit_for_bit(folder, tmp_path):
    """SIGKILL to both ranks once the first checkpoint stands; another launch goes on from what they left."""
    strategy, killed_one = INTEGRATORS[0], f"{INTEGRATORS[0]}-dies"
    start = command(2, tmp_path, killed_one, STEPS, program=PROGRAM)
    killed = subprocess.run(start, capture_output=True, text=True, check=False, timeout=300)
    assert killed.returncode != 0
    assert "Signal 9 (SIGKILL)" in killed.stderr
    left = (tmp_path / killed_one / "whole/state").glob("step-*")
    assert [path.name for path in left] == [CHECKPOINT]
    run(2, tmp_path, [killed_one])
    equal_bit_for_bit(outcome(folder / strategy, "whole"), outcome(tmp_path / killed_one, "whole"))
