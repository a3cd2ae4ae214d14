"""Encode with gigatoken what it was proven to encode as SentencePiece does, several times faster; BPE models only.

The proof is made when a tokenizer is made, on its validation documents and all odd strings, and stands in its
manifest with gigatoken's version. Where another version or none is installed SentencePiece does the work: the ids are
the same, so nothing but the time depends on it.
"""

import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from abovo.tokenizing.special import BOS, EOS, PAD, PIECES, UNK

PACKAGE = "gigatoken"
# Inside a text these are plain characters to SentencePiece, while gigatoken would take them for the pieces.
_NAMES = tuple(PIECES[number] for number in (UNK, BOS, EOS, PAD))


class FastEncoder:
    """A SentencePiece model opened by gigatoken."""

    def __init__(self, model: bytes, processor: Any) -> None:
        import gigatoken

        self.tokenizer = gigatoken.Tokenizer.from_sentencepiece(model)
        self.processor = processor

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text, uint32."""
        if any(name in text for name in _NAMES):
            return np.array(self.processor.encode(text), np.uint32)
        return self.tokenizer.encode(text)


def installed_version() -> str | None:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None


def prove(model: bytes, processor: Any, texts: Iterable[str]) -> dict[str, Any]:
    """What a tokenizer's manifest says of gigatoken: its version, the texts compared, and how many got other ids.

    A model that gigatoken cannot open, unigram among them, has null for `differences`.
    """
    found: dict[str, Any] = {"package": PACKAGE, "version": installed_version(), "texts": 0, "differences": None}
    if found["version"] is None:
        return found
    try:
        encoder = FastEncoder(model, processor)
    except Exception:
        return found
    found["differences"] = 0
    for text in texts:
        found["texts"] += 1
        found["differences"] += encoder.encode(text).tolist() != processor.encode(text)
    return found


def open_fast(proof: Mapping[str, Any] | None, model: bytes, processor: Any) -> FastEncoder | None:
    """The encoder where its proof is complete and holds for the version that is installed."""
    if not proof or proof["differences"] != 0 or proof["version"] != installed_version():
        return None
    return FastEncoder(model, processor)
