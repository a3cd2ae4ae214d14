"""The training benchmark reads its ratio rightly from losses; its plain GPT is a language model that looks back; its
contest on a device runs whole on a processor, at a small size."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import device_contest
import recipe
import trained
from contestant import CONTESTANTS, Turn, flops_per_token
from kernels import kernel_table
from nanogpt_style import PlainGPT
from small_world import make_corpus, make_packed, make_tokenizer


@pytest.mark.parametrize("share", [0.3, 0.42, 0.5, 0.7])
def test_share_is_found_where_the_loss_falls_with_the_logarithm(share):
    """Between the points, and beyond either end."""
    losses = {place: 5 - 0.7 * math.log(place) for place in (0.35, 0.45, 0.6)}
    assert recipe.share_at(losses, 5 - 0.7 * math.log(share)) == pytest.approx(share)


def test_interval_is_students():
    found = recipe.interval([0.5, 0.6, 0.7])
    assert found["mean"] == pytest.approx(0.6)
    assert found["high"] - found["mean"] == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert recipe.interval([0.5])["low"] is None


def test_plain_gpt_sees_no_later_id_and_starts_at_the_logarithm_of_its_vocabulary():
    torch.manual_seed(0)
    model = PlainGPT(64, 16, 32, 2, 2)
    ids = torch.randint(0, 64, (4, 16))
    assert model(ids).item() == pytest.approx(math.log(64), abs=0.1)
    gradient = torch.autograd.grad(model(ids[:1, :9]), model.places.weight)[0]
    assert gradient[8:].abs().max() == 0, "a place after the last target's input has a gradient"


@pytest.mark.slow
def test_trainer_takes_the_settings_of_both_sides(tmp_path):
    corpus = make_corpus(tmp_path)
    tokenizer = make_tokenizer(tmp_path, corpus)
    packed = make_packed(tmp_path, corpus, tokenizer, recipe.LENGTH, name="benchmark")
    sides = [recipe.baseline(recipe.BATCH_TOKENS, 0.003, 1), recipe.recipe("tiny", recipe.BATCH_TOKENS, 1)]
    found = trained.Runs(tmp_path, tokenizer, packed.path).results(sides)
    assert [(one["steps"], one["tokens"]) for one in found] == [(1, recipe.BATCH_TOKENS)] * 2
    assert all(0 < one["validation_loss"] < math.log(600) for one in found)


def test_contestants_are_of_equal_size_and_their_operations_count_what_is_multiplied():
    """6 N + 12 L H h T: of equal parameters all but 2 %, and of more attention where the trainer's model is deeper."""
    for model in ("tiny", "small"):
        own, plain = (device_contest.first_turn(name, model, "cuda", 1, None) for name in ("abovo", "nanogpt_style"))
        with torch.device("meta"):
            sizes = [sum(p.numel() for p in built.parameters()) for built in (own.build(), _plain(plain))]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
        places, length = plain.plain["width"] * plain.length, plain.length
        attention = 12 * plain.plain["layers"] * plain.plain["width"] * length
        assert flops_per_token(plain) == 6 * (sizes[1] - places) + attention
        shape = trained.model({}, model)
        assert flops_per_token(own) == 6 * sizes[0] + 12 * shape["layers"] * shape["heads"] * shape["head_dim"] * length


def _plain(turn):
    return PlainGPT(turn.vocabulary, turn.length, **turn.plain)


def test_pieces_of_a_step_are_equal():
    turn = Turn("nanogpt_style", "tiny", "cpu", 64, 16, 12, {}, {}, micro_batch=8)
    assert turn.micro_batches() == (6, 2)
    assert turn.batches().shape == (turn.total, 12, 16)


def test_without_a_gpu_the_contest_on_one_ends_with_a_line():
    """On a machine that has GPUs too: none of them is shown to it."""
    script = Path(__file__).resolve().parent.parent / "benchmarks/training.py"
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
    ended = subprocess.run([sys.executable, script, "--device", "cuda"], env=hidden, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: no GPU is visible to torch") and ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_contest_on_a_device_runs_whole_on_a_processor():
    shape = {"hidden_size": 64, "layers": 2, "heads": 2, "key_value_heads": 1, "head_dim": 32, "feed_forward": 128}
    small = {
        "shape": shape, "plain": {"width": 64, "layers": 2, "heads": 2}, "vocabulary": 512, "length": 64, "rows": 8,
        "micro_batch": 8, "warm": 1, "steps": 2, "parted": 1,
    }  # fmt: skip
    turns = {name: replace(device_contest.first_turn(name, "tiny", "cpu"), **small) for name in CONTESTANTS}
    found = device_contest.contest("tiny", turns, 1, profile=True)
    assert list(found) == ["abovo", "nanogpt_style", "transformers_trainer", "minimal_loop"]
    for name, (result,) in found.items():
        assert result["tokens_per_second"] > 0 and result["mfu"] is None, name
        assert 0 < result["parts"]["optimizer"] < result["parts"]["gradient"], name
        assert result["first_step_seconds"] > result["step_seconds"], name
        assert sum(row["calls"] for row in result["kernels"] if row["name"] == "aten::mm") > 10, name
        assert "aten::mm" in kernel_table(result["kernels"], "cpu"), name
    lines = device_contest.table("tiny", found, "cpu", turns["abovo"]).splitlines()
    assert len(lines) == 8 and len({line.count("|") for line in lines[2:]}) == 1
