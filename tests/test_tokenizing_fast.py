"""The fast encoder gives SentencePiece's ids, is used only where that was proven, and changes no byte of any bin."""

from dataclasses import replace

import numpy as np
import pytest
from real_text import ROOT

from abovo.corpus.shards import read_documents
from abovo.packing.pack import pack_corpus
from abovo.tokenizing import fast
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.odd import ODD_STRINGS


def test_the_proof_stands_in_the_manifest(text_tokenizers):
    proof = text_tokenizers["bpe"].manifest["fast_encoder"]
    assert proof["differences"] == 0 and proof["texts"] > len(ODD_STRINGS)
    assert proof["version"] == fast.installed_version()
    assert text_tokenizers["unigram"].manifest["fast_encoder"]["differences"] is None
    assert text_tokenizers["bpe"].fast is not None and text_tokenizers["unigram"].fast is None


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_ids_are_those_of_sentencepiece_on_documents_and_odd_strings(text_tokenizers, text_corpus, kind):
    texts = [*ODD_STRINGS, *(document.text for document in read_documents(text_corpus))]
    for text, ids in zip(texts, text_tokenizers[kind].encode_arrays(texts), strict=True):
        assert ids.tolist() == text_tokenizers[kind].processor.encode(text), repr(text[:60])


def test_bins_are_the_same_without_it(text_tokenizers, text_corpus, tmp_path):
    script = ROOT / "workflow/scripts/pack.py"
    quick = pack_corpus(text_corpus, text_tokenizers["bpe"], 64, tmp_path / "quick/manifest.json", script)
    slow = pack_corpus(
        text_corpus, replace(text_tokenizers["bpe"], fast=None), 64, tmp_path / "slow/manifest.json", script
    )
    assert quick["outputs"] == slow["outputs"]


@pytest.mark.parametrize("version", [None, "0.0.1"])
def test_another_version_or_none_leaves_the_work_to_sentencepiece(text_tokenizers, monkeypatch, version):
    monkeypatch.setattr(fast, "installed_version", lambda: version)
    assert load_tokenizer(text_tokenizers["bpe"].manifest.path).fast is None


def test_a_model_with_a_difference_is_not_opened(text_tokenizers):
    tokenizer = text_tokenizers["bpe"]
    proof = tokenizer.manifest["fast_encoder"] | {"differences": 1}
    assert fast.open_fast(proof, b"", tokenizer.processor) is None
    model = (tokenizer.manifest.path.parent / "spm.model").read_bytes()

    class Other:
        def encode(self, text):
            return [7]

    assert fast.prove(model, Other(), ["a", "b", "</s>"])["differences"] == 2
    assert np.array_equal(fast.FastEncoder(model, Other()).encode("a </s>"), [7])
