"""Say which sources of a corpus get no document to validate on, though some were to be held out, and what mends it.

Which side a document is on depends on its text alone, so a source of few documents may have none on one side.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

log = logging.getLogger("abovo")
# From this chance on that no document of a source is held out its plan says so.
LIKELY = 0.05
Unvalidated = Mapping[str, Mapping[str, Any]]


def chance_of_none(documents: float, share: float) -> float:
    """The chance that none of so many documents is held out; `share` is the expected fraction."""
    return (1 - share) ** documents


def likely_unvalidated(documents: Mapping[str, float | None], share: float) -> dict[str, dict[str, Any]]:
    """Source -> its documents, how many of them are expected to be held out, and the chance of none, where that is
    likely. Without a share nothing is to be held out, and nothing is told of a source whose documents are not known."""
    return {
        name: {**_expected(number, share), "chance_of_none": round(chance_of_none(number, share), 4)}
        for name, number in documents.items()
        if share and number is not None and chance_of_none(number, share) > LIKELY
    }


def unvalidated(counts: Mapping[str, Mapping[str, Any]], share: float) -> dict[str, dict[str, Any]]:
    """Source -> its documents and how many of them were expected to be held out, where none was."""
    return {
        name: _expected(one["documents"], share)
        for name, one in counts.items()
        if share and not one["validation_documents"]
    }


def _expected(documents: float, share: float) -> dict[str, Any]:
    return {"documents": documents, "expected": round(documents * share, 3)}


def tell_unvalidated(found: Unvalidated) -> None:
    """Say it on the screen, with the mend."""
    for name, one in found.items():
        chance = f" (chance {one['chance_of_none']:.0%})" if "chance_of_none" in one else ""
        log.warning("source %s%s: %s; %s", name, chance, told([one]), mend(one["documents"]))


def told(found: Iterable[Mapping[str, Any]]) -> str:
    """What happened to sources, as one reads it."""
    return ", ".join(
        f"none of {one['documents']:,} documents is held out ({one['expected']:g} expected), so it is not evaluated"
        for one in found
    )


def mend(documents: float) -> str:
    """What holds out a document of so many with a chance of 95 %."""
    share, more = 1 - LIKELY ** (1 / max(documents, 1)), "give it more documents"
    return f"set validation_share to {share:.2g}, or {more}" if share <= 0.5 else more
