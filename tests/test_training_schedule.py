"""The learning rate follows its schedule, whatever step a run resumes at."""

import pytest
from small_training import changed

from abovo.settings.training import Schedule
from abovo.training.schedule import learning_rate_factor, weight_decay_factor

WSD = Schedule(kind="wsd", warmup_steps=10)


def factors(schedule, steps=110):
    return [learning_rate_factor(schedule, step, steps) for step in range(1, steps + 1)]


@pytest.mark.parametrize("kind", ["wsd", "cosine", "constant"])
def test_warms_up_linearly_to_the_peak(kind):
    values = factors(changed(WSD, kind=kind))
    assert values[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert max(values) == 1.0
    assert all(value > 0 for value in values)


def test_wsd_is_stable_and_then_falls_to_its_end():
    values = factors(WSD)
    assert values[9:60] == [1.0] * 51
    assert values[60:] == sorted(values[60:], reverse=True)
    assert values[-1] == pytest.approx(1 / 50)


def test_one_minus_sqrt_lies_below_linear():
    assert all(a <= b for a, b in zip(factors(changed(WSD, decay_shape="1-sqrt")), factors(WSD), strict=True))


def test_cosine_ends_at_its_final_share():
    values = factors(changed(WSD, kind="cosine", final_share=0.1))
    assert values[-1] == pytest.approx(0.1, abs=0.01)
    assert values[59] == pytest.approx(0.55, abs=0.02)


def test_no_warmup_starts_at_the_peak():
    assert factors(changed(WSD, warmup_steps=0))[0] == 1.0


def test_weight_decay_is_constant_falls_to_nothing_or_follows_the_learning_rate():
    assert [weight_decay_factor("constant", step, 4, 0.3) for step in (1, 2, 3, 4)] == [1.0] * 4
    assert [weight_decay_factor("linear", step, 4, 0.3) for step in (1, 2, 3, 4)] == [1.0, 0.75, 0.5, 0.25]
    assert weight_decay_factor("learning_rate", 2, 4, 0.3) == 0.3
