"""Turn contexts and continuations into the ids that are given and the ids that are scored, as lm-eval splits them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from abovo.modeling.opened import prefix_of

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Option:
    """`scored` follows `context`, which is never empty."""

    context: Ids
    scored: Ids


def encode_pair(tokenizer: Any, context: str, continuation: str) -> Option:
    """The ids of one pair; see `encode_pairs`, which is faster for many."""
    return encode_pairs(tokenizer, [(context, continuation)])[0]


def encode_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[Option]:
    """Ids of (context, continuation) pairs as lm-eval's `hf` model makes them.

    Trailing blanks of the context move to the continuation; both are encoded together and parted where the context
    alone would end, so no word is torn; an empty context becomes the prefix id. Where the continuation melts into the
    context's last token, which lm-eval refuses, that token is scored.
    """
    moved = [_move_blanks(context, continuation) for context, continuation in pairs]
    bare = list(dict.fromkeys(after for before, after in moved if not before))
    wholes = list(dict.fromkeys(text for before, after in moved if before for text in (before, before + after)))
    alone = dict(zip(bare, _encode(tokenizer, bare, special=False), strict=True))
    known = dict(zip(wholes, encode_texts(tokenizer, wholes), strict=True))
    prefix = prefix_of(tokenizer)
    found = []
    for before, after in moved:
        if before:
            whole = known[before + after]
            at = min(len(known[before]), len(whole) - 1) if after else len(whole)
        else:
            ids = alone[after]
            whole, at = ids if ids[:1] == (prefix,) else (prefix, *ids), 1
        found.append(Option(whole[:at] or (prefix,), whole[at:]))
    return found


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """Ids of whole texts, with what the tokenizer adds to a text (ours add nothing), never twice."""
    prefix = tokenizer.decode(prefix_of(tokenizer))
    opened = [bool(prefix) and text.startswith(prefix) for text in texts]
    found: dict[bool, list[Ids]] = {
        kind: _encode(tokenizer, [t for t, o in zip(texts, opened, strict=True) if o is kind], special=not kind)
        for kind in (False, True)
    }
    streams = {kind: iter(ids) for kind, ids in found.items()}
    return [next(streams[kind]) for kind in opened]


def _move_blanks(context: str, continuation: str) -> tuple[str, str]:
    kept = context.rstrip()
    return (kept, context[len(kept) :] + continuation) if context else ("", continuation)


def _encode(tokenizer: Any, texts: Sequence[str], *, special: bool) -> list[Ids]:
    if not texts:
        return []
    found = tokenizer(list(texts), add_special_tokens=special, return_attention_mask=False, verbose=False)
    return [tuple(ids) for ids in found["input_ids"]]
