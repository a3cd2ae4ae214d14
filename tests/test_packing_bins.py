"""Bins hold every token of a corpus once, apart by document, readable with numpy alone, and refuse a changed byte."""

import json
import subprocess
import sys

import numpy as np
import pytest
from real_text import ROOT

from abovo.corpus.shards import read_documents
from abovo.errors import AbovoError
from abovo.packing.bins import FIRST, LEARNED, RowWriter, dtype_for, open_bin, open_mask, read_index
from abovo.packing.pack import pack_corpus
from abovo.provenance.products import Job, Made, produce
from abovo.tokenizing.special import EOS, PAD

LENGTH = 64


@pytest.fixture(scope="module")
def tokenizer(text_tokenizers):
    return text_tokenizers["bpe"]


@pytest.fixture(scope="module")
def packed(tokenizer, text_corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("packed") / "manifest.json"
    return pack_corpus(text_corpus, tokenizer, LENGTH, output, ROOT / "workflow/scripts/pack.py")


def documents_in(ids):
    """The documents in a stretch of ids: what stands before each EOS."""
    ends = np.flatnonzero(ids == EOS)
    return [tuple(part[:-1]) for part in np.split(ids, ends + 1)[:-1]]


@pytest.fixture(scope="module")
def expected(tokenizer, text_corpus):
    return {
        split: [(document, tuple(tokenizer.encode(document.text))) for document in read_documents(text_corpus, split)]
        for split in ("train", "val")
    }


def test_training_rows_are_the_documents_one_after_the_other_with_eos_between(packed, expected):
    flat = np.asarray(open_bin(packed, "train")).reshape(-1)
    assert documents_in(flat) == [ids for _, ids in expected["train"]]
    used = sum(len(ids) + 1 for _, ids in expected["train"])
    assert (flat[used:] == PAD).all() and len(flat) - used < LENGTH


def test_validation_rows_are_grouped_by_source(packed, expected):
    rows, places = open_bin(packed, "val"), read_index(packed, "val")["sources"]
    assert places.keys() == {"speeches", "docstrings"}
    for source, (first, end) in places.items():
        own = [ids for document, ids in expected["val"] if document.source == source]
        assert own and documents_in(np.asarray(rows[first:end]).reshape(-1)) == own
    assert sorted(place for pair in places.values() for place in pair)[-1] == len(rows)


def test_no_validation_document_stands_in_the_training_bin(packed, expected):
    train = set(documents_in(np.asarray(open_bin(packed, "train")).reshape(-1)))
    assert expected["val"] and not train & {ids for _, ids in expected["val"]}


def test_bins_are_read_with_numpy_alone(packed):
    program = (
        "import json, sys, numpy as np; i = json.load(open(sys.argv[1] + '.idx'));"
        "m = np.memmap(sys.argv[1] + '.bin', i['dtype'], 'r', shape=tuple(i['shape'])); print(m.shape, int(m[0, 0]))"
    )
    place = str(packed.path.parent / "train")
    done = subprocess.run([sys.executable, "-I", "-c", program, place], capture_output=True, text=True, check=True)
    rows = open_bin(packed, "train")
    assert done.stdout.split() == [f"({rows.shape[0]},", f"{LENGTH})", str(int(rows[0, 0]))]
    assert read_index(packed, "train").keys() >= {"shape", "dtype", "sequence_length", "num_sequences", "sha256"}


def test_manifest_counts_documents_tokens_cropped_and_padded(packed, expected):
    for split in ("train", "val"):
        counts, rows = packed["counts"][split], open_bin(packed, split)
        assert counts["documents"] == len(expected[split]) and counts["rows"] == len(rows)
        assert counts["tokens"] == sum(len(ids) + 1 for _, ids in expected[split])
        assert counts["bytes"] == sum(len(document.text.encode()) for document, _ in expected[split])
        assert counts["words"] == sum(len(document.text.split()) for document, _ in expected[split])
        assert counts["padded_share"] == pytest.approx(float((rows == PAD).mean()), abs=1e-6)
    place = cropped = 0
    for _, ids in expected["train"]:
        cropped += place // LENGTH != (place + len(ids)) // LENGTH
        place += len(ids) + 1
    assert packed["counts"]["train"]["cropped_share"] == pytest.approx(cropped / len(expected["train"]), abs=1e-6)


def test_two_runs_give_equal_bytes(packed, tokenizer, text_corpus, tmp_path, root):
    script = root / "workflow/scripts/pack.py"
    again = pack_corpus(text_corpus, tokenizer, LENGTH, tmp_path / "manifest.json", script)
    assert again["outputs"] == packed["outputs"]


@pytest.mark.parametrize(("size", "dtype"), [(4096, "<u2"), (65_536, "<u2"), (65_537, "<u4")])
def test_ids_take_two_bytes_where_the_vocabulary_allows(size, dtype):
    assert dtype_for(size).str == dtype


def make_rows(folder, mask=False):
    def make(place):
        for split in ("train", "val"):
            with RowWriter(place, split, 4, 100, mask=mask) as rows:
                rows.write([5, 6, 7], [FIRST, LEARNED, FIRST | LEARNED] if mask else None)
                rows.write([8, 9, 10, 11, 12], [1] * 5 if mask else None)
                rows.write([13], [1] if mask else None)
                assert rows.fill(PAD) == 3 and rows.fill(PAD) == 0
        return Made({}, {"sequence_length": 4})

    return produce(Job(folder / "manifest.json", "abovo/packed/1", {}, {}, __file__), make)


def test_rows_and_masks_come_back_as_written(tmp_path):
    manifest = make_rows(tmp_path, mask=True)
    assert open_bin(manifest, "train").tolist() == [[5, 6, 7, 8], [9, 10, 11, 12], [13, PAD, PAD, PAD]]
    assert open_mask(manifest, "train").tolist() == [[2, 1, 3, 1], [1, 1, 1, 1], [1, 0, 0, 0]]


def test_wrong_ids_masks_and_unfinished_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not complete"), RowWriter(tmp_path, "train", 4, 100) as rows:
        rows.write([1, 2])
    for ids, mask, says in (([100], None, "outside"), ([-1], None, "outside"), ([1], [1], "mask")):
        with pytest.raises(ValueError, match=says), RowWriter(tmp_path, "train", 1, 100) as rows:
            rows.write(ids, mask)


@pytest.mark.parametrize("name", ["train.bin", "train.mask", "train.idx"])
def test_a_changed_byte_is_refused_with_the_files_name(tmp_path, name):
    manifest = make_rows(tmp_path, mask=True)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AbovoError, match=rf"{name}: its bytes are not those that"):
        open_bin(manifest, "train")
        open_mask(manifest, "train")


def test_a_bin_cut_short_is_refused_even_without_checksums(tmp_path):
    manifest = make_rows(tmp_path)
    data = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").unlink()
    (tmp_path / "train.bin").write_bytes(data[:-2])
    with pytest.raises(AbovoError, match=r"train\.bin: 22 bytes, the index says 24"):
        open_bin(manifest, "train", verify=False)
    (tmp_path / "train.bin").unlink()
    with pytest.raises(AbovoError, match=r"train\.bin: missing"):
        open_bin(manifest, "train", verify=False)


def test_an_index_of_another_bin_is_refused(tmp_path):
    manifest = make_rows(tmp_path)
    changed = {**manifest.data, "sequence_length": 8}
    with pytest.raises(AbovoError, match=r"train\.idx: its sequence_length is not the manifest's"):
        read_index(type(manifest)(manifest.path, changed), "train")


def test_a_corpus_without_validation_documents_is_told(tokenizer, text_corpus, tmp_path):
    without = type(text_corpus)(text_corpus.path, {**text_corpus.data, "validation_share": 0.0})
    with pytest.raises(AbovoError, match="no validation document in the corpus; change its validation_share"):
        pack_corpus(without, tokenizer, LENGTH, tmp_path / "manifest.json", __file__)
    assert not (tmp_path / "manifest.json").exists()


def test_pack_script_refuses_a_row_of_one_id(tmp_path, root):
    command = [
        sys.executable,
        root / "workflow/scripts/pack.py",
        "--corpus",
        "x",
        "--tokenizer",
        "y",
        "--sequence-length",
        "1",
    ]
    done = subprocess.run([*command, "--output", tmp_path / "m.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "error: --sequence-length: a row of 1 ids; give 2 or more" in done.stderr
    assert json.dumps(done.stderr).count("\\n") == 1
