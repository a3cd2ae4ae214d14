"""Turn a SentencePiece model into a tokenizer of Hugging Face's library, with equal ids.

Converters guess at the settings of a model (a blank in front, special pieces found in plain text); this one writes
down those of ours.
"""

from collections.abc import Iterable
from typing import Any

from abovo.tokenizing.special import IM_END, IM_START, PIECES, UNK

BLANK = "\u2581"
# Below every real score, so that text which looks like a byte piece or a special piece is never taken for one.
NEVER = -100.0


def build(processor: Any, model_type: str) -> Any:
    """A tokenizers.Tokenizer with the pieces of a SentencePiece model."""
    import tokenizers
    from tokenizers import decoders, normalizers

    result = tokenizers.Tokenizer(MODELS[model_type](processor))
    result.normalizer = normalizers.Replace(" ", BLANK)
    result.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])
    markers = [tokenizers.AddedToken(PIECES[i], special=False, normalized=False) for i in (IM_START, IM_END)]
    result.add_tokens(markers)
    return result


def _bpe(processor: Any) -> Any:
    """A merge for every way to split a piece into two pieces, in the order in which SentencePiece would merge."""
    from tokenizers import models

    size = processor.get_piece_size()
    pieces = {processor.id_to_piece(i): i for i in range(size)}
    normal = {piece: i for piece, i in pieces.items() if _is_normal(processor, i)}
    merges: list[tuple[str, str]] = []
    for piece, _ in sorted(normal.items(), key=lambda item: (-processor.get_score(item[1]), item[1])):
        splits = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        found = [split for split in splits if split[0] in normal and split[1] in normal]
        merges += sorted(found, key=lambda split: (normal[split[0]], normal[split[1]]))
    return models.BPE(pieces, merges, unk_token=PIECES[UNK], fuse_unk=True, byte_fallback=True)


def _unigram(processor: Any) -> Any:
    from tokenizers import models

    pieces = [
        (processor.id_to_piece(i), processor.get_score(i) if _is_normal(processor, i) else _score(i))
        for i in range(processor.get_piece_size())
    ]
    return models.Unigram(pieces, unk_id=UNK, byte_fallback=True)


def _score(number: int) -> float:
    """Newline and tab are always pieces of their own, since no other piece holds them."""
    return 0.0 if IM_END < number < len(PIECES) else NEVER


def _is_normal(processor: Any, number: int) -> bool:
    return number >= len(PIECES) and not processor.is_byte(number)


MODELS = {"bpe": _bpe, "unigram": _unigram}


def differences(processor: Any, exported: Any, texts: Iterable[str]) -> list[str]:
    """The texts whose ids differ between the SentencePiece model and the exported tokenizer."""
    return [text for text in texts if processor.encode(text) != exported.encode(text, add_special_tokens=False).ids]
