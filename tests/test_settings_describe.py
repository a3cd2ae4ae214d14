"""What may stand in a config file is said key by key."""

import pytest

from abovo.config.load import KINDS, class_of
from abovo.settings.describe import key_lines


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_kind_has_a_meaning_and_a_default_or_is_required(kind):
    lines = list(key_lines(class_of(kind, {"family": "llama"}, "here")))
    assert lines
    for line in lines:
        name, _, rest = line.partition(" (")
        stand, _, meaning = rest.partition("): ")
        assert name and meaning and (stand == "required" or stand.startswith("default: ")), line


def test_keys_inside_of_parts_and_of_named_entries_are_among_them():
    lines = list(key_lines(KINDS["corpora"]))
    assert any(line.startswith("sources.NAME.licence (required): ") for line in lines)
    assert any(line.startswith("deduplication.memory_mb (default: 512): ") for line in lines)
