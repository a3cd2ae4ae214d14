"""Open the tokenizer of an artifact, after its files were found to be those that its manifest names."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from abovo.errors import AbovoError
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.tokenizing.fast import FastEncoder, open_fast
from abovo.tokenizing.special import EOS, PAD, PIECES, UNK

# Files of a tokenizer that was trained here; and of one that came with a model, its own and how they are opened.
MODEL = "spm.model"
FILES, OPENED = "files", "opened.json"
# How tokenizers with a fallback write a byte.
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True, kw_only=True)
class Tokenizer(ABC):
    """A tokenizer; no special piece is ever added to what `encode` returns.

    `eos` ends a text, `pad` fills a row, `bos` begins a text where the tokenizer asks for that. `pieces` are the ids of
    special pieces, `named` those that chat templates know by name (eos_token and the like); `chat_template` is the one
    that it came with.
    """

    manifest: Manifest
    sha256: str
    vocabulary_size: int
    eos: int
    pad: int
    pieces: Mapping[str, int]
    named: Mapping[str, str]
    bos: int | None = None
    chat_template: str | None = field(default=None, repr=False)

    @property
    def unknown(self) -> int | None:
        """What stands for text that no piece is there for; None where there is no such piece."""
        return self.pieces.get(self.named.get("unk_token", ""))

    @property
    @abstractmethod
    def byte_pieces(self) -> frozenset[int]:
        """The ids of single bytes that spell characters without a piece; none where all text is spelt in bytes."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of a text; special pieces that stand in it are found."""

    @abstractmethod
    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each of several documents, uint32, with the fastest encoder that gives the same ids."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special pieces and all."""

    @property
    def beginning(self) -> int:
        """What a text follows that nothing stands before."""
        return self.eos if self.bos is None else self.bos


@dataclass(frozen=True, kw_only=True)
class TrainedTokenizer(Tokenizer):
    """One that was trained here: a SentencePiece model."""

    processor: Any = field(repr=False)
    fast: FastEncoder | None = field(default=None, repr=False)

    @property
    def byte_pieces(self) -> frozenset[int]:
        return frozenset(number for number in range(self.vocabulary_size) if self.processor.is_byte(number))

    def encode(self, text: str) -> list[int]:
        return self.processor.encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        # One thread: the batches are small, and cores are shared out by whoever starts the job.
        return self.processor.encode(list(texts), num_threads=1)

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        if self.fast is not None:
            return [self.fast.encode(text) for text in texts]
        return [np.array(ids, np.uint32) for ids in self.encode_batch(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        return self.processor.decode(list(ids))


@dataclass(frozen=True, kw_only=True)
class AdoptedTokenizer(Tokenizer):
    """One that came with a model: a fast tokenizer of Hugging Face's library, which finds special pieces in a text, and
    the same for documents, in which they are characters like all others."""

    fast: Any = field(repr=False)
    plain: Any = field(repr=False)

    @property
    def byte_pieces(self) -> frozenset[int]:
        return frozenset(number for piece, number in self.fast.get_vocab().items() if BYTE.fullmatch(piece))

    def encode(self, text: str) -> list[int]:
        return self.fast.encode(text, add_special_tokens=False).ids

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        # not as a batch, which takes all cores
        return [np.array(self.plain.encode(text, add_special_tokens=False).ids, np.uint32) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return self.fast.decode(list(ids), skip_special_tokens=False)


def load_tokenizer(path: Path) -> Tokenizer:
    """Load the tokenizer whose tokenizer_config.json is at `path`.

    Raises AbovoError naming the file that is missing or is not the one that it was made with; null never passes.
    """
    manifest = read_manifest(path, "abovo/tokenizer/")
    return _adopted(manifest) if "model_directory" in manifest["parameters"] else _trained(manifest)


def _trained(manifest: Manifest) -> TrainedTokenizer:
    import sentencepiece

    path = manifest.path
    model, mend = path.parent / MODEL, f"remove {path} and make it again"
    if not model.is_file():
        raise AbovoError(f"the file is missing, {path} names it", model, mend)
    sha256 = sha256_file(model)
    if not manifest["tokenizer_sha256"] or manifest["tokenizer_sha256"] != sha256:
        raise AbovoError(f"its sha256 is not the tokenizer_sha256 of {path}", model, mend)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    size = processor.get_piece_size()
    if size != manifest["vocabulary_size"]:
        raise AbovoError(f"holds {size} pieces, {path} says {manifest['vocabulary_size']}", model, mend)
    return TrainedTokenizer(
        manifest=manifest,
        sha256=sha256,
        vocabulary_size=size,
        eos=EOS,
        pad=PAD,
        pieces=manifest["special_ids"],
        named={"eos_token": PIECES[EOS], "pad_token": PIECES[PAD], "unk_token": PIECES[UNK]},
        processor=processor,
        fast=open_fast(manifest.data.get("fast_encoder"), model.read_bytes(), processor),
    )


def _adopted(manifest: Manifest) -> AdoptedTokenizer:
    import tokenizers

    opened = manifest.file(OPENED).read_text(encoding="utf-8")
    fast, plain = (tokenizers.Tokenizer.from_str(opened) for _ in range(2))
    fast.encode_special_tokens = manifest["split_special_tokens"]
    plain.encode_special_tokens = True
    known = ("vocabulary_size", "eos", "pad", "bos", "pieces", "named", "chat_template")
    values = {name: manifest[name] for name in known}
    return AdoptedTokenizer(manifest=manifest, sha256=manifest["tokenizer_sha256"], fast=fast, plain=plain, **values)
