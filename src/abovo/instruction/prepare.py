"""Turn an instruction data set into packed rows of conversations with a label mask: train.bin, val.bin, a manifest."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from abovo.console.progress import Progress
from abovo.corpus.shards import Split
from abovo.corpus.shared_rows import open_tasks
from abovo.corpus.sources import tell_unread
from abovo.errors import AbovoError
from abovo.instruction.duplicates import Seen
from abovo.instruction.fields import Tally
from abovo.instruction.lengths import Fitter
from abovo.instruction.overlap import Overlap, look_up
from abovo.instruction.shelf import Shelf
from abovo.instruction.sources import SPLITS, Source, SplitBy, open_sources
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.instruction import Instruction, InstructionJob
from abovo.settings.keys import decisive
from abovo.settings.names import SHIPPED
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.template_files import chat_template
from abovo.tokenizing.templates import open_template

log = logging.getLogger("abovo")


def prepare_instruction(
    tokenizer_path: Path, corpus: Manifest | None, settings: Instruction, output: Path, script: Script | Path
) -> Manifest:
    """Write the rows of a data set; `corpus` gives the documents of format facts, other formats read their sources.

    The records stream past. A conversation that stood before, or that the template cannot write, is left out; the
    counts say by source and reason how many. Raises AbovoError where a split stays empty.
    """
    tokenizer = load_tokenizer(tokenizer_path)
    told_template = settings.template
    if isinstance(told_template, str):
        told_template = chat_template(told_template, Path("config"), SHIPPED)
        settings = replace(settings, template=told_template)
    template = open_template(told_template, tokenizer)
    inputs = {"tokenizer": read_manifest(tokenizer_path, "abovo/tokenizer/")}
    if corpus is not None:
        inputs["corpus"] = corpus
    sources = open_sources(corpus, settings)
    unread = {source.name: dict(source.unread) for source in sources if source.unread}
    for name, found in unread.items():
        tell_unread(f"instruction data {output.parent}, source {name}", found)

    rows = settings.overlap if isinstance(settings, InstructionJob) else None
    tasks, absent = open_tasks(rows.tasks) if rows else ({}, {})

    def make(folder: Path) -> Made:
        shared = look_up(tasks, absent, rows.ngram) if rows else None
        progress = Progress(f"instruction data {output.parent}")
        fitter = Fitter(template, tokenizer, settings.sequence_length, settings.too_long)
        by: SplitBy = "first request"
        counts, asked = _fill(folder, sources, by, fitter, shared, settings, progress)
        if corpus is None and _empty(counts) and len(asked) > 1:
            log.info("%s: one first request is all that there is, so all requests decide the split", output.parent)
            by = "all requests"
            counts, asked = _fill(folder, sources, by, fitter, shared, settings, progress)
        left_out = counts["left_out"]
        _tell(output.parent, sources)
        for split in _empty(counts):
            what = f"no conversation is left for {split} (left out: {told(left_out) or 'none'})"
            mend = "raise validation_share or sequence_length; records of the same requests share a split"
            if corpus is None and len(asked) < 2:
                same = "all have the same requests, which share a split, so " if asked else ""
                mend = f"{same}nothing but other records helps"
            raise AbovoError(what, output.parent, mend)
        progress.close(_outcome(counts))
        fields = {
            "tokenizer_sha256": tokenizer.sha256,
            "vocabulary_size": tokenizer.vocabulary_size,
            "sequence_length": settings.sequence_length,
            "eos_id": tokenizer.eos,
            "pad_id": tokenizer.pad,
            "licences": {source.name: source.licence for source in sources},
            "unread": unread,
            "split_by": by,
        }
        if shared is not None:
            fields["overlap"] = {"ngram": shared.size, "tasks": shared.tasks}
        if absent:
            fields["absent"] = "; ".join(f"{name}: {why}" for name, why in absent.items())
        return Made(counts, fields)

    revisions = {source.name: source.revision for source in sources}
    parameters = {**decisive(settings), "revision": revisions, "unread": unread}
    if rows is not None:
        parameters |= {"tasks": {name: one.revision for name, one in tasks.items()}, "absent": sorted(absent)}
    return produce(Job(output, "abovo/instruction/2", inputs, parameters, script), make)


def _fill(
    folder: Path,
    sources: Sequence[Source],
    by: SplitBy,
    fitter: Fitter,
    shared: Overlap | None,
    settings: Instruction,
    progress: Progress,
) -> tuple[dict[str, Any], set[str]]:
    """Write both splits in one pass over the sources; the counts, and of the requests two that differ, if they do."""
    asked: set[str] = set()
    with ExitStack() as stack:
        shelves = {split: stack.enter_context(Shelf(folder, split, fitter, settings, progress)) for split in SPLITS}
        seen = Seen()
        stack.callback(seen.close)
        for source in sources:
            source.tally = Tally()
            for split, one in source.read(source, by):
                reason = fitter.template.problem(one.messages)
                if reason is None and not source.made and (other := seen.before(one, source.name)) is not None:
                    named = f" of {other}" if len(sources) > 1 else ""
                    reason = f"duplicate of a conversation before it{named}"
                if reason is None and shared is not None:
                    reason = shared.reason(one)
                if reason is None:
                    if len(asked) < 2:
                        asked.add("\n".join(one.requests))
                    shelves[split].take(source, one)
                else:
                    source.tally.leave_out(reason, one.where)
        counts: dict[str, Any] = {split: shelf.counts() for split, shelf in shelves.items()}
    left_out = sum((source.tally.left_out for source in sources), Counter())
    by_source = _by_source(sources, list(shelves.values()))
    return {**counts, "sources": by_source, "left_out": dict(sorted((+left_out).items()))}, asked


def _empty(counts: Mapping[str, Any]) -> list[Split]:
    return [split for split in SPLITS if not counts[split]["rows"]]


def total(counts: Mapping[str, Any], key: str) -> int:
    """What both splits count under a key."""
    return sum(counts[split][key] for split in SPLITS)


def _by_source(sources: Sequence[Source], shelves: Sequence[Shelf]) -> dict[str, dict[str, Any]]:
    """Of each source its format, what was taken of it, its share of all tokens, and what was not taken."""
    found = {
        name: sum((shelf.by_source.get(name, Counter()) for shelf in shelves), Counter())
        for name in (source.name for source in sources)
    }
    total = max(1, sum(own["tokens"] for own in found.values()))
    return {
        source.name: {
            "format": source.format,
            **({"found": source.why} if source.why else {}),
            **{key: found[source.name][key] for key in ("conversations", "tokens")},
            "share": round(found[source.name]["tokens"] / total, 6),
            **source.tally.counts(),
        }
        for source in sources
    }


def _tell(name: Path, sources: Sequence[Source]) -> None:
    """Say of each source what its records hold that is not read, and where the first of what is left out stands."""
    for source in sources:
        where = f"{name}, source {source.name}" if len(sources) > 1 else str(name)
        if source.tally.unread_keys:
            log.warning("%s: keys of its records that are not read: %s", where, told(source.tally.unread_keys))
        for reason, count in sorted((+source.tally.left_out).items()):
            first = source.tally.examples.get(reason)
            log.info("%s: left out: %s %s%s", where, reason, f"{count:,}", f" (the first: {first})" if first else "")


def _outcome(counts: Mapping[str, Any]) -> str:
    kept = ", ".join(f"{split} {counts[split]['conversations']}" for split in SPLITS)
    changed = {
        "shortened to the turns that fit": total(counts, "shortened"),
        "parted into pieces that fit": total(counts, "parted"),
    }
    words = ", ".join(f"{count:,} {what}" for what, count in changed.items() if count)
    shares = ", ".join(f"{name} {own['share']:.1%}" for name, own in counts["sources"].items())
    shares = f"; of the tokens {shares}" if len(counts["sources"]) > 1 else ""
    return f"{kept}{f' ({words})' if words else ''}{shares}; left out: {told(counts['left_out']) or 'none'}"


def told(counts: Mapping[str, int]) -> str:
    """Counts as a person reads them: too long 3, empty message 1."""
    return ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()) if count)
