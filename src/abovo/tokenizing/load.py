"""Open a trained tokenizer, after its model was found to be the one that its manifest names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from abovo.errors import AbovoError
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.tokenizing.fast import FastEncoder, open_fast
from abovo.tokenizing.special import EOS, PAD


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer; no special piece is ever added to what `encode` returns.

    `eos` ends a text, `pad` fills a row; `pieces` are the special pieces that a text may hold or a row end with, by
    their ids.
    """

    manifest: Manifest
    sha256: str
    vocabulary_size: int
    eos: int
    pad: int
    pieces: Mapping[str, int]
    processor: Any = field(repr=False)
    fast: FastEncoder | None = field(default=None, repr=False)

    def encode(self, text: str) -> list[int]:
        return self.processor.encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        # One thread: the batches are small, and cores are shared out by whoever starts the job.
        return self.processor.encode(list(texts), num_threads=1)

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, with the fastest encoder that gives SentencePiece's ids."""
        if self.fast is not None:
            return [self.fast.encode(text) for text in texts]
        return [np.array(ids, np.uint32) for ids in self.encode_batch(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        return self.processor.decode(list(ids))


def load_tokenizer(path: Path) -> Tokenizer:
    """Load the tokenizer whose tokenizer_config.json is at `path`.

    Raises AbovoError naming spm.model when it is missing or its sha256 is not `tokenizer_sha256`; null never passes.
    """
    import sentencepiece

    manifest = read_manifest(path, "abovo/tokenizer/")
    model, mend = path.parent / "spm.model", f"remove {path} and make it again"
    if not model.is_file():
        raise AbovoError(f"the file is missing, {path} names it", model, mend)
    sha256 = sha256_file(model)
    if not manifest["tokenizer_sha256"] or manifest["tokenizer_sha256"] != sha256:
        raise AbovoError(f"its sha256 is not the tokenizer_sha256 of {path}", model, mend)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    size = processor.get_piece_size()
    if size != manifest["vocabulary_size"]:
        raise AbovoError(f"holds {size} pieces, {path} says {manifest['vocabulary_size']}", model, mend)
    fast = open_fast(manifest.data.get("fast_encoder"), model.read_bytes(), processor)
    return Tokenizer(manifest, sha256, size, EOS, PAD, manifest["special_ids"], processor, fast)
