"""Turn a SentencePiece model into the token table of a GGUF file, as llama.cpp spells texts with it.

llama.cpp's own converter guesses the settings of a tokenizer (a blank in front, a beginning of text, markers that are
plain words); these are written down as they are.
"""

from dataclasses import dataclass
from typing import Any

from abovo.tokenizing.huggingface import kinds, markers

# Kinds of pieces as GGUF numbers them, which are SentencePiece's own numbers.
CONTROL, UNUSED = 3, 5


@dataclass(frozen=True)
class Vocabulary:
    """Text, score and kind of every id; ids that only fill the embedding table up have the kind `UNUSED`."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[int, ...]
    unknown: int
    eos: int
    pad: int

    @property
    def control(self) -> list[str]:
        """The texts that llama.cpp takes for the pieces of the same name where it is asked to find special ones."""
        return [piece for piece, kind in zip(self.pieces, self.kinds, strict=True) if kind == CONTROL]


def vocabulary_of(processor: Any, rows: int, eos: int, pad: int) -> Vocabulary:
    """The table of a model whose embedding has `rows` rows.

    Markers of a chat are control pieces: llama.cpp hides them in what it writes, and finds them where a text is read
    with its special pieces, as every chat is.
    """
    size = processor.get_piece_size()
    marked = set(markers(processor))
    pieces = [processor.id_to_piece(i) for i in range(size)]
    own = [CONTROL if piece in marked else kind for piece, kind in zip(pieces, kinds(processor), strict=True)]
    more = range(size, rows)
    return Vocabulary(
        pieces=(*pieces, *(f"<unused{i}>" for i in more)),
        scores=(*(processor.get_score(i) for i in range(size)), *(0.0 for _ in more)),
        kinds=(*own, *(UNUSED for _ in more)),
        unknown=processor.unk_id(),
        eos=eos,
        pad=pad,
    )
