"""The training benchmark reads its ratio rightly from losses; its plain GPT is a language model that looks back."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import recipe
import trained
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
