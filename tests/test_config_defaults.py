"""A recipe that leaves batch and learning rate to `auto` gets those of its model's size and its budget."""

from dataclasses import replace
from pathlib import Path

import pytest

from abovo.config.budget import budget
from abovo.config.defaults import batch_tokens, learning_rate
from abovo.config.runs import Configuration
from abovo.errors import AbovoError

CONFIG = Path("config")


def test_values_are_those_of_the_law():
    # 214,663,680 parameters and 100e9 tokens: an example size of the paper, reckoned by hand
    assert learning_rate(214_663_680, 100_000_000_000) == pytest.approx(
        1.79 * 214_663_680**-0.713 * 1e11**0.307, rel=0.05
    )
    assert batch_tokens(100_000_000_000, 2048) == pytest.approx(0.58 * 1e11**0.571, abs=1024)
    assert batch_tokens(1000, 1024) == 1024


def test_auto_is_resolved_before_steps_are_reckoned():
    plain = Configuration(CONFIG).run("nano")
    values = "nano.training.batch_tokens=auto,nano.training.optimizer.learning_rate=auto"
    run = Configuration(CONFIG, values).run("nano")
    size = run.model.non_embedding_parameters
    assert run.training.batch_tokens == batch_tokens(run.tokens, 256) == 1792
    assert run.training.optimizer.learning_rate == learning_rate(size, run.tokens)
    assert budget(run).steps == -(-run.tokens // 1792)
    assert replace(run.training, batch_tokens=2048, optimizer=plain.training.optimizer) == replace(
        plain.training, batch_tokens=2048
    )


def test_auto_without_a_size_or_for_fine_tuning_is_refused():
    with pytest.raises(AbovoError, match="needs the size of the model"):
        Configuration(
            CONFIG, "nano.training.optimizer.learning_rate=auto,nano.model.non_embedding_parameters=null"
        ).run("nano")
    with pytest.raises(AbovoError, match="pretraining only"):
        Configuration(CONFIG, "nano.sft.training.batch_tokens=auto").run("nano")
    with pytest.raises(AbovoError, match="batch_tokens"):
        Configuration(CONFIG, "nano.training.batch_tokens=many").run("nano")
