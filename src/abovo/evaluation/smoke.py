"""Turn what a model wrote into figures of its form, never of its quality."""

from collections.abc import Mapping, Sequence
from typing import Any

from abovo.evaluation.statistics import rounded

SMOKE = "share of generations that are not empty, end by themselves and hold 3 to 200 words; form only, not quality"
WORDS = range(3, 201)
# Figures of the form of generations, and what each measures.
FORM = {
    **{
        f"form_distinct_{n}": f"share of different ones among the {what} of a generation, mean over generations"
        for n, what in ((1, "words"), (2, "pairs of neighbouring words"), (3, "runs of three words"))
    },
    "form_loops": "share of generations that end in the same words three times in a row",
    "form_ends_its_turn": "share of generations that end by themselves",
}


def smoke_score(generations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many generations have the form of an answer, and figures of their repetition; says what each measures."""
    right = sum(bool(item["ended"]) and len(item["text"].split()) in WORDS for item in generations)
    value = right / max(1, len(generations))
    return {"value": value, "n": len(generations), "measures": SMOKE, "form": form_of(generations)}


def form_of(generations: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The figures of `FORM`; None where no text is long enough for one."""
    texts = [item["text"].split() for item in generations]
    found: dict[str, float | None] = {
        f"form_distinct_{n}": _mean([_distinct(words, n) for words in texts]) for n in (1, 2, 3)
    }
    looped = [_loops(words, ended=bool(item["ended"])) for words, item in zip(texts, generations, strict=True)]
    return {
        **{name: value if value is None else rounded(value) for name, value in found.items()},
        "form_loops": rounded(sum(looped) / max(1, len(looped))),
        "form_ends_its_turn": rounded(sum(bool(item["ended"]) for item in generations) / max(1, len(generations))),
    }


def _distinct(words: Sequence[str], n: int) -> float | None:
    runs = [tuple(words[first : first + n]) for first in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs) if runs else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _loops(words: Sequence[str], *, ended: bool) -> bool:
    """Whether a text ends in the same words three times in a row; of a text that was cut off, its last word may be
    part of one."""
    tails = [words] if ended else [words, words[:-1]]
    return any(
        tail[-3 * period : -2 * period] == tail[-2 * period : -period] == tail[-period:]
        for tail in tails
        for period in range(1, len(tail) // 3 + 1)
    )
