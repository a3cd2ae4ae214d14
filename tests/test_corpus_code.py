"""Source code, and text in one file or a folder, goes through the corpus as its author wrote it."""

import gzip
import sysconfig
from pathlib import Path

import pytest
from corpus_jobs import opened, run_jobs
from test_corpus_filters import SPEECH, refusal

from abovo.corpus.clean import clean
from abovo.corpus.shards import read_documents
from abovo.errors import AbovoError
from abovo.settings.corpus import Cleaning

LIBRARY = Path(sysconfig.get_path("stdlib"))
AS_FOUND = {"kind": "verbatim", "cleaning": {"repair_encoding": False}}
ODD = (
    "#!/bin/sh\t \n\n\n\n\nif x:\n\treturn  '''  \n  kept   '''\n\f\nclass A:\n"
    "    caf = 'e\u0301\u00ad\u200b'  # \x1b[0m\x00\n\n\n"
)  # fmt: skip


def through_the_corpus(paths, folder, **values):
    """{name: text} of the documents that a corpus of one source holds, the shards of both splits read again."""
    source = {"type": "local", "paths": str(paths), "licence": "PSF-2.0", "language": "en", **values}
    corpus = {
        "bytes_per_token": 3.0, "min_characters": 1, "validation_share": 0.5, "sources": {"code": source},
        "deduplication": {"near": None},
    }  # fmt: skip
    manifest = run_jobs(corpus, folder)
    return {doc.id: doc.text for split in ("train", "val") for doc in read_documents(manifest, split)}


def test_files_of_the_standard_library_come_out_byte_for_byte(tmp_path):
    kept = through_the_corpus(LIBRARY / "email", tmp_path, endings=["py"], **AS_FOUND)
    files = {path.relative_to(LIBRARY / "email").as_posix(): path for path in (LIBRARY / "email").rglob("*.py")}
    texts = {name: path.read_bytes() for name, path in files.items() if path.stat().st_size}
    assert len(kept) >= 20
    assert {name: text.encode() for name, text in kept.items()} == {name: texts[name] for name in kept}
    assert set(texts.values()) == {text.encode() for text in kept.values()}


def test_all_of_the_standard_library_is_verbatim():
    as_found, read = Cleaning(repair_encoding=False), 0
    for path in sorted(LIBRARY.glob("*.py")):
        text = path.read_bytes().decode()
        assert clean(text, "verbatim", as_found) == (text if text.strip() else "", 0), path
        read += 1
    assert read > 150


def test_verbatim_keeps_all_but_line_ends_and_what_no_tokenizer_gives_back():
    assert clean(ODD, "verbatim") == (ODD, 0)
    assert clean(ODD.replace("\n", "\r\n"), "verbatim") == (ODD, 0)
    assert clean("a\rb\u2581\ud800\n", "verbatim") == ("a\nb_\n", 1)
    assert clean(" \n\t\n", "verbatim") == ("", 0)


def test_a_tokenizer_gives_verbatim_code_back(text_tokenizers):
    tokenizer = text_tokenizers["bpe"]
    for text in (ODD, (LIBRARY / "textwrap.py").read_text()):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_file_of_text_is_a_document_or_gives_one_for_each_paragraph_or_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\r\n\none\n  two\n\n \nthree\n\n\n\nfour\nfive")
    settings = {"type": "local", "paths": str(tmp_path)}

    def read(start=0, **values):
        return [(record.id[5:], record.text) for record in opened(settings | values).read("a.txt", start)]

    assert read() == [("", "\r\n\none\n  two\n\n \nthree\n\n\n\nfour\nfive")]
    each = [("#00000003", "one\n  two"), ("#00000007", "three"), ("#00000011", "four\nfive")]
    assert read(documents="paragraph") == each and read(1, documents="paragraph") == each[1:]
    pairs = [("#00000003", "one\n  two\n\n \nthree"), ("#00000011", "four\nfive")]
    assert read(documents="paragraph", lines=2) == pairs and read(1, documents="paragraph", lines=2) == pairs[1:]
    assert len(read(documents="line")) == 12


def test_a_paragraph_over_the_limit_is_refused_alone(tmp_path):
    (tmp_path / "a.txt").write_text("first\n\n" + "x" * 3000 + "\n\n" + "y" * 900 + "\n" + "z" * 900 + "\n\nlast\n")
    source = opened({"type": "local", "paths": str(tmp_path), "documents": "paragraph", "max_record_mb": 0.001})
    assert [(r.text, r.fault) for r in source.read("a.txt")] == [
        ("first", ""), (None, "too large"), (None, "too large"), ("last", ""),
    ]  # fmt: skip


def test_of_a_folder_of_code_the_named_endings_are_read_and_the_others_counted(tmp_path):
    for name in ("a.py", "deep/b.PY", "c.rs", "notes.txt", "d.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}\n")
    (tmp_path / "e.py.gz").write_bytes(gzip.compress(b"packed = True\n"))
    source = opened({"type": "local", "paths": str(tmp_path), "endings": ["py", "rs"]})
    assert source.units == ("a.py", "c.rs", "deep/b.PY", "e.py.gz")
    assert [record.text for record in source.read("e.py.gz")] == ["packed = True\n"]
    assert {what: one["files"] for what, one in source.unread.items()} == {".pyc": 1, ".txt": 1}
    with pytest.raises(AbovoError, match=r"no reader for this kind of file .*name its ending in `endings`"):
        opened({"type": "local", "paths": str(tmp_path / "a.py")})
    (tmp_path / "notes.txt").unlink()
    with pytest.raises(AbovoError, match=r"no file of text .*\.py .*set `column` or `endings`"):
        opened({"type": "local", "paths": str(tmp_path)})


CODE = (LIBRARY / "textwrap.py").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CODE, ""),
        (SPEECH, "line_length"),
        (CODE.replace("\n\n", "\n" + "x = 1;" * 200 + "\n", 1), "line_length"),
        ("\n".join(["[[ -- ## ]] ;; {{ (( )) }} <<"] * 50 + ["x = 1"]), "alphanumeric"),
        ("\n".join(["« » — … · ° § ¶ «» ÷ ×"] * 50 + ["é = 1"]), "alphanumeric"),
        ("# Automatically generated by a tool\n" + CODE, "generated"),
    ],
)
def test_filters_for_code_refuse_what_they_are_there_for(text, reason):
    assert refusal(text, ["code"]) == reason


def test_gopher_refuses_code_that_the_filters_for_code_let_pass():
    """Which is why code has filters of its own; they let pass nearly all that people wrote."""
    texts = [path.read_text() for path in sorted(LIBRARY.glob("*.py")) if path.stat().st_size > 200]
    passed = [sum(not refusal(text, [group]) for text in texts) / len(texts) for group in ("gopher", "code")]
    assert passed[0] < 0.9 < 0.97 < passed[1]
