"""Damage in a source is counted and reported, or ends with an error that names file and record; never silent."""

import gzip
import json
import shutil
import subprocess
import sys
import zlib

import pytest
import zstandard
from corpus_jobs import SCRIPTS, opened, resolved, rows_of, run_jobs

from abovo.corpus.assemble import assemble_corpus
from abovo.corpus.duplicates import find_duplicates
from abovo.corpus.parts import in_order
from abovo.corpus.shards import read_documents
from abovo.corpus.sources import open_rows
from abovo.errors import AbovoError
from abovo.provenance.manifest import digest_of, read_manifest
from abovo.settings.keys import plain
from abovo.tokenizing.count import measures_of

GOOD = "a line of words that is long enough to stay"
CORPUS = {
    "description": "", "bytes_per_token": 3.0, "seed": 5, "min_characters": 10, "max_characters": 5000,
    "sample_documents": 10, "shard_mb": 0.02, "deduplication": {"near": None},
}  # fmt: skip
PACKERS = {".gz": lambda: zlib.compressobj(1, wbits=31), ".zst": lambda: zstandard.ZstdCompressor().compressobj()}
PACK = {"": bytes, ".gz": lambda data: gzip.compress(data, mtime=0), ".zst": zstandard.compress}


def settings(path, **values):
    return {"type": "local", "paths": str(path), "column": "text", "documents": "line"} | values


def read(path, **values):
    source = opened(settings(path, **values))
    return [record for unit in source.units for record in source.read(unit)]


def line(text, **more):
    return json.dumps({"text": text} | more).encode() + b"\n"


def write_parquet(path, rows, group=3, **columns):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(columns or {"text": rows})
    pyarrow.parquet.write_table(table, path, row_group_size=group, compression="none")


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("cut", [1, 20, 0.5, 0.9])
def test_a_packed_file_cut_short_is_named_with_the_last_line_that_was_whole(tmp_path, packing, cut):
    data = PACK[packing](b"".join(line(f"{number} {number**7} {GOOD}") for number in range(3000)))
    path = tmp_path / f"a.jsonl{packing}"
    path.write_bytes(data[: -cut if cut >= 1 else int(len(data) * cut)])
    with pytest.raises(AbovoError, match=rf"a\.jsonl{packing}: cannot be read beyond line \d+ .*replace the file"):
        read(path)


def test_a_flipped_byte_in_a_packed_file_is_noticed(tmp_path):
    data = bytearray(gzip.compress(b"".join(line(f"{number**7} {GOOD}") for number in range(3000))))
    data[len(data) // 2] ^= 4
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    with pytest.raises(AbovoError, match=r"a\.jsonl\.gz"):
        read(tmp_path / "a.jsonl.gz")


@pytest.mark.parametrize("left", [0, 3, 100, 0.5, 0.99])
def test_a_parquet_file_cut_short_is_named(tmp_path, left):
    path = tmp_path / "a.parquet"
    write_parquet(path, [GOOD] * 100)
    data = path.read_bytes()
    path.write_bytes(data[: left if left >= 1 or left == 0 else int(len(data) * left)])
    with pytest.raises(AbovoError, match=r"a\.parquet: cannot be read as parquet"):
        read(path)


def test_a_damaged_row_group_is_named_with_its_row(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, [f"{number} {GOOD}" for number in range(9)])
    revision = opened(settings(path)).revision
    data = bytearray(path.read_bytes())
    place = data.index(b"5 " + GOOD.encode())
    data[place - 60 : place] = b"\xff" * 60
    path.write_bytes(data)
    with pytest.raises(AbovoError, match=r"a\.parquet: cannot be read as parquet beyond row 3 "):
        read(path)
    with pytest.raises(
        AbovoError, match=r"a\.parquet: changed after it was planned to be read; remove the corpus' plan\.json"
    ):
        list(opened(settings(path), revision).read("a.parquet@1/3"))


DAMAGED = {
    "not UTF-8": (b'{"text": "caf\xe9"}\n', "line 2: not UTF-8 (byte 13)"),
    "not valid JSON": (b'{"text": \n', "line 2: not valid JSON"),
    "not a JSON object": (b'["text"]\n', "line 2: not a JSON object"),
    "no column 'text'": (b'{"body": "x"}\n', "line 2: no column 'text' (has: body)"),
    "column 'text' holds int, not text": (b'{"text": 3}\n', "line 2: column 'text' holds int, not text"),
}


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_line_ends_the_job_or_is_counted_as_the_source_says(tmp_path, packing, fault):
    data, says = DAMAGED[fault]
    path = tmp_path / f"a.jsonl{packing}"
    path.write_bytes(PACK[packing](line("first") + data + line("third")))
    with pytest.raises(AbovoError) as caught:
        read(path)
    assert f"{path.name}, {says}" in str(caught.value) and "set `bad_records: count`" in str(caught.value)
    found = read(path, bad_records="count")
    assert [record.id[-1] for record in found] == ["1", "2", "3"]
    assert [(record.text, record.fault) for record in found] == [("first", ""), (None, fault), ("third", "")]


def test_text_that_is_not_utf8_is_found_in_text_and_parquet_files_too(tmp_path):
    import pyarrow

    (tmp_path / "a.txt").write_bytes(b"first\ncaf\xe9\nthird\n")
    broken = pyarrow.array([b"first", b"caf\xe9", b"third"]).cast(pyarrow.binary()).view(pyarrow.string())
    write_parquet(tmp_path / "b.parquet", None, text=broken)
    for name, says in (("a.txt", "a.txt, line 2"), ("b.parquet", "b.parquet, row 2")):
        with pytest.raises(AbovoError, match=rf"{says}: not UTF-8 \(byte 3\)"):
            read(tmp_path / name)
        found = read(tmp_path / name, bad_records="count")
        assert [(record.text, record.fault) for record in found] == [("first", ""), (None, "not UTF-8"), ("third", "")]


@pytest.mark.parametrize("documents", ["file", "line"])
@pytest.mark.parametrize("packing", PACK)
def test_a_text_file_has_the_same_records_packed_or_not(tmp_path, packing, documents):
    path = tmp_path / f"a.txt{packing}"
    path.write_bytes(PACK[packing](b"\xef\xbb\xbfone\r\ntwo\x00\n\nfour"))
    texts = [record.text for record in read(path, documents=documents)]
    assert texts == (["one\r\ntwo\x00\n\nfour"] if documents == "file" else ["one", "two\x00", "", "four"])


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.txt", "a.parquet"])
def test_an_empty_file_is_reported_as_such(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        write_parquet(path, [])
    else:
        path.write_bytes(PACK.get(path.suffix, bytes)(b""))
    ((key, text, fault),) = read(tmp_path / name, documents="file")
    assert (key, text, fault) == (name, None, "empty file")


def test_a_missing_column_of_a_parquet_file_is_told_with_those_that_are_there(tmp_path):
    write_parquet(tmp_path / "a.parquet", None, body=["x"], title=["y"])
    with pytest.raises(
        AbovoError, match=r"a\.parquet: no column 'text' \(has: body, title\); set the source's `column`"
    ):
        read(tmp_path / "a.parquet", bad_records="count")


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_record_over_the_limit_is_refused_and_the_next_one_read(tmp_path, name):
    texts = ["x" * 900, "y" * 1200, "z"]
    if name == "a.jsonl":
        (tmp_path / name).write_bytes(b"".join(line(text) for text in texts))
    else:
        write_parquet(tmp_path / name, texts)
    found = read(tmp_path / name, max_record_mb=0.001)
    assert [(record.text and record.text[0], record.fault) for record in found] == [
        ("x", ""),
        (None, "too large"),
        ("z", ""),
    ]


MEMORY = """
import sys, json
from abovo.corpus.sources import open_source
from abovo.settings.corpus import Source
from abovo.settings.keys import build
import gzip, zstandard, zlib
def resident(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024
before = resident("VmRSS")
source = open_source(build(Source, json.loads(sys.argv[1])))
found = [(record.text, record.fault) for unit in source.units for record in source.read(unit)]
print(json.dumps([found, resident("VmHWM") - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.jsonl.zst", *(pytest.param(name, marks=pytest.mark.slow) for name in ("a.jsonl.gz", "a.txt"))],
)
def test_a_line_of_200_mb_is_refused_in_bounded_memory(tmp_path, name):
    path, ends = tmp_path / name, [b"first\n", b"third\n"]
    if "jsonl" in name:
        ends = [line("first"), line("third")]
    packer = PACKERS[path.suffix]() if path.suffix in PACKERS else None
    with path.open("wb") as file:
        for piece in [ends[0], *[b"a" * 1_000_000] * 200, b"\n", ends[1]]:
            file.write(packer.compress(piece) if packer else piece)
        file.write(packer.flush() if packer else b"")
    command = [sys.executable, "-c", MEMORY, json.dumps(settings(path) | {"licence": "CC0", "language": "en"})]
    found, memory = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found == [["first", ""], [None, "too large"], ["third", ""]]
    assert memory < 60_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize("name", ["a.txt.zst", "a.md.gz", "a.json.zst", "a.csv.zst", "a.jsonl.gz"])
def test_a_small_packed_file_of_one_endless_line_is_refused_in_bounded_memory(tmp_path, name):
    path, packer = tmp_path / name, PACKERS[f".{name.rpartition('.')[2]}"]()
    head = {"json": b"[", "csv": b"text\n"}.get(name.split(".")[1], b"")
    with path.open("wb") as file:
        for piece in [head, *[bytes(1_000_000)] * 150]:
            file.write(packer.compress(piece))
        file.write(packer.flush())
    assert path.stat().st_size < 700_000
    values = settings(path, documents="file") | {"licence": "CC0", "language": "en", "bad_records": "count"}
    done = subprocess.run([sys.executable, "-c", MEMORY, json.dumps(values)], capture_output=True, text=True)
    if "json." in name or "csv" in name:
        says = "the row that begins here is larger" if "csv" in name else "the end of the list is missing"
        assert says in done.stderr
    else:
        found, memory = json.loads(done.stdout)
        assert found == [[None, "too large"]] and memory < 60_000_000


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (b'{"text": "x", "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not valid JSON (depth limit"),
        (b'{"text": "x", "n": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "not valid JSON (depth limit"),
        (b'{"text": "a lone \\ud83d surrogate"}', "not valid JSON (no low surrogate"),
        (b'{"text": "a lone \\ude00 surrogate"}', "not valid JSON (invalid high surrogate"),
        (b'{"a \\ud83d key": "x", "text": "x"}', "not valid JSON (no low surrogate"),
        (b'{"text": "caf\xed\xa0\xbd"}', "not UTF-8 (byte 1"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_deep_nesting_and_lone_surrogates_are_damage_of_their_record(tmp_path, name, record, says):
    path = tmp_path / name
    path.write_bytes(line("first") + record + b"\n" if name == "a.jsonl" else b'[{"text": "first"}, ' + record + b"]")
    for view in (read, lambda path: list(open_rows(rows_of(type="local", paths=str(path))).read())):
        with pytest.raises(AbovoError) as caught:
            view(path)
        assert f"{path}, {'line' if name == 'a.jsonl' else 'record'} 2: {says}" in str(caught.value)
    assert [record.fault for record in read(path, bad_records="count")] == ["", says.partition(" (")[0]]


def test_a_file_that_is_gone_or_a_package_that_changed_after_the_plan_is_told(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(line(GOOD))
    revision = opened(settings(tmp_path)).revision
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(AbovoError, match=r"a\.jsonl: was there when the corpus was planned, and is gone"):
        opened(settings(tmp_path), revision)
    package = {"type": "package", "reader": "readme", "packages": ["networkx"]}
    planned = opened(package).revision
    planned["packages"][0]["version"] = "0.1"
    with pytest.raises(AbovoError, match="is not what it was when the corpus was planned"):
        opened(package, planned)


def test_ids_and_rows_do_not_depend_on_how_a_parquet_file_is_cut(tmp_path):
    texts = [f"{number} {GOOD}" for number in range(50)]
    write_parquet(tmp_path / "a.parquet", texts, group=7)
    source = opened(settings(tmp_path / "a.parquet"))
    assert len(source.units) == 8
    found = [record for unit in source.units for record in source.read(unit)]
    assert [(record.id, record.text) for record in found] == [
        (f"a.parquet#{number:08d}", text) for number, text in enumerate(texts, 1)
    ]
    for start in (0, 1, 6, 7, 8):
        assert list(source.read("a.parquet@2/8", start)) == found[14 + start : 21]


@pytest.fixture
def damaged_corpus(tmp_path):
    """The jobs of a corpus whose source has one record of each fault."""
    folder = tmp_path / "raw"
    folder.mkdir()
    good = [f"{number} {GOOD}" for number in range(20)]
    data = b"".join(line(text, id="the same id") for text in [*good, None, "x\x00y" + GOOD])
    data += b"".join(damage for damage, _ in DAMAGED.values()) + line("x" * 3000)
    (folder / "a.jsonl").write_bytes(data)
    (folder / "b.jsonl").write_bytes(b"")
    source = {"type": "local", "licence": "CC0", "language": "en", "paths": str(folder)}
    source |= {"bad_records": "count", "max_record_mb": 0.002}
    return lambda: run_jobs(CORPUS | {"sources": {"a": source}}, tmp_path / "corpus")


def test_every_record_of_a_damaged_source_is_in_the_corpus_or_counted_in_its_manifest(damaged_corpus):
    manifest = damaged_corpus()
    counts = manifest["counts"]["sources"]["a"]
    assert counts["rejected"] == dict.fromkeys(DAMAGED, 1) | {"empty file": 1, "null": 1, "too large": 1}
    documents = list(read_documents(manifest))
    assert len(documents) == 21 and len({document.id for document in documents}) == 21
    assert not [document for document in documents if "\x00" in document.text]
    assert counts["read"] == 21 + sum(counts["rejected"].values())


@pytest.mark.parametrize("how", ["cut short", "altered"])
def test_a_finished_part_or_shard_that_was_damaged_later_is_noticed_by_the_next_call(damaged_corpus, how, caplog):
    manifest = damaged_corpus()
    folder = manifest.path.parent
    for damaged in (next(folder.glob("sources/a/0/*.zst")), folder / "shards/shard-00000.jsonl.zst"):
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.chmod(0o644)
        damaged.write_bytes(data if how == "altered" else data[:-7])
        caplog.clear()
        # The call that made it makes it again; one that only reads it ends with its name.
        if damaged.parent.name == "shards":
            with pytest.raises(AbovoError, match=damaged.name):
                list(read_documents(manifest))
        again = damaged_corpus()
        assert again["outputs"] == manifest["outputs"]
        assert damaged.name in caplog.text and "made again" in caplog.text
        assert list(read_documents(again))


@pytest.fixture
def finished(tmp_path):
    """A corpus of one source in three parts, made; and what runs its later jobs again on manifests that are given."""
    source = {"type": "local", "licence": "CC0", "language": "en", "paths": str(tmp_path / "raw"), "parts": 3}
    corpus = resolved(CORPUS | {"sources": {"a": source}, "deduplication": {"near": None, "jobs": 2}})
    (tmp_path / "raw").mkdir()
    for number in range(6):
        rows = [f"{number} {row} {GOOD}" for row in range(30)]
        (tmp_path / f"raw/{number}.jsonl").write_bytes(b"".join(map(line, rows)))
    run_jobs(plain(corpus), tmp_path / "made")

    def again(parts=(0, 1, 2), jobs=(0, 1), job=None):
        made = tmp_path / "made"
        plan = read_manifest(made / "plan.json")
        sources = in_order(corpus, [read_manifest(made / f"sources/a/{part}/manifest.json") for part in parts])
        if job is not None:
            output = tmp_path / f"compared/{job}/manifest.json"
            return find_duplicates(corpus, plan, sources, job, output, SCRIPTS / "find_duplicates.py")
        compared = [read_manifest(made / f"duplicates/{number}/manifest.json") for number in jobs]
        script, output = SCRIPTS / "assemble_corpus.py", tmp_path / "again/manifest.json"
        return assemble_corpus(corpus, plan, sources, compared, measures_of(corpus), output, script)

    return again


def test_parts_that_are_missing_twice_there_or_of_another_place_make_no_corpus(finished, tmp_path):
    folder = tmp_path / "made/sources/a"
    assert finished()["counts"]["documents"] == 180
    for job in (0, None):
        with pytest.raises(AbovoError, match=r"source a: part 2 of its 3 is missing; read it first"):
            finished(parts=(0, 1), job=job)
        with pytest.raises(AbovoError, match=r"sources/a/1/manifest.json: is given twice; name each part once"):
            finished(parts=(1, 1, 1), job=job)
    # The copy is named, whichever of the two comes first
    shutil.rmtree(folder / "0")
    shutil.copytree(folder / "2", folder / "0")
    for job in (0, None):
        with pytest.raises(AbovoError, match=r"sources/a/0/manifest.json: holds part 2 of source a, as \S+/2/manif"):
            finished(job=job)


def test_a_part_of_an_earlier_revision_or_of_other_settings_is_named(finished, tmp_path):
    path = tmp_path / "made/sources/a/1/manifest.json"
    kept = read_manifest(path).data
    for key, value, told in (
        ("revision", "0" * 64, "was read at another revision of source a than the plan fixes; remove it and make it"),
        ("parts", 2, "was read with other settings of source a: parts is 2, not 3; remove it and make it again"),
        ("name", "a", "was read with other settings of source a: seed is 4, not 5"),
    ):
        data = {**kept, "parameters": {**kept["parameters"], key: value} | ({"seed": 4} if key == "name" else {})}
        path.unlink()
        path.write_text(json.dumps({**data, "digest": digest_of(data)}))
        for job in (0, None):
            with pytest.raises(AbovoError) as caught:
                finished(job=job)
            assert str(caught.value).startswith(f"{path}: {told}") and "\n" not in str(caught.value)


def test_comparisons_that_are_missing_twice_there_or_of_other_parts_make_no_corpus(finished, tmp_path):
    for job in (-1, 99):
        with pytest.raises(AbovoError, match=rf"job {job}: the comparison has 2 jobs, numbered from 0"):
            finished(job=job)
    with pytest.raises(AbovoError, match="job 1 of 2 is missing"):
        finished(jobs=(0,))
    with pytest.raises(AbovoError, match=r"duplicates/0/manifest.json: is job 0 of 2, as \S+ is; remove it"):
        finished(jobs=(0, 0))
    path = tmp_path / "made/duplicates/1/manifest.json"
    data = read_manifest(path).data
    data["inputs"]["part 1"]["digest"] = data["inputs"]["part 0"]["digest"]
    path.unlink()
    path.write_text(json.dumps({**data, "digest": digest_of(data)}))
    with pytest.raises(AbovoError, match=r"duplicates/1/manifest.json: compares other parts than those .*make it"):
        finished()
