"""Turn one source into a file of cleaned, filtered documents and a manifest that counts what was refused and why."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abovo.console.progress import Progress
from abovo.corpus.budget import source_budget
from abovo.corpus.clean import clean
from abovo.corpus.shards import Document, compressed
from abovo.corpus.sources import Record, Source, open_source, ordered_units, records
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce

log = logging.getLogger("abovo")
# Texts -> tokens of each, the end-of-document token included.
TokenCounter = Callable[[Sequence[str]], list[int]]
# Documents, and characters, that are counted at once.
BATCH, BATCH_CHARACTERS = 64, 1_000_000


@dataclass
class Tally:
    """What happened to the records that were read."""

    read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    replaced: int = 0


def read_settings(corpus: Mapping[str, Any], name: str, revision: Mapping[str, Any]) -> dict[str, Any]:
    """Of a corpus' settings those that decide the documents of one source; changing any other reads nothing again."""
    source = corpus["sources"][name]
    budget = source_budget(corpus, name)
    stops = source["take"] == "first" and budget is not None
    return {
        "source": {key: value for key, value in source.items() if key not in DESCRIPTIVE},
        "name": name,
        "revision": dict(revision),
        "stop_tokens": round(budget * (1 + corpus["reserve"])) if stops and budget is not None else None,
        "max_samples": source["max_samples"] if source["max_samples"] is not None else corpus["max_samples"],
        "min_characters": corpus["min_characters"],
        "max_characters": corpus["max_characters"],
        "seed": corpus["seed"] if source["take"] == "spread" else None,
        "bytes_per_token": corpus["bytes_per_token"],
        "count_with": corpus["count_with"],
    }


DESCRIPTIVE = ("licence", "language", "tokens", "max_samples")


def read_source(
    corpus: Mapping[str, Any], name: str, plan: Manifest, count: TokenCounter, inputs: Mapping[str, Manifest],
    output: Path, script: Path,
) -> Manifest:  # fmt: skip
    """Read, clean and filter the source `name` of a corpus, at the revision that the corpus' plan resolved.

    With `take: first` reading stops once the source's share of the budget and the reserve are there. Constant memory.
    """
    if name not in corpus["sources"]:
        raise AbovoError(f"the corpus has no source {name!r}", "source", f"known: {', '.join(corpus['sources'])}")
    if name not in plan["sources"]:
        raise AbovoError(f"does not list the source {name}", plan.path, "remove it and make it again")
    source = open_source(corpus["sources"][name], plan["sources"][name]["revision"])
    settings = read_settings(corpus, name, source.revision)

    def make(folder: Path) -> Made:
        return _write(source, settings, count, folder)

    return produce(Job(output, "abovo/source/1", dict(inputs), settings, script), make)


def _write(source: Source, settings: Mapping[str, Any], count: TokenCounter, folder: Path) -> Made:
    tally, progress = Tally(), Progress(f"source {settings['name']}")
    documents = size = tokens = characters = 0
    units = ordered_units(source, settings["source"]["take"], settings["seed"] or 0)
    found = accepted(records(source, units, settings["max_samples"]), settings, tally)
    stop, exhausted = settings["stop_tokens"], True
    with compressed(folder / "documents.jsonl.zst") as file:
        for batch in counted(found, settings["name"], count):
            for document in batch:
                file.write(document.line())
                characters += len(document.text)
                size += len(document.text.encode())
                tokens += document.tokens
            documents += len(batch)
            progress.update(f"{documents:,} documents, {tokens:,} tokens")
            if stop is not None and tokens >= stop:
                exhausted = False
                break
    progress.close(f"{tally.read:,} read, {documents:,} kept, {tokens:,} tokens, {size / 1e6:.1f} MB")
    if not documents:
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(tally.rejected.items())) or "none read"
        raise AbovoError(
            f"no document is left after the filters (read {tally.read}; {reasons})", f"source {settings['name']}",
            "check the source's settings and min_characters, max_characters",
        )  # fmt: skip
    counts = {
        "read": tally.read,
        "rejected": dict(sorted(tally.rejected.items())),
        "replaced_u2581": tally.replaced,
        "documents": documents,
        "characters": characters,
        "bytes": size,
        "tokens": tokens,
        "exhausted": exhausted,
    }
    return Made(counts, {"revision": settings["revision"]})


def accepted(
    found: Iterable[tuple[str, Record]], settings: Mapping[str, Any], tally: Tally
) -> Iterator[tuple[str, str]]:
    """(id, cleaned text) of the records that pass; the others are counted by reason."""
    kind, low, high = settings["source"]["kind"], settings["min_characters"], settings["max_characters"]
    for _, record in found:
        text, reason, replaced = judge(record.text, kind, low, high)
        tally.read += 1
        if reason:
            tally.rejected[reason] += 1
        else:
            tally.replaced += replaced
            yield record.id, text


def judge(text: str | None, kind: str, low: int, high: int | None) -> tuple[str, str, int]:
    """The cleaned text, why it is refused ("" when it passes), and how many U+2581 were replaced in it."""
    if text is None:
        return "", "null", 0
    text, replaced = clean(text, kind)
    if not text:
        return text, "empty", replaced
    if len(text) < low:
        return text, "too short", replaced
    if high is not None and len(text) > high:
        return text, "too long", replaced
    return text, "", replaced


def counted(found: Iterable[tuple[str, str]], source: str, count: TokenCounter) -> Iterator[list[Document]]:
    """Small batches of documents with their token counts; a tokenizer counts a batch faster than its texts one by one.

    Nothing is read beyond the batch that is handed out, so who stops between two batches has counted all that was read.
    """
    batch: list[tuple[str, str]] = []
    characters = 0
    for item in found:
        batch.append(item)
        characters += len(item[1])
        if len(batch) == BATCH or characters >= BATCH_CHARACTERS:
            yield _documents(batch, source, count)
            batch, characters = [], 0
    if batch:
        yield _documents(batch, source, count)


def _documents(batch: list[tuple[str, str]], source: str, count: TokenCounter) -> list[Document]:
    tokens = count([text for _, text in batch])
    return [Document(name, text, source, number) for (name, text), number in zip(batch, tokens, strict=True)]
