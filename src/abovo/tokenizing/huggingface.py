"""Turn a SentencePiece model into a tokenizer of Hugging Face's library, with equal ids.

Converters guess at the settings of a model (a blank in front, special pieces found in plain text); this one writes
down those of ours.

Markers of a chat (<|im_start|> and the like) are to be hidden where special tokens are skipped, and are found in a
text, as SentencePiece finds them. The end of a text is hidden, too, but "</s>" inside a text is four characters, not
the end of a document: whoever could type it could end what a model reads. The library knows one switch for both, so
special pieces are found nowhere (`split_special_tokens`), and markers are found by the model itself: each is cut out
of the text, and what is cut out and is one piece stays one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

BLANK = "\u2581"
# What a SentencePiece model calls the kinds of its pieces.
NORMAL, USER_DEFINED = 1, 4
# Below every real score, so that text which looks like a byte piece or a special piece is never taken for one.
NEVER = -100.0


def build(processor: Any, model_type: str) -> Any:
    """A tokenizers.Tokenizer with the pieces of a SentencePiece model."""
    import tokenizers
    from tokenizers import decoders, normalizers, pre_tokenizers

    result = tokenizers.Tokenizer(MODELS[model_type](processor))
    result.normalizer = normalizers.Replace(" ", BLANK)
    marked = markers(processor)
    # the longest first, as SentencePiece looks for them
    cuts = ["|".join(re.escape(marker) for marker in sorted(marked, key=len, reverse=True)), _apart(processor)]
    isolated = [pre_tokenizers.Split(tokenizers.Regex(cut), "isolated") for cut in cuts if cut]
    result.pre_tokenizer = pre_tokenizers.Sequence(isolated)
    result.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])
    result.add_special_tokens([tokenizers.AddedToken(marker, special=True, normalized=False) for marker in marked])
    result.encode_special_tokens = True
    return result


def markers(processor: Any) -> list[str]:
    """The pieces that a chat template writes, in the order of their ids: user-defined ones that are not blank."""
    names = (processor.id_to_piece(i) for i, kind in enumerate(kinds(processor)) if kind == USER_DEFINED)
    return [name for name in names if name.strip()]


def kinds(processor: Any) -> list[int]:
    """The kind of each piece, as the SentencePiece model numbers them."""
    from sentencepiece import sentencepiece_model_pb2 as messages

    model = messages.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(processor.serialized_model_proto())
    return [piece.type for piece in model.pieces]


def _apart(processor: Any) -> str:
    """A pattern that cuts a text after its first piece, or first character where that is spelled in bytes, if the text
    is the name of a piece that no text is spelled with: "</s>" or "<0x41>" would otherwise be taken for that piece. No
    merge crosses the cut, so the ids are the same.
    """
    names = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    spelled = processor.encode([name.replace(BLANK, " ") for name in names], out_type=str)
    rests = defaultdict(list)
    for name, pieces in zip(names, spelled, strict=True):
        if len(pieces) > 1:
            first = name[:1] if processor.is_byte(processor.piece_to_id(pieces[0])) else pieces[0]
            rests[first].append(name.removeprefix(first))
    return "|".join(
        rf"\A{re.escape(first)}(?=(?:{'|'.join(map(re.escape, rest))})\z)" for first, rest in sorted(rests.items())
    )


def _bpe(processor: Any) -> Any:
    """A merge for every way to split a piece into two pieces, in the order in which SentencePiece would merge."""
    from tokenizers import models

    pieces = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
    known = kinds(processor)
    normal = {piece: i for piece, i in pieces.items() if known[i] == NORMAL}
    merges: list[tuple[str, str]] = []
    for piece, _ in sorted(normal.items(), key=lambda item: (-processor.get_score(item[1]), item[1])):
        splits = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        found = [split for split in splits if split[0] in normal and split[1] in normal]
        merges += sorted(found, key=lambda split: (normal[split[0]], normal[split[1]]))
    unknown = processor.id_to_piece(processor.unk_id())
    return models.BPE(pieces, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True, ignore_merges=True)


def _unigram(processor: Any) -> Any:
    """User-defined pieces weigh nothing, so they always stay whole: no other piece holds a newline or a tab, and
    markers are cut out."""
    from tokenizers import models

    scores = {NORMAL: processor.get_score, USER_DEFINED: lambda _: 0.0}
    pieces = [
        (processor.id_to_piece(i), scores.get(kind, lambda _: NEVER)(i)) for i, kind in enumerate(kinds(processor))
    ]
    return models.Unigram(pieces, unk_id=processor.unk_id(), byte_fallback=True)


MODELS = {"bpe": _bpe, "unigram": _unigram}


def differences(processor: Any, exported: Any, texts: Iterable[str]) -> list[str]:
    """The texts whose ids differ between the SentencePiece model and the exported tokenizer."""
    return [text for text in texts if processor.encode(text) != exported.encode(text, add_special_tokens=False).ids]
