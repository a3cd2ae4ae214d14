"""The one table of the special pieces of tokenizers that are trained here, and their ids, in every form of them."""

from collections.abc import Sequence

UNK, BOS, EOS, PAD = range(4)

# Piece of each of these ids, in their order; the pieces of a chat follow, and what separates lines and columns.
PIECES = ("<unk>", "<s>", "</s>", "<pad>")


def special_pieces(chat_pieces: Sequence[str]) -> tuple[str, ...]:
    """All of them, in the order of their ids."""
    return (*PIECES, *user_defined(chat_pieces))


def user_defined(chat_pieces: Sequence[str]) -> tuple[str, ...]:
    """The pieces that SentencePiece keeps whole wherever they stand in a text."""
    return (*chat_pieces, "\n", "\t")
