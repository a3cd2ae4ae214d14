"""Columns of text are read whatever Arrow calls them, and sizes are looked at before anything is decoded."""

import base64
import json
import subprocess
import sys
import zlib

import pyarrow
import pyarrow.parquet
import pytest
from corpus_jobs import opened, rows_of

from abovo.corpus.pages import Chunk, page_header
from abovo.corpus.sources import open_rows
from abovo.errors import AbovoError

TEXTS = ["one", "zwei é", None, "one"]
KINDS = {
    "string": pyarrow.string(), "large_string": pyarrow.large_string(), "string_view": pyarrow.string_view(),
    "binary": pyarrow.binary(), "large_binary": pyarrow.large_binary(), "binary_view": pyarrow.binary_view(),
}  # fmt: skip


def texts(path, **values):
    source = opened({"type": "local", "paths": str(path)} | values)
    return [record.text for unit in source.units for record in source.read(unit)]


def column(kind):
    values = TEXTS if "string" in kind else [text and text.encode() for text in TEXTS]
    return pyarrow.array(values, KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_read_from_every_kind_of_column_that_holds_them(tmp_path, kind):
    pyarrow.parquet.write_table(pyarrow.table({"text": column(kind), "n": [1, 2, 3, 4]}), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == TEXTS
    if "string" in kind:
        source = open_rows(rows_of(type="local", paths=str(tmp_path / "a.parquet")))
        assert [row.values["text"] for row in source.read()] == TEXTS


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_read_from_dictionaries_of_every_kind(tmp_path, kind):
    """As other libraries write them: plain columns, and a schema that calls them dictionaries."""
    schema = pyarrow.schema([("text", pyarrow.dictionary(pyarrow.uint32(), KINDS[kind]))])
    plain = pyarrow.schema([("text", pyarrow.string() if "string" in kind else pyarrow.binary())])
    with pyarrow.parquet.ParquetWriter(tmp_path / "a.parquet", plain, store_schema=False) as writer:
        values = column(kind.removeprefix("large_").removesuffix("_view"))
        writer.write_table(pyarrow.table({"text": values}))
        writer.add_key_value_metadata({"ARROW:schema": base64.b64encode(schema.serialize().to_pybytes()).decode()})
    assert texts(tmp_path / "a.parquet") == TEXTS


def test_a_column_of_numbers_is_no_text(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(AbovoError, match=r"a\.parquet: column 'text' holds int64, not text"):
        texts(tmp_path / "a.parquet")


def test_row_groups_without_rows_give_no_records(tmp_path):
    tables = [pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())}) for texts in (["a"], [], ["b"], [])]
    with pyarrow.parquet.ParquetWriter(tmp_path / "a.parquet", tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    source = opened({"type": "local", "paths": str(tmp_path / "a.parquet")})
    assert [item["pieces"] for item in source.revision["files"]] == [4]
    assert texts(tmp_path / "a.parquet") == ["a", "b"]


def test_a_footer_that_is_damaged_is_told_in_one_line(tmp_path):
    """Names that are no text come out of the library as errors of other kinds."""
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "column": ["b"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"column", b"col\xf0mn"))
    with pytest.raises(AbovoError, match=r"a\.parquet: cannot be read as parquet .*replace the file"):
        texts(path)


MEMORY = """
import sys, json
from abovo.corpus.sources import open_rows, open_source
from abovo.settings.corpus import Source
from abovo.settings.instruction import Records
from abovo.settings.keys import build
import pyarrow.parquet
def resident(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024
before, place, said, number = resident("VmRSS"), {"type": "local", "paths": sys.argv[1]}, "", 0
try:
    if sys.argv[2] == "rows":
        for row in open_rows(build(Records, place)).read():
            number += 1
    else:
        source = open_source(build(Source, place | {"licence": "CC0", "language": "en", "max_record_mb": 2}))
        for record in (record for unit in source.units for record in source.read(unit)):
            number += bool(record.text)
except Exception as error:
    said = f"{type(error).__name__} {error}"
print(json.dumps([number, resident("VmHWM") - before, said]))
"""


def measured(path, view):
    command = [sys.executable, "-c", MEMORY, str(path), view]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def lines(text, number):
    return pyarrow.array([text]).take(pyarrow.array([0] * number))


def large_value():
    return {"text": ["x" * 300_000_000]}, 0, "row group holds pages of 300 MB"


def large_page():
    return {"text": lines("x" * 1_000_000, 300)}, 0, "row group holds pages of 300 MB"


def large_dictionary():
    return {"text": lines("x" * 1_000_000, 900).dictionary_encode()}, 900, ""


def lists_of_nothing():
    offsets = pyarrow.array([0, 60_000_000], pyarrow.int32())
    lists = pyarrow.ListArray.from_arrays(offsets, pyarrow.nulls(60_000_000, pyarrow.int32()))
    return {"text": ["x"], "more": lists}, 0, "values of a column of lists in one page"


BOMBS = [
    (large_value, "texts"), (large_value, "rows"), (large_page, "texts"), (large_dictionary, "texts"),
    (large_dictionary, "rows"), (lists_of_nothing, "rows"),
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize(("bomb", "view"), BOMBS)
def test_a_small_file_that_would_fill_the_memory_is_read_in_little_or_refused(tmp_path, bomb, view):
    columns, number, says = bomb()
    path = tmp_path / "a.parquet"
    dictionary = bomb is large_dictionary
    pyarrow.parquet.write_table(
        pyarrow.table(columns), path, compression="zstd", use_dictionary=dictionary, write_statistics=False,
        data_page_size=1 << 30, write_batch_size=100_000_000,
    )  # fmt: skip
    assert path.stat().st_size < 1_000_000
    found, memory, said = measured(path, view)
    assert found == number and memory < 150_000_000
    assert says in said if says else not said
    assert not said or said.startswith(f"AbovoError {path}: ")


def test_headers_of_pages_are_seen_wherever_the_library_stops_reading(tmp_path):
    path = tmp_path / "a.parquet"
    draws = [f"{zlib.crc32(b'%d' % number)}" * 9 for number in range(3000)]
    pyarrow.parquet.write_table(pyarrow.table({"text": draws}), path, data_page_size=4000, write_batch_size=50)
    data, group = path.read_bytes(), pyarrow.parquet.read_metadata(path).row_group(0).column(0)
    begin = group.dictionary_page_offset
    end, sizes = begin + group.total_compressed_size, set()
    for step in (1, 7, 1000, len(data)):
        chunk = Chunk(begin, end, kept=True, nested=False)
        for place in range(0, len(data), step):
            chunk.see(place, data[place : place + step], "a")
        assert chunk.next == end
        sizes.add((chunk.dictionary, chunk.pages))
    ((dictionary, pages),) = sizes
    assert dictionary > 0 and 0 < group.total_uncompressed_size - dictionary - pages < 3000
    assert page_header(data[begin : begin + 5]) is None
    with pytest.raises(ValueError, match="of a field"):
        page_header(b"\x1b" * 40)
    with pytest.raises(ValueError, match="sizes are missing"):
        page_header(b"\x15\x02\x00")
