"""A tokenizer gives every text back, has the one table of special ids, and is the same bytes on every machine."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from real_text import SETTINGS

from abovo.corpus.shards import read_documents
from abovo.errors import AbovoError
from abovo.settings.keys import plain
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.odd import ODD_STRINGS
from abovo.tokenizing.special import BOS, EOS, PAD, UNK, special_pieces
from abovo.tokenizing.train import Sample, cut, train_model, train_tokenizer


@pytest.fixture(params=["bpe", "unigram"])
def tokenizer(request, text_tokenizers):
    return text_tokenizers[request.param]


@pytest.mark.parametrize("text", ODD_STRINGS, ids=repr)
def test_odd_string_comes_back_unchanged(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_validation_document_comes_back_unchanged_and_the_card_says_so(tokenizer, text_corpus):
    for document in read_documents(text_corpus, "val"):
        assert tokenizer.decode(tokenizer.encode(document.text)) == document.text
    measured = tokenizer.manifest["counts"]["measured"]
    assert measured.keys() == {"speeches", "docstrings"}
    assert all(own["round_trip_failures"] == 0 and own["unknown_rate"] == 0 for own in measured.values())
    assert all(1 < own["bytes_per_token"] < 8 and own["fertility"] > 1 for own in measured.values())
    card = (tokenizer.manifest.path.parent / "TOKENIZER_CARD.md").read_text()
    assert "| speeches |" in card and "characters/token" in card


def test_special_ids_are_those_of_the_table(tokenizer):
    pieces = special_pieces(SETTINGS.chat_pieces)
    assert pieces == ("<unk>", "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "\n", "\t")
    assert [tokenizer.processor.id_to_piece(number) for number in range(8)] == list(pieces)
    assert tokenizer.manifest["special_ids"] == {piece: number for number, piece in enumerate(pieces)}
    assert tokenizer.encode("<|im_start|>\n\t<|im_end|>") == [4, 6, 7, 5]
    assert tokenizer.vocabulary_size == tokenizer.manifest["vocabulary_size"] == 600


def test_nothing_is_added_to_a_text_and_control_pieces_cannot_be_typed(tokenizer):
    assert tokenizer.encode("") == []
    for text in ("<s>", "</s>", "<pad>", "<unk>", "a</s>b"):
        assert not {UNK, BOS, EOS, PAD} & set(tokenizer.encode(text))
    first, *_ = tokenizer.encode("the")
    assert not tokenizer.processor.id_to_piece(first).startswith("\u2581")


def test_batches_give_the_ids_of_single_texts(tokenizer):
    texts = [*ODD_STRINGS, "We hold these truths."]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_model_is_the_same_bytes_on_one_core_and_on_several(text_corpus):
    """In other processes, one of them bound to one core where the system can do that."""
    program = (
        "import hashlib, sys; from pathlib import Path; from abovo.provenance.manifest import read_manifest;"
        "from abovo.corpus.shards import read_documents; from abovo.tokenizing.train import Sample, train_model;"
        "from abovo.settings.tokenizer import TokenizerSettings;"
        f"settings = TokenizerSettings(**{plain(SETTINGS)!r} | {{'model_type': sys.argv[2]}});"
        "lines = Sample(10**6).lines(read_documents(read_manifest(Path(sys.argv[1])), 'train'));"
        "print(hashlib.sha256(train_model(lines, settings, 'test')).hexdigest())"
    )
    for kind in ("bpe", "unigram"):
        command = [sys.executable, "-c", program, str(text_corpus.path), kind]
        bound = {"preexec_fn": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})}
        found = {
            subprocess.run(command, check=True, capture_output=True, **options).stdout
            for options in ({}, bound if hasattr(os, "sched_setaffinity") else {})
        }
        sample = Sample(10**6).lines(read_documents(text_corpus, "train"))
        model = train_model(sample, replace(SETTINGS, model_type=kind), "test")
        found.add(hashlib.sha256(model).hexdigest().encode() + b"\n")
        assert len(found) == 1


def test_sample_is_training_documents_only_up_to_its_size(text_corpus):
    sample = Sample(5000)
    lines = list(sample.lines(read_documents(text_corpus, "train")))
    assert 5000 <= sample.bytes < 20_000 and lines
    trained = "\n".join(Sample(10**9).lines(read_documents(text_corpus, "train")))
    speeches = [document.text for document in read_documents(text_corpus, "val") if document.source == "speeches"]
    assert speeches and not [text for text in speeches if text.split("\n")[-1] in trained]


def test_long_lines_are_cut_and_none_is_lost():
    for line in ("x" * 10_000, "word " * 3000, "é" * 5000, "a" * 500 + " b" * 4000, "short", ""):
        parts = list(cut(line))
        assert "".join(parts) == line
        assert all(len(part.encode()) <= 4096 for part in parts)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_vocabulary_that_the_corpus_cannot_fill_is_told_with_the_largest_possible(tmp_path, text_corpus, kind):
    settings = replace(SETTINGS, vocabulary_size=500_000, model_type=kind)
    with pytest.raises(AbovoError, match=r"key vocabulary_size: .* 500000 pieces, the largest possible number is \d+;"):
        train_tokenizer(settings, text_corpus, tmp_path / "tokenizer_config.json", __file__)
    assert not (tmp_path / "tokenizer_config.json").exists() and not (tmp_path / "spm.model").exists()


def test_vocabulary_too_small_for_its_characters_is_told(tmp_path, text_corpus):
    with pytest.raises(AbovoError, match=r"key vocabulary_size: .*raise it or lower character_coverage"):
        train_tokenizer(
            replace(SETTINGS, vocabulary_size=280), text_corpus, tmp_path / "tokenizer_config.json", __file__
        )


def test_a_model_that_is_not_the_manifests_is_refused(text_tokenizers, tmp_path):
    folder = text_tokenizers["bpe"].manifest.path.parent
    config = tmp_path / "tokenizer_config.json"
    config.write_bytes((folder / "tokenizer_config.json").read_bytes())
    with pytest.raises(AbovoError, match=r"spm\.model: the file is missing"):
        load_tokenizer(config)
    data = bytearray((folder / "spm.model").read_bytes())
    data[1000] ^= 1
    (tmp_path / "spm.model").write_bytes(data)
    with pytest.raises(AbovoError, match=r"spm\.model: its sha256 is not the tokenizer_sha256"):
        load_tokenizer(config)


def test_a_manifest_of_another_tokenizer_is_refused_and_null_never_passes(text_tokenizers, make_manifest):
    sha256 = text_tokenizers["bpe"].sha256
    packed = make_manifest("p", "abovo/packed/1", {}, tokenizer_sha256=sha256)
    packed.require_tokenizer(sha256)
    with pytest.raises(AbovoError, match="made with tokenizer"):
        packed.require_tokenizer(text_tokenizers["unigram"].sha256)
    for null in (None, ""):
        with pytest.raises(AbovoError):
            make_manifest("q", "abovo/packed/1", {}, tokenizer_sha256=null).require_tokenizer(null)
