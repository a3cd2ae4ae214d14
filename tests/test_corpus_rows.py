"""Texts and whole rows are two views of one reader: the same kinds and packings, the same errors, the same memory."""

import csv
import gzip
import io
import json
import random
import subprocess
import sys

import pytest
import zstandard
from corpus_jobs import opened, rows_of

from abovo.corpus import json_lists
from abovo.corpus.json_lists import elements
from abovo.corpus.sources import open_rows
from abovo.errors import AbovoError

RECORDS = [{"text": f"number {number} é", "more": [number, {"x": None}]} for number in range(300)]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()
TEXT = "".join(record["text"] + "\n" for record in RECORDS).encode()
LIST = b"\xef\xbb\xbf \n" + json.dumps(RECORDS, indent=1).encode() + b"\n"
VALUES = [[f'{record["text"]}, "so"\nto say', record["more"][0]] for record in RECORDS[:9]]
KINDS = {
    "jsonl": LINES, "ndjson": LINES, "lines.json": LINES, "list.json": LIST, "txt": TEXT, "raw": TEXT, "md": TEXT,
}  # fmt: skip
PACK = {"": bytes, "gz": gzip.compress, "zst": zstandard.compress}


def place(path):
    return rows_of(type="local", paths=str(path))


def settings(path, **values):
    return {"type": "local", "paths": str(path), "documents": "line"} | values


def texts(path, **values):
    source = opened(settings(path, **values))
    return [record for unit in source.units for record in source.read(unit)]


def rows(path):
    return list(open_rows(place(path)).read())


def both(path):
    """What the two views of a file say is wrong with it."""
    said = []
    for read in (texts, rows):
        with pytest.raises(AbovoError) as caught:
            read(path)
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_packing_gives_the_same_texts_and_rows(tmp_path, kind, packing):
    path = tmp_path / ".".join(part for part in ("a", kind, packing) if part)
    path.write_bytes(PACK[packing](KINDS[kind]))
    assert [record.text for record in texts(path)] == [record["text"] for record in RECORDS]
    plain = kind in ("txt", "raw", "md")
    found = rows(path)
    assert [row.values for row in found] == ([{"text": one["text"]} for one in RECORDS] if plain else RECORDS)
    assert found[6].where == f"{path}, {'record' if kind == 'list.json' else 'line'} 7"


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize(("kind", "dialect"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_separated_values_give_the_same_texts_and_rows(tmp_path, kind, dialect, packing):
    """Whatever is in the quotes: separators, line ends, quotes."""
    path = tmp_path / ".".join(part for part in ("a", kind, packing) if part)
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=dialect).writerows([["text", "n"], *VALUES])
    path.write_bytes(PACK[packing](b"\xef\xbb\xbf" + file.getvalue().encode()))
    found = texts(path)
    assert [record.text for record in found] == [text for text, _ in VALUES]
    assert [record.id for record in found] == [f"{path.name}#{number:08d}" for number in range(1, 10)]
    assert texts(path, column="n")[4].text == "4"
    assert [row.values for row in rows(path)] == [{"text": text, "n": str(number)} for text, number in VALUES]
    assert rows(path)[2].where == f"{path}, line 6"
    source = opened(settings(path))
    assert list(source.read(path.name, 7)) == found[7:]


def test_a_row_of_separated_values_over_the_limit_ends_the_job_in_bounded_memory(tmp_path):
    """Where it ends cannot be told, and what follows would be lost."""
    path = tmp_path / "a.csv"
    path.write_text("n,text\n1," + "x" * 200_000 + '\n2,"' + "line\n" * 300_000 + '"\n3,z\n')
    assert [len(record.text) for record in texts(path, max_record_mb=2)] == [200_000, 1_500_000, 1]
    with pytest.raises(
        AbovoError, match=r"a\.csv, line 3: the row that begins here is larger than 1 MB, or a quote is"
    ):
        texts(path, max_record_mb=1, bad_records="count")


def test_columns_of_separated_values_are_told_where_the_text_is_not_there(tmp_path):
    (tmp_path / "a.csv").write_text("title,body\nx,y\n")
    with pytest.raises(AbovoError, match=r"no column 'text' \(has: body, title\); set the source's `column`"):
        texts(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("text,text\nx,y\n")
    for said in both(tmp_path / "a.csv"):
        assert "line 1: two columns are named 'text'; rename one" in said
    (tmp_path / "a.csv").write_text("")
    assert [record.fault for record in texts(tmp_path / "a.csv")] == ["empty file"]


def test_parquet_gives_all_columns_row_by_row(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([{"text": one["text"], "more": {"a": one["more"][:1]}} for one in RECORDS])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=70)
    found = rows(tmp_path / "a.parquet")
    assert [row.values for row in found] == table.to_pylist()
    assert found[99].where.endswith("a.parquet, row 100")
    assert [record.text for record in texts(tmp_path / "a.parquet")] == [record["text"] for record in RECORDS]


def frames():
    """Two zstd frames, as parallel compressors write them; the second is larger than what readers take at once."""
    draw = random.Random(1)
    made = [json.dumps({"text": "".join(draw.choices("abcdefgh ", k=150))}).encode() + b"\n" for _ in range(4000)]
    return tuple(zstandard.compress(b"".join(part)) for part in (made[:20], made[20:]))


@pytest.mark.parametrize("cut", ["header", "block", "last byte"])
def test_a_zst_file_that_ends_within_a_frame_is_never_taken_for_a_whole_one(tmp_path, cut):
    first, second = frames()
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(first + second)
    assert len(texts(path)) == len(rows(path)) == 4000
    path.write_bytes(first + second[: {"header": 5, "block": len(second) // 2, "last byte": -1}[cut]])
    for said in both(path):
        assert said.startswith(f"{path}: cannot be read beyond line ") and "the end of the file is missing" in said


BAD = [
    ("a.jsonl", b'{"text": "x"}\n{', "line 2: not valid JSON"),
    ("a.jsonl", b'{"text": "x"}\n[1]\n', "line 2: not a JSON object; write one object per record"),
    ("a.jsonl", b'{"text": "caf\xe9"}\n', "line 1: not UTF-8 (byte 13)"),
    ("a.jsonl", b'{"text": "x", "n": Infinity}\n', "line 1: not valid JSON (key 'n' holds Infinity); write null"),
    ("a.jsonl", b'{"text": "\\ud800", "n": NaN}\n', "line 1: not valid JSON"),
    ("a.json", b'[{"text": "x"}, {"n": [-Infinity]}]', "record 2: not valid JSON (holds -Infinity); write null"),
    ("a.json", b'[{"text": "x"}, 3]', "record 2: not a JSON object"),
    ("a.json", b'[{"text": "x"},]', "record 2: not valid JSON"),
    ("a.json", b'[{"text": "x"}, {"text": "y"}', "cannot be read beyond record 1 (the end of the list is missing)"),
    ("a.json", b'[{"text": "x"}] [1]', "holds more than its list"),
    ("a.json", b'{\n "text": "x"\n}\n', "line 1: not valid JSON"),
    ("a.txt", b"one\ncaf\xe9\n", "line 2: not UTF-8 (byte 3)"),
    ("a.json.gz", gzip.compress(LIST)[:-9], "cannot be read beyond line 0 (Compressed file ended"),
    ("a.jsonl.gz", b"no gzip", "cannot be read beyond line 0"),
    ("a.parquet", b"PAR1 no", "cannot be read as parquet"),
    ("a.csv", b"text,n\nx,1\nyes, no,2\n", "line 3: not valid CSV (3 values in a row of 2 columns); quote values"),
    ("a.csv", b'text,n\nx,1\n"y"z,2\nx,3\n', "line 3: not valid CSV (',' expected after '\"'); mend its quotes"),
    ("a.csv", b'text,n\nx,1\n"y,2\nx,3\n', "cannot be read beyond line 3 (unexpected end of data: a quote is not"),
    ("a.tsv", b"n\ttext\n1\tx\n2\tcaf\xe9\n", "line 3: not UTF-8 (byte 3)"),
    ("a.csv.gz", gzip.compress(b"text\nx\n")[:-4], "cannot be read beyond line "),
    (
        "a.html",
        b"text\n",
        "no reader for this kind of file (known: .txt, .raw, .md, .jsonl, .json, .ndjson, .csv, .tsv",
    ),
    ("a.parquet.gz", b"", "no reader for this kind of file"),
]


@pytest.mark.parametrize(("name", "data", "says"), BAD)
def test_both_views_tell_damage_in_the_same_words(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    text, row = both(tmp_path / name)
    assert says in text and str(tmp_path / name) in text
    # a corpus has keys that task rows have not
    if says.startswith("no reader"):
        assert text == f"{row}, or name its ending in `endings` if it is text"
    else:
        assert text.removesuffix(", or set `bad_records: count`") == row


def test_nan_is_read_as_null_as_tables_mean_it(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "x", "n": [NaN, 2]}\n{"text": NaN, "n": 1}\n')
    assert [row.values for row in rows(path)] == [{"text": "x", "n": [None, 2]}, {"text": None, "n": 1}]
    assert [(record.text, record.fault) for record in texts(path)] == [("x", ""), (None, "")]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [("a.jsonl", b"", "empty file"), ("a.json", b"[ ]", "empty file"), ("a.txt", b"x" * 17_000_000, "too large")],
)
def test_what_a_corpus_counts_as_refused_ends_a_reading_of_rows(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    assert [record.fault for record in texts(tmp_path / name)] == [says]
    with pytest.raises(AbovoError, match=f"{name}.*: {says}; mend or remove it"):
        rows(tmp_path / name)


def test_a_parquet_value_that_is_not_utf8_is_named_with_its_row(tmp_path):
    import pyarrow
    import pyarrow.parquet

    values = pyarrow.array([b"good", b"caf\xe9", b"good"]).cast(pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, values.buffers())
    pyarrow.parquet.write_table(pyarrow.table({"text": text}), tmp_path / "a.parquet")
    for said in both(tmp_path / "a.parquet"):
        assert "a.parquet, row 2: not UTF-8 (byte 3" in said


def test_rows_are_read_from_folders_and_large_files_of_lines_too(tmp_path, monkeypatch):
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / name).write_bytes(LINES)
    (tmp_path / "info.json").write_text('{"features": []}')
    monkeypatch.setattr("abovo.corpus.units.RANGE", 1000)
    source = open_rows(place(tmp_path))
    assert [item["pieces"] > 5 for item in source.revision["files"]] == [True, True]
    for _ in range(2):
        found = list(source.read())
        assert [row.values for row in found] == RECORDS * 2
        assert found[299].where == f"{tmp_path / 'a.jsonl'}, line 300"


def test_a_file_that_changes_between_two_passes_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    source = open_rows(place(tmp_path / "a.jsonl"))
    (tmp_path / "a.jsonl").write_bytes(LINES[:-1] + b" ")
    with pytest.raises(AbovoError, match=r"a\.jsonl: changed after it was planned to be read; start again"):
        list(source.read())


def value(draw, depth=0):
    kind = draw.randrange(6 if depth < 4 else 4)
    if kind == 4:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 5:
        return {draw.choice(('a"', "b\\", "[", "é,")): value(draw, depth + 1) for _ in range(draw.randrange(4))}
    return (None, draw.randrange(-9, 9), "".join(draw.choices('ab"\\[]{},: \né', k=draw.randrange(9))), True)[kind]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 18])
def test_a_list_is_cut_into_its_elements_wherever_the_reader_stops(monkeypatch, chunk):
    monkeypatch.setattr(json_lists, "CHUNK", chunk)
    for seed in range(100):
        draw = random.Random(seed)
        made = [value(draw) for _ in range(draw.randrange(6))]
        data = json.dumps(made, indent=draw.choice((None, 0, 2)), ensure_ascii=draw.random() < 0.5).encode()
        assert [json.loads(piece) for piece in elements(io.BytesIO(data), 10**6, "x")] == made
        large = [json.loads(piece) if piece else None for piece in elements(io.BytesIO(data), 12, "x")]
        assert len(large) == len(made) and all(one in (None, two) for one, two in zip(large, made, strict=True))


MEMORY = """
import sys, json
from abovo.corpus.sources import open_rows, open_source
from abovo.settings.corpus import Source
from abovo.settings.instruction import Records
from abovo.settings.keys import build
import gzip, zstandard, zlib
def resident(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024
before, place = resident("VmRSS"), {"type": "local", "paths": sys.argv[1]}
if sys.argv[2] == "rows":
    number = sum(1 for row in open_rows(build(Records, place)).read())
else:
    source = open_source(build(Source, place | {"licence": "CC0", "language": "en"}))
    number = sum(1 for unit in source.units for record in source.read(unit))
print(json.dumps([number, resident("VmHWM") - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize("view", ["rows", "texts"])
def test_a_json_list_of_100_mb_is_read_in_bounded_memory(tmp_path, view):
    path = tmp_path / "a.json"
    with path.open("w") as file:
        for number in range(50):
            file.write(f'{"," if number else "["}\n {{"text": "{number}", "other": "{"x" * 2_000_000}"}}')
        file.write("]")
    command = [sys.executable, "-c", MEMORY, str(path), view]
    number, memory = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert number == 50
    assert memory < 40_000_000
