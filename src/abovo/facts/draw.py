"""Draw from lists by hash: the same parts give the same draw on every machine and in every order of work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import xxhash

from abovo.corpus.shards import Document

T = TypeVar("T")
YES, NO = "Yes.", "No."


@dataclass(frozen=True)
class Fact:
    """A question and its answer, and the document that gives it.

    Where the answer stands for a choice among others of its kind, `family` names the kind and `option` the wording
    that can stand in a list of options (an answer of the same family is a wrong option for another document).
    """

    document: Document
    question: str
    answer: str
    family: str = ""
    option: str = ""

    @property
    def is_yes_no(self) -> bool:
        return self.answer in (YES, NO)


def number(*parts: object) -> int:
    """A 64-bit number that depends on nothing but the parts."""
    return xxhash.xxh3_64_intdigest("\x1f".join(map(str, parts)).encode())


def pick(items: Sequence[T], *parts: object) -> T:
    """One of the items (at least one), drawn by the hash of the parts."""
    return items[number(*parts) % len(items)]
