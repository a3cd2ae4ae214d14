"""Batch k is a pure function of (rows, seed, k)."""

from collections import Counter

import pytest

from abovo.training.order import DataOrder, Phase, count, locate, permute


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 1000])
def test_permutation_is_one_to_one(size):
    assert sorted(permute(position, size, "key") for position in range(size)) == list(range(size))


def test_permutation_depends_on_the_key_and_moves_rows():
    first = [permute(position, 1000, "42/a/0") for position in range(1000)]
    second = [permute(position, 1000, "42/a/1") for position in range(1000)]
    assert first != second
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 20
    assert sum(row == position for position, row in enumerate(first)) < 20


@pytest.mark.parametrize("weights", [[1.0], [0.7, 0.3], [0.5, 0.3, 0.2], [0.25, 0.25, 0.25, 0.25], [3, 1, 1, 1, 1]])
def test_mix_realises_its_weights_at_every_length(weights):
    seen = Counter()
    for position in range(3000):
        source, index = locate(weights, position)
        assert index == seen[source], "the i-th draw of a source has index i"
        seen[source] += 1
        for place, weight in enumerate(weights):
            assert abs(seen[place] - weight / sum(weights) * (position + 1)) < 3
    for place in range(len(weights)):
        assert count(weights, place, 3000) == seen[place]


def order(batch=4, batches=25, seed=7):
    phases = [Phase("a", {"x": 0.5, "y": 0.5}, batches), Phase("b", {"y": 0.2, "z": 0.8}, batches)]
    return DataOrder(phases, {"x": 11, "y": 30, "z": 1000}, batch, seed)


def test_batch_does_not_depend_on_its_neighbours_or_on_the_number_of_steps():
    long = DataOrder([Phase("a", {"x": 1.0}, 100)], {"x": 37}, 4, 1)
    short = DataOrder([Phase("a", {"x": 1.0}, 50)], {"x": 37}, 4, 1)
    assert [long.rows_of(k) for k in range(50)] == [short.rows_of(k) for k in range(50)]
    assert long.rows_of(13) == long.rows_of(13)


def test_every_row_comes_once_per_epoch_and_epochs_differ():
    data = DataOrder([Phase("a", {"x": 1.0}, 20)], {"x": 40}, 4, 1)
    rows = [row for k in range(20) for _, row in data.rows_of(k)]
    assert sorted(rows[:40]) == sorted(rows[40:]) == list(range(40))
    assert rows[:40] != rows[40:]


def test_a_later_phase_goes_on_where_the_earlier_one_stopped():
    data = order()
    drawn = [row for k in range(25) for source, row in data.rows_of(k) if source == "y"]
    later = [row for k in range(25, 50) for source, row in data.rows_of(k) if source == "y"]
    assert len(drawn) == 50
    whole = DataOrder([Phase("a", {"y": 1.0}, 100)], {"y": 30}, 1, 7)
    expected = [whole.rows_of(k)[0][1] for k in range(len(drawn) + len(later))]
    assert drawn + later == expected


def test_seed_changes_the_order():
    assert order(seed=1).rows_of(0) != order(seed=2).rows_of(0)
