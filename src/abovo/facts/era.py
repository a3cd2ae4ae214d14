"""Turn sections of State of the Union addresses into questions about when a passage was said: before 1900 or later.

What tells it is the language of the passage, which is quoted without its year.
"""

import re
from collections.abc import Iterable, Iterator

from abovo.corpus.shards import Document
from abovo.facts.fact import Fact
from abovo.facts.speech import SECTION, SENTENCE, TURN_OF_THE_CENTURY

BEFORE, LATER = ANSWERS = ("Before.", "Later.")
QUESTION = '"{passage}"\nWas this said before 1900 or later?'
PASSAGE_CHARACTERS = range(60, 300)
YEAR = re.compile(r"\b(1[6-9]|20)\d\d\b")


def era_facts(documents: Iterable[Document], per_document: int) -> Iterator[Fact]:
    """The first `per_document` passages of each section, of whole sentences in their order, none in two."""
    for document in documents:
        match = SECTION.fullmatch(document.id)
        if not match:
            continue
        answer = BEFORE if int(match[2]) < TURN_OF_THE_CENTURY else LATER
        for passage in passages(document.text)[:per_document]:
            yield Fact(document, QUESTION.format(passage=passage), answer, options=ANSWERS)


def passages(text: str) -> list[str]:
    """The sentences of a text, joined as long as they fit into PASSAGE_CHARACTERS; one that names a year, which would
    give the answer away, is left out, as are quotations."""
    found: list[str] = []
    for paragraph in text.split("\n\n"):
        for sentence in SENTENCE.split(" ".join(paragraph.split())):
            if YEAR.search(sentence) or '"' in sentence or sentence[-1:] not in (".", "!", "?"):
                continue
            if found and len(found[-1]) + 1 + len(sentence) < PASSAGE_CHARACTERS.stop:
                found[-1] += f" {sentence}"
            else:
                found.append(sentence)
    return [passage for passage in found if len(passage) in PASSAGE_CHARACTERS]
