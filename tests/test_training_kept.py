"""Models on the way are those of the first step by which an amount was seen; what cannot be is refused with figures."""

import pytest
import torch
from small_training import ENGINE, RECIPE, SHORT, WORLD, changed, counting_batch, small_model

from abovo.config.budget import budget
from abovo.errors import AbovoError
from abovo.settings.checkpoints import Amounts, Limits, checkpoint_name
from abovo.settings.job import JobPhase, JobSettings
from abovo.settings.keys import plain
from abovo.training.engine_torch import TorchEngine
from abovo.training.kept import keep_weights, sweep_kept, verify_kept
from abovo.training.loop import train
from abovo.training.moments import check_limits, moments_of, tell_moments, words_seen
from abovo.training.order import DataOrder, Phase
from abovo.training.state import open_state
from abovo.training.task import Task, read_settings

# 10 rows of 12 words in the mean and 4 rows of 5.5, in batches of 4 rows of 16 tokens
ROWS, WORDS = {"web": 10, "books": 4}, {"web": 120, "books": 22}


def job(at=(), unit="words", end=None, steps=20, limits=None, phases=None):
    phases = phases or [JobPhase(name="main", sets={"web": 0.75, "books": 0.25}, share=1.0)]
    return JobSettings(
        tokens=steps * 64, sequence_length=16, phases=tuple(phases), training=changed(RECIPE, batch_tokens=64),
        engine=ENGINE, checkpoints=Amounts(unit=unit, at=tuple(at), end=end),
        limits=limits or Limits(),
    )  # fmt: skip


def order_of(settings):
    plan = budget(settings)
    phases = [Phase(phase.name, phase.sets, steps) for phase, steps in zip(settings.phases, plan.phases, strict=True)]
    names = {name for phase in phases for name in phase.weights}
    return plan, DataOrder(phases, {name: ROWS[name] for name in names}, 4, seed=1)


def kept(settings, start=0, words=WORDS):
    plan, order = order_of(settings)
    return moments_of(settings, plan, order, words, start)


def test_words_seen_are_those_of_the_rows_that_batches_hold():
    plan, order = order_of(job())
    per_row = {name: WORDS[name] / ROWS[name] for name in ROWS}
    drawn = 0.0
    for step in range(1, plan.steps + 1):
        drawn += sum(per_row[name] for name, _ in order.rows_of(step - 1))
        assert words_seen(order, WORDS, step) == int(drawn + 1e-9)


def test_a_model_is_that_of_the_first_step_by_which_so_many_words_were_seen():
    settings = job(at=[100, 60, 500], end=900)
    _, order = order_of(settings)
    for moment in kept(settings)[:-1]:
        assert words_seen(order, WORDS, moment.step) == moment.words >= moment.amount
        assert words_seen(order, WORDS, moment.step - 1) < moment.amount
    assert [moment.name for moment in kept(settings)] == ["chck_60", "chck_100", "chck_500", "chck_900"]
    assert kept(settings)[-1].step == 20 and kept(settings)[-1].words < 900


def test_tokens_are_counted_in_whole_steps_and_need_no_words():
    found = kept(job(at=[64, 65, 1280], unit="tokens"), words=None)
    assert [(moment.step, moment.tokens, moment.words) for moment in found] == [
        (1, 64, None),
        (2, 128, None),
        (20, 1280, None),
    ]


def test_models_of_a_phase_are_those_that_fall_into_it():
    phases = [JobPhase(name="a", sets={"books": 1.0}, share=0.5), JobPhase(name="b", sets={"web": 1.0}, share=0.5)]
    asked = {"at": [110, 500], "end": 700}
    first = job(**asked, phases=phases[:1])
    assert [(one.name, one.step) for one in kept(first)] == [("chck_110", 5)]
    assert [(one.name, one.step) for one in kept(job(**asked, phases=phases), start=10)] == [
        ("chck_500", 16),
        ("chck_700", 20),
    ]


def test_amount_beyond_the_budget_is_refused_with_what_it_reaches():
    with pytest.raises(AbovoError, match=r"2,000 words are not reached: the budget of 1,280 tokens ends at 830"):
        kept(job(at=[100, 2000]))
    with pytest.raises(AbovoError, match="do not say how many words"):
        kept(job(at=[100]), words=None)


def test_amounts_that_one_step_passes_are_told(caplog):
    found = kept(job(at=[50, 60, 500]))
    tell_moments(found, "pretraining")
    assert "chck_50, chck_60 are one model, that of step 2: a step is longer than what parts them" in caplog.text


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(epochs=5), "web is gone through 6 times, allowed are 5"),
        (Limits(words=141), r"has 142 words \(web 120, books 22\), allowed are 141"),
    ],
)
def test_text_beyond_the_limits_is_refused_with_figures(limits, said):
    settings = job(limits=limits)
    with pytest.raises(AbovoError, match=said):
        check_limits(settings, *order_of(settings), WORDS)
    generous = job(limits=Limits(epochs=6, words=142))
    check_limits(generous, *order_of(generous), WORDS)


def test_the_largest_budget_within_the_limit_is_named_and_passes():
    alone = [JobPhase(name="main", sets={"web": 1.0}, share=1.0)]
    with pytest.raises(AbovoError, match=r"8 times, allowed are 7.*lower the budget of 1,280 tokens to 1,088 at most"):
        settings = job(limits=Limits(epochs=7), phases=alone)
        check_limits(settings, *order_of(settings), WORDS)
    settings = job(limits=Limits(epochs=7), phases=alone, steps=1088 // 64)
    check_limits(settings, *order_of(settings), WORDS)


@pytest.mark.parametrize(
    ("amount", "name"),
    [(100_000, "chck_100K"), (10**6, "chck_1M"), (10**9, "chck_1000M"), (1_500_000, "chck_1500K"), (1501, "chck_1501")],
)
def test_names_are_those_of_the_challenge(amount, name):
    assert checkpoint_name(amount) == name


def test_limits_and_amounts_survive_the_way_to_the_job():
    settings = job(at=[5], limits=Limits(epochs=3))
    assert read_settings(plain(settings)).checkpoints == settings.checkpoints
    assert read_settings(plain(settings)).limits == settings.limits


def weights(step):
    return {"w": torch.full((3,), float(step))}


def test_damaged_or_missing_model_of_a_passed_step_is_named(tmp_path):
    keep_weights(tmp_path, 4, weights(4))
    keep_weights(tmp_path, 4, weights(5))  # a training that passes the step again
    verify_kept(tmp_path, [4])
    path = tmp_path / "kept/step-000000004/weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    for steps in ([4], [9]):
        with pytest.raises(AbovoError, match=f"the model of step {steps[0]} is missing or damaged"):
            verify_kept(tmp_path, steps)


def test_training_that_goes_on_without_a_model_that_it_passed_ends_with_a_line(tmp_path):
    def run(steps):
        task = Task("test", counting_batch, lambda: [counting_batch(10_000)], steps, 128, SHORT, kept=frozenset({3}))
        with open_state(tmp_path / "state", {}, 0) as state:
            train(task, TorchEngine(small_model(), SHORT, WORLD, "none"), WORLD, state)

    run(5)
    (tmp_path / "state/kept/step-000000003/record.json").unlink()
    with pytest.raises(AbovoError, match="the model of step 3 is missing or damaged"):
        run(8)


def test_models_that_are_no_longer_asked_for_go(tmp_path):
    for name in ("chck_1M", "chck_2M", "step-000000100"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    sweep_kept(tmp_path / "manifest.json", {"chck_2M"})
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["chck_2M", "step-000000100"]
