"""Rows that overlap show every id as a target once, with what stands before it as context."""

import numpy as np
import pytest

from abovo.training.sets import Rows
from abovo.training.windows import Windows


@pytest.mark.parametrize(
    ("rows", "length", "overlap"), [(5, 8, 0), (5, 8, 3), (4, 8, 7), (1, 8, 4), (3, 16, 5), (0, 8, 2)]
)
def test_windows_show_every_id_as_a_target_once(rows, length, overlap):
    flat = np.arange(100, 100 + rows * length, dtype=np.uint16).reshape(rows, length)
    sets = Rows(Windows(flat, overlap), None, pad=0)
    targets = []
    for row in range(len(sets)):
        window = sets[row : row + 1]
        ids, counts = window.array[0], window.counts[0]
        assert list(ids) == list(range(ids[0], ids[0] + length)), "a window is a stretch of the text"
        targets += list(ids[counts])
    assert targets == list(flat.reshape(-1)), "each id once, none lost at the end, in the order of the text"
    if overlap == 0:
        assert len(sets) == rows
    elif rows > 1:
        assert list(sets[1:2].counts[0][:overlap]) == [False] * overlap and sets[1:2].counts[0][-1]


def test_windows_of_several_rows_are_those_of_each():
    windows = Windows(np.arange(48, dtype=np.uint16).reshape(6, 8), 3)
    together = Rows(windows, None, pad=0)[1:4]
    one_by_one = [Rows(windows, None, pad=0)[row : row + 1] for row in range(1, 4)]
    assert np.array_equal(together.array, np.concatenate([one.array for one in one_by_one]))
    assert np.array_equal(together.counts, np.concatenate([one.counts for one in one_by_one]))
    assert np.array_equal(together[1:2].counts, one_by_one[1].counts), "a part of a part is marked alike"


def test_padding_is_no_target_in_windows():
    ids = np.arange(1, 17, dtype=np.uint16).reshape(2, 8)
    ids[1, 4:] = 0
    rows = Rows(Windows(ids, 2), None, pad=0)
    counted = np.concatenate([rows[row : row + 1].array[rows[row : row + 1].counts] for row in range(len(rows))])
    assert list(counted) == list(range(1, 13))
