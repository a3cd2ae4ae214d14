"""What was read of a source file is kept beside its bytecode, and read again whenever the file is another."""

import json
from pathlib import Path

import pytest

from abovo.provenance import parsed
from abovo.provenance.code import PACKAGE, WATCHING
from abovo.provenance.parsed import read_statements
from abovo.provenance.syntax import statements


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "kinds.py"
    path.write_text('from a import b\nKINDS = Table({"x": "a:b"}, "kind", groups={"all": ("x",)})\n')
    return path


def test_kept_statements_are_those_of_the_file(source, monkeypatch):
    first = read_statements(source, WATCHING)
    monkeypatch.setattr(parsed, "statements", pytest.fail)  # what is kept needs no reading
    assert read_statements(source, WATCHING) == first == statements(source, WATCHING)


def test_kept_statements_of_the_whole_library_are_those_of_its_files():
    for path in PACKAGE.rglob("*.py"):
        read_statements(path, WATCHING)
        assert read_statements(path, WATCHING) == statements(path, WATCHING), path


def test_another_text_and_other_watching_rooms_are_read_anew(source):
    first = read_statements(source, WATCHING)
    source.write_text(source.read_text() + "MORE = 1\n")
    assert len(read_statements(source, WATCHING)) == len(first) + 1
    source.write_text("from own.room import Line\nline = Line()\nline.update(1)\n")
    assert len(read_statements(source, ("own.room",))) != len(read_statements(source, ()))


@pytest.mark.parametrize("kept", ["", "[]", "{}", json.dumps({"key": 1, "statements": 2})])
def test_damaged_and_unwritable_places_cost_time_only(source, kept, monkeypatch):
    first = read_statements(source, WATCHING)
    place = source.parent / "__pycache__" / "kinds.statements.json"
    place.write_text(kept)
    assert read_statements(source, WATCHING) == first
    place.unlink(), place.parent.rmdir(), place.parent.write_text("a file where the folder would be")
    assert read_statements(source, WATCHING) == first
    assert Path(place.parent).is_file()
