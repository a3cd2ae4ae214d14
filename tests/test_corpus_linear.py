"""No text makes cleaning, comparing, a filter or the making of facts slow: 1 MB of the worst strings costs about what
1 MB of speeches costs.

Ratios measured are below 10 (`python benchmarks/adversarial.py` prints them); what takes the square of the size is at
1,000 and more.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import adversarial

MOST = 50
STEPS = adversarial.steps()
STRINGS = dict(adversarial.strings(adversarial.MB))


@pytest.fixture(scope="module")
def units():
    return adversarial.units(STEPS, adversarial.MB)


@pytest.mark.parametrize("name", STRINGS)
def test_no_string_is_slower_than_its_size(name, units):
    slow = {}
    for step, work in STEPS.items():
        text = adversarial.ready(step, STRINGS[name])
        # Again where something else held the machine up.
        ratio = next(
            (found for _ in range(3) if (found := adversarial.spent(work, text) / units[step]) < MOST), float("inf")
        )
        if ratio >= MOST:
            slow[step] = f"more than {MOST} times plain text"
    assert not slow
