"""The fast encoder gives SentencePiece's ids, is used only where that was proven, and changes no byte of any bin."""

from dataclasses import replace

import numpy as np
import pytest
from real_text import ROOT, real_corpus, real_tokenizer

from abovo.corpus.shards import read_documents
from abovo.packing.pack import pack_corpus
from abovo.tokenizing import fast
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.odd import ODD_STRINGS


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return real_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory, corpus):
    folder = tmp_path_factory.mktemp("tokenizers")
    return {kind: real_tokenizer(folder, corpus, kind) for kind in ("bpe", "unigram")}


def test_the_proof_stands_in_the_manifest(tokenizers):
    proof = tokenizers["bpe"].manifest["fast_encoder"]
    assert proof["differences"] == 0 and proof["texts"] > len(ODD_STRINGS)
    assert proof["version"] == fast.installed_version()
    assert tokenizers["unigram"].manifest["fast_encoder"]["differences"] is None
    assert tokenizers["bpe"].fast is not None and tokenizers["unigram"].fast is None


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_ids_are_those_of_sentencepiece_on_documents_and_odd_strings(tokenizers, corpus, kind):
    texts = [*ODD_STRINGS, *(document.text for document in read_documents(corpus))]
    for text, ids in zip(texts, tokenizers[kind].encode_arrays(texts), strict=True):
        assert ids.tolist() == tokenizers[kind].processor.encode(text), repr(text[:60])


def test_bins_are_the_same_without_it(tokenizers, corpus, tmp_path):
    script = ROOT / "workflow/scripts/pack.py"
    quick = pack_corpus(corpus, tokenizers["bpe"], 64, tmp_path / "quick/manifest.json", script)
    slow = pack_corpus(corpus, replace(tokenizers["bpe"], fast=None), 64, tmp_path / "slow/manifest.json", script)
    assert quick["outputs"] == slow["outputs"]


@pytest.mark.parametrize("version", [None, "0.0.1"])
def test_another_version_or_none_leaves_the_work_to_sentencepiece(tokenizers, monkeypatch, version):
    monkeypatch.setattr(fast, "installed_version", lambda: version)
    assert load_tokenizer(tokenizers["bpe"].manifest.path).fast is None


def test_a_model_with_a_difference_is_not_opened(tokenizers):
    tokenizer = tokenizers["bpe"]
    proof = tokenizer.manifest["fast_encoder"] | {"differences": 1}
    assert fast.open_fast(proof, b"", tokenizer.processor) is None
    model = (tokenizer.manifest.path.parent / "spm.model").read_bytes()

    class Other:
        def encode(self, text):
            return [7]

    assert fast.prove(model, Other(), ["a", "b", "</s>"])["differences"] == 2
    assert np.array_equal(fast.FastEncoder(model, Other()).encode("a </s>"), [7])
