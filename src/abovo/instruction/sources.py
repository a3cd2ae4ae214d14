"""Turn the settings of an instruction set into the conversations of its sources, each with its split."""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from abovo.corpus.shards import Split, read_documents
from abovo.corpus.sources import Rows, open_rows
from abovo.corpus.split import document_hash, is_validation
from abovo.errors import AbovoError
from abovo.facts.question import make_facts, revision
from abovo.instruction.detect import detect
from abovo.instruction.fields import LOOK, Found, Tally, between, turn
from abovo.instruction.formats import FORMATS, renamed
from abovo.provenance.manifest import Manifest
from abovo.settings.instruction import Conversations, Instruction

log = logging.getLogger("abovo")
SPLITS: tuple[Split, ...] = ("train", "val")


# What decides the split of a conversation from its requests, none of which are told from others that are equal.
SplitBy = Literal["first request", "all requests"]


@dataclass
class Source:
    """An opened source: what exactly it is, and one pass over its conversations, which fills the rest."""

    name: str
    revision: Mapping[str, Any]
    licence: Any
    read: Callable[["Source", SplitBy], Iterator[tuple[Split, Found]]]
    unread: Mapping[str, Any] = field(default_factory=dict)
    made: bool = False
    """Whether its conversations are made, not found: then each counts, however like another it is."""
    format: str = "facts"
    why: str = ""
    tally: Tally = field(default_factory=Tally)


def open_sources(corpus: Manifest | None, settings: Instruction) -> list[Source]:
    """The sources of a set in their order; `corpus` gives the documents of format facts.

    Conversations made from documents inherit the split of their document; others are split by the hash of their first
    request, so that two answers to one request never part, or of all requests. Raises AbovoError where keys do not fit
    together.
    """
    facts = settings.format == "facts"
    if facts != (corpus is not None) or facts != (settings.facts is not None) or facts == bool(settings.by_source):
        what = f"format {settings.format} does not go with the other keys"
        mend = "format facts needs `corpus` and `facts`, any other one needs `source`"
        raise AbovoError(what, "instruction data set", mend)
    if corpus is not None:
        made = _facts(corpus, settings)
        found = revision([settings.facts or ""])
        return [Source("facts", found, corpus.data.get("sources"), made, made=True)]
    return [_opened(name, one, settings.validation_share) for name, one in settings.by_source.items()]


def _facts(corpus: Manifest, settings: Instruction) -> Callable[[Source, SplitBy], Iterator[tuple[Split, Found]]]:
    def read(source: Source, _: SplitBy) -> Iterator[tuple[Split, Found]]:
        for split in SPLITS:
            documents = read_documents(corpus, split)
            for fact in make_facts(settings.facts or "", documents, settings.facts_per_document):
                source.tally.records += 1
                yield split, Found(str(corpus.path), turn(fact.question, fact.answer))

    return read


def _opened(name: str, settings: Conversations, share: float) -> Source:
    if settings.source is None:
        raise AbovoError("has no `source`", f"instruction data set, source {name}", "say where its records lie")
    rows = open_rows(settings.source)

    def read(source: Source, by: SplitBy) -> Iterator[tuple[Split, Found]]:
        for found in _conversations(rows, settings, source):
            whole = between(found, source.tally)
            if whole is not None:
                key = whole.requests[0] if by == "first request" else "\n".join(whole.requests)
                yield "val" if is_validation(document_hash(key), share) else "train", whole

    return Source(name, rows.revision, settings.source.licence or "not stated", read, rows.unread)


def _conversations(rows: Rows, settings: Conversations, source: Source) -> Iterator[Found]:
    """What the records of a source hold, in the format that it is said to have or is found to have."""
    records = renamed(rows.read(), settings.columns, source.tally)
    first = list(itertools.islice(records, LOOK if settings.format == "auto" else 0))
    source.format, source.why = (settings.format, "") if not first else detect(first)
    if settings.format == "auto":
        log.info("source %s: format auto found %s: %s", source.name, source.format, source.why)
    if source.format not in FORMATS:
        raise AbovoError("holds no record", f"source {source.name}", "name another file")

    def counted() -> Iterator[Any]:
        for row in itertools.chain(first, records):
            source.tally.records += 1
            yield row

    yield from FORMATS[source.format](counted(), settings, source.tally)
