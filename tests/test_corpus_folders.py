"""Of a folder everything is read, or counted by what it is; whatever the names and wherever links lead."""

import gzip
import json
import os

import pytest
from corpus_jobs import opened, rows_of, run_jobs

from abovo.corpus.folders import suffix_of
from abovo.corpus.sources import open_rows
from abovo.errors import AbovoError
from abovo.provenance.manifest import describe_folder

TEXT = "a text of some words that is long enough to stay"


def settings(*paths, **values):
    return {"type": "local", "paths": [str(path) for path in paths]} | values


def write(folder, name, data=TEXT):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(folder, **values):
    """{name: texts} of the files that are read."""
    source = opened(settings(folder, **values))
    return {unit: [record.text for record in source.read(unit)] for unit in source.units}


def test_linked_folders_are_read_and_each_real_folder_once(tmp_path):
    folder, disk = tmp_path / "texts", tmp_path / "disk"
    for place, name in ((folder, "own/a.txt"), (disk, "more/b.txt"), (disk, "more/deep/c.txt"), (disk, "d.txt")):
        write(place, name)
    (folder / "first").symlink_to(disk / "more")
    (folder / "second").symlink_to(disk / "more")
    (folder / "deep").symlink_to(disk / "more/deep")
    (folder / "loop").symlink_to(folder)
    (folder / "again").symlink_to(folder / "own")
    (disk / "more/back").symlink_to(folder / "own")
    (folder / "linked.txt").symlink_to(disk / "d.txt")
    source = opened(settings(folder))
    assert source.units == ("deep/c.txt", "first/b.txt", "linked.txt", "own/a.txt")
    assert source.unread == {"links to folders that are read": {"files": 4, "bytes": 0}}


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    write(tmp_path, "a.txt")
    (tmp_path / "more").symlink_to(tmp_path / "gone")
    with pytest.raises(AbovoError, match=r"/more: the link leads to nothing that can be read .*mend or remove it"):
        opened(settings(tmp_path))


LEFT = {
    "hidden": (".hidden.txt", "._a.txt", ".x.txt.swp", ".DS_Store", ".ipynb_checkpoints/a-checkpoint.txt", ".#a.txt"),
    "copies of editors": ("a.txt~", "#a.txt#", "~$b.txt"),
    "leavings of systems": ("Thumbs.db", "deep/desktop.ini", "__MACOSX/deep/a.txt"),
    ".html": ("page.html", "deep/OTHER.HTML"),
    ".html.gz": ("page.html.gz",),
    ".docx": ("b.docx",),
    ".raw": ("x.raw",),
    "no suffix": ("README", "txt", "a. long name"),
    ".csv without a column 'text'": ("table.csv",),
    ".json without a column 'text'": ("info.json", "list.json", "numbers.json", "empty.json.gz"),
}
READ = ("a.txt", "deep/b.md", "c.csv", "d.tsv", "e.json", "f.json", "g.jsonl", "damaged.json")
BYTES = {
    "c.csv": b"id,text\n1,one\n2,two\n", "d.tsv": b"text\tid\none\t1\n", "e.json": b'[{"text": "one"}]',
    "f.json": b'{"text": "one", "n": NaN}\n{"text": "two"}\n', "g.jsonl": b'{"text": "one"}\n',
    "damaged.json": b'[{"text": }]',
    "table.csv": b"id,name\n1,x\n", "info.json": b'{\n "text": "no record"\n}\n', "list.json": b'[{"name": "x"}]',
    "numbers.json": b"[1, 2]",
    "empty.json.gz": gzip.compress(b"{}", mtime=0),
}  # fmt: skip


def test_what_is_passed_over_is_counted_by_what_it_is(tmp_path):
    for name in [*READ, *(name for names in LEFT.values() for name in names)]:
        write(tmp_path, name, BYTES.get(name, b"x" * 9))
    (tmp_path / ".#lock.txt").symlink_to("nobody@nowhere")
    source = opened(settings(tmp_path, bad_records="count"))
    assert source.units == tuple(sorted(READ))
    sizes = {what: sum(len(BYTES.get(name, b"x" * 9)) for name in names) for what, names in LEFT.items()}
    numbers = {what: len(names) + (what == "hidden") for what, names in LEFT.items()}
    assert source.unread == {what: {"files": numbers[what], "bytes": sizes[what]} for what in sorted(LEFT)}
    found = read(tmp_path, bad_records="count")
    assert found["c.csv"] == found["f.json"] == ["one", "two"] and found["e.json"] == ["one"]
    assert opened(settings(tmp_path / ".hidden.txt")).units == (".hidden.txt",)


def test_what_is_not_read_stands_in_plan_and_manifest_and_on_the_screen(tmp_path, caplog):
    for number in range(30):
        write(tmp_path, f"texts/{number}.txt", f"{number} {TEXT}")
    write(tmp_path, "texts/a.html", b"x" * 60_000)
    write(tmp_path, "texts/.hidden", b"x")
    source = {"licence": "CC0", "language": "en"} | settings(tmp_path / "texts")
    corpus = {"bytes_per_token": 3.0, "min_characters": 10, "sample_documents": 5, "sources": {"web": source}}
    manifest = run_jobs(corpus, tmp_path / "corpus")
    unread = {".html": {"files": 1, "bytes": 60_000}, "hidden": {"files": 1, "bytes": 1}}
    assert manifest["sources"]["web"]["unread"] == unread
    assert json.loads((tmp_path / "corpus/plan.json").read_text())["sources"]["web"]["unread"] == unread
    assert "source web, not read: 2 files (0.1 MB): 1 .html (0.1 MB), 1 hidden (0.0 kB)" in caplog.text


def test_a_folder_of_all_kinds_gives_the_same_corpus_in_any_number_of_parts(tmp_path):
    folder, made = tmp_path / "texts", []
    for number in range(6):
        write(folder, f"{number}.md", f"{number} in a file, {TEXT}")
        write(folder, f"{number}.csv", f'n,text\n1,{number} one {TEXT}\n2,"{number} two, {TEXT}"\n')
        rows = [{"text": f"{number} {row} of a list, {TEXT}"} for row in range(3)]
        write(folder, f"{number}.json.gz", gzip.compress(json.dumps(rows).encode(), mtime=0))
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere", "a.tsv", f"text\nlinked, {TEXT}\n")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    source = {"licence": "CC0", "language": "en"} | settings(folder)
    corpus = {"bytes_per_token": 3.0, "min_characters": 10, "deduplication": {"near": None}}
    for parts in (1, 4):
        made.append(run_jobs(corpus | {"sources": {"web": source | {"parts": parts}}}, tmp_path / f"{parts}"))
    assert made[0]["counts"]["documents"] == 6 * (1 + 2 + 3) + 1
    assert all(one["outputs"] == made[0]["outputs"] and one["counts"] == made[0]["counts"] for one in made)


def test_whole_rows_are_read_from_a_folder_beside_what_is_none(tmp_path):
    write(tmp_path, "a.json", b'[{"x": 1}]')
    write(tmp_path, "dataset_info.json", b'{"features": []}')
    write(tmp_path, "README.md")
    write(tmp_path, "b.csv", b"x\n2\n")
    source = open_rows(rows_of(**settings(tmp_path)))
    assert [row.values for row in source.read()] == [{"x": 1}, {"x": "2"}]
    assert {what: one["files"] for what, one in source.unread.items()} == {".json without records": 1, ".md": 1}


def test_a_model_of_a_folder_is_the_same_whatever_file_managers_leave_in_it(tmp_path):
    write(tmp_path, "model.safetensors", b"weights")
    before = describe_folder(tmp_path).digest
    for name in (".DS_Store", "._model.safetensors", "Thumbs.db", "config.json~"):
        write(tmp_path, name, b"x")
    assert describe_folder(tmp_path).digest == before
    write(tmp_path, "config.json")
    assert describe_folder(tmp_path).digest != before


def test_a_folder_without_text_says_what_it_holds(tmp_path):
    write(tmp_path, "a.pdf")
    write(tmp_path, "b.csv", b"body\nx\n")
    with pytest.raises(AbovoError, match=r"no file of text \(known: txt, .*it holds 2 files .*\.csv without a column"):
        opened(settings(tmp_path))


ODD = ("part{1}.txt", "{x} é.txt", "b,c [x].txt", " lead.txt", "st*r?.txt", "q'uo\"te.txt", "a@1", "line\nend.txt")


def test_any_name_that_is_utf8_is_read_and_one_that_is_not_is_told(tmp_path):
    for name in ODD:
        write(tmp_path, f"{name}/t.txt" if name == "a@1" else name, f"{name} {TEXT}")
    found = read(tmp_path)
    assert len(found) == len(ODD) and all(texts[0].endswith(TEXT) for texts in found.values())
    (tmp_path / os.fsdecode(b"caf\xe9.pdf")).write_bytes(b"only counted")
    assert len(read(tmp_path)) == len(ODD)
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"x")
    with pytest.raises(AbovoError, match=r"caf\\xe9\.txt': the name of the file is not UTF-8; rename it") as caught:
        read(tmp_path)
    str(caught.value).encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    write(tmp_path, "a.txt")
    write(tmp_path, "closed/b.txt")
    (tmp_path / "closed").chmod(0)
    with pytest.raises(AbovoError, match=r"/closed: the folder cannot be listed \(Permission denied\)"):
        opened(settings(tmp_path))
    (tmp_path / "closed").chmod(0o755)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a/b.HTML", ".html"), ("x.csv.gz", ".csv.gz"), (".bashrc", "no suffix"), ("a.b c", "no suffix"), ("x.gz", ".gz")],
)
def test_files_are_counted_under_their_suffix(name, suffix):
    assert suffix_of(name) == suffix
