"""Turn records as found into cleaned documents with their hashes and bands, or into the reason why they are refused.

Records are looked at in batches: cleaning works on each text, everything that looks at words on the whole batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import xxhash

from abovo.corpus.characters import comparable
from abovo.corpus.clean import clean
from abovo.corpus.filters import refusals
from abovo.corpus.minhash import bands_of
from abovo.corpus.reading import Reading
from abovo.corpus.records import Record
from abovo.corpus.words import Words, words_of
from abovo.provenance.manifest import Manifest

# Records, and characters, that are looked at at once. A record's number takes 12 bits of some sorting keys.
BATCH, BATCH_CHARACTERS = 1024, 1 << 18
# Texts -> tokens of each, the end-of-document token included.
TokenCounter = Callable[[Sequence[str]], list[int]]


class Decontaminates(Protocol):
    """What removes or cuts texts that share passages with evaluation sets."""

    def apply(self, text: str) -> tuple[str, dict[str, Any] | None]:
        """What is left of a text, and a description of what it shared, None for nothing."""
        ...


@dataclass(frozen=True)
class Measures:
    """What a corpus' texts are measured with: how tokens are counted, what removes or cuts texts that share passages
    with evaluation sets (None: nothing), and the manifests of both, by role."""

    count: TokenCounter
    inputs: Mapping[str, Manifest]
    decontaminator: Decontaminates | None = None


class Found(NamedTuple):
    """A record on its way: `order` is its place in the order of its source."""

    order: int
    record: Record


class Verdict(NamedTuple):
    """What became of a record: its cleaned text, or the `reason` of its refusal.

    `data` is the text in UTF-8, `compared` the form of it in which texts are compared, `digest` the hash of that form;
    `shared` describes what it had in common with evaluation sets, `replaced` counts its U+2581.
    """

    id: str
    order: int
    text: str
    data: bytes
    compared: bytes
    digest: bytes
    reason: str
    replaced: int
    shared: dict[str, Any] | None


class Examined(NamedTuple):
    """A batch: a verdict per record, and uint64 [accepted, bands] for the accepted ones in their order."""

    verdicts: list[Verdict]
    bands: np.ndarray | None


class Examiner:
    """Examines the records of one source."""

    def __init__(self, reading: Reading, decontaminator: Decontaminates | None = None) -> None:
        self.reading, self.decontaminator = reading, decontaminator
        self.kind, self.cleaning = reading.source.kind, reading.source.cleaning
        self.low, self.high = reading.min_characters, reading.max_characters

    def examine(self, batch: Sequence[Found]) -> Examined:
        reading = self.reading
        verdicts = [self._clean(found) for found in batch]
        passed = [number for number, verdict in enumerate(verdicts) if not verdict.reason]
        words: Words | None = None
        if passed and (reading.filters or reading.near):
            words = words_of([verdicts[number].compared for number in passed])
        if words and reading.filters and reading.thresholds is not None:
            texts = [verdicts[number].text for number in passed]
            reasons = refusals(texts, words, reading.filters, reading.language or "", reading.thresholds)
            for number, reason in zip(passed, reasons, strict=True):
                if reason:
                    verdicts[number] = verdicts[number]._replace(reason=reason)
        bands = None
        if reading.near:
            bands = np.zeros((0, reading.near.bands), np.uint64)
            if words:
                digests = np.array([int.from_bytes(verdicts[number].digest[:8], "big") for number in passed], np.uint64)
                keep = [place for place, number in enumerate(passed) if not verdicts[number].reason]
                bands = bands_of(words, digests, reading.near)[keep]
        return Examined(verdicts, bands)

    def _clean(self, found: Found) -> Verdict:
        """The record cleaned, and refused where there is no text, too little or too much of it."""
        order, (name, raw, fault) = found
        if raw is None:
            return Verdict(name, order, "", b"", b"", b"", fault or "null", 0, None)
        text, replaced = clean(raw, self.kind, self.cleaning)
        shared = None
        reason = self._length(text)
        if not reason and self.decontaminator is not None:
            left, shared = self.decontaminator.apply(text)
            if shared is not None:
                text = clean(left, self.kind)[0]
                reason = self._length(text) if left else "contaminated"
        if reason:
            return Verdict(name, order, text, b"", b"", b"", reason, replaced, shared)
        data = text.encode()
        form = comparable(text)
        compared = data if form is text else form.encode()
        return Verdict(name, order, text, data, compared, xxhash.xxh3_128_digest(compared), "", replaced, shared)

    def _length(self, text: str) -> str:
        if not text:
            return "empty"
        if len(text) < self.low:
            return "too short"
        return "too long" if self.high is not None and len(text) > self.high else ""


def batches(found: Iterable[Found], wanted: Callable[[], int] = lambda: BATCH_CHARACTERS) -> Iterator[list[Found]]:
    """Records in batches of bounded size, or of as many characters as are still `wanted` where those are fewer.

    Nothing is read beyond the batch that is handed out.
    """
    batch: list[Found] = []
    characters, limit = 0, min(BATCH_CHARACTERS, wanted())
    for item in found:
        batch.append(item)
        characters += len(item.record.text or "")
        if len(batch) == BATCH or characters >= limit:
            yield batch
            batch, characters, limit = [], 0, min(BATCH_CHARACTERS, wanted())
    if batch:
        yield batch
