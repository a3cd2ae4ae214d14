"""Turn an instruction data set into packed rows of conversations with a label mask: train.bin, val.bin, a manifest."""

import heapq
import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from abovo.console.progress import Progress
from abovo.corpus.shards import Split, read_documents
from abovo.corpus.sources import Rows, open_rows, tell_unread
from abovo.corpus.split import document_hash, is_validation
from abovo.errors import AbovoError
from abovo.facts.lots import number
from abovo.facts.question import make_facts, revision
from abovo.instruction.fields import Tally
from abovo.instruction.formats import FORMATS, Messages
from abovo.instruction.rows import Encoded, fill_rows
from abovo.packing.bins import RowWriter
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.instruction import Instruction
from abovo.settings.keys import decisive
from abovo.tokenizing.load import Tokenizer, load_tokenizer
from abovo.tokenizing.templates import TEMPLATES

log = logging.getLogger("abovo")
SPLITS: tuple[Split, ...] = ("train", "val")


def prepare_instruction(
    tokenizer_path: Path, corpus: Manifest | None, settings: Instruction, output: Path, script: Script | Path
) -> Manifest:
    """Write the rows of a data set; `corpus` gives the documents of format facts, other formats read their source.

    Conversations made from documents inherit the split of their document; others are split by the hash of their
    first request, so that two answers to one request never part. Raises AbovoError where a split stays empty.
    """
    tokenizer = load_tokenizer(tokenizer_path)
    inputs = {"tokenizer": read_manifest(tokenizer_path, "abovo/tokenizer/")}
    source = _source(corpus, settings)
    if corpus is not None:
        inputs["corpus"] = corpus
    found = source.revision if source is not None else revision([settings.facts or ""])
    unread = source.unread if source is not None else {}
    tell_unread(f"instruction data {output.parent}", unread)

    def make(folder: Path) -> Made:
        counts: dict[str, dict[str, Any]] = {}
        progress = Progress(f"instruction data {output.parent}")
        for split in SPLITS:
            tally = Tally()  # the same in both passes over a source
            found = conversations(split, corpus, source, settings, tally)
            counts[split] = write_split(folder, split, found, tokenizer, settings, progress)
        if source is not None:
            counts["source"] = tally.counts()
            if tally.unread_keys:
                log.warning("%s: keys of its records that are not read: %s", output.parent, told(tally.unread_keys))
        left_out = total_left_out(counts)
        for split in SPLITS:
            if not counts[split]["rows"]:
                what = f"no conversation is left for {split} (left out: {told(left_out) or 'none'})"
                mend = "raise validation_share or sequence_length; records of one first request share a split"
                raise AbovoError(what, output.parent, mend)
        kept = ", ".join(f"{split} {counts[split]['conversations']}" for split in SPLITS)
        shortened = sum(counts[split]["shortened"] for split in SPLITS)
        kept += f" ({shortened:,} shortened to the turns that fit)" if shortened else ""
        progress.close(f"{kept}; left out: {told(left_out) or 'none'}")
        fields = {
            "tokenizer_sha256": tokenizer.sha256,
            "vocabulary_size": tokenizer.vocabulary_size,
            "sequence_length": settings.sequence_length,
            "eos_id": tokenizer.eos,
            "pad_id": tokenizer.pad,
            "licences": _licences(corpus, settings),
            "unread": unread,
        }
        return Made(counts, fields)

    parameters = {**decisive(settings), "revision": found, "unread": unread}
    return produce(Job(output, "abovo/instruction/2", inputs, parameters, script), make)


def _source(corpus: Manifest | None, settings: Instruction) -> Rows | None:
    facts = settings.format == "facts"
    if facts != (corpus is not None) or facts != (settings.facts is not None) or facts != (settings.source is None):
        what = f"format {settings.format} does not go with the other keys"
        mend = "format facts needs `corpus` and `facts`, any other one needs `source`"
        raise AbovoError(what, "instruction data set", mend)
    return None if settings.source is None else open_rows(settings.source)


def conversations(
    split: Split, corpus: Manifest | None, source: Rows | None, settings: Instruction, tally: Tally
) -> Iterator[Messages]:
    """The conversations of one split in the order of the data; `tally` counts what a source's format leaves out."""
    if corpus is not None:
        documents = read_documents(corpus, split)
        for fact in make_facts(settings.facts or "", documents, settings.facts_per_document):
            yield [{"role": "user", "content": fact.question}, {"role": "assistant", "content": fact.answer}]
    elif source is not None:
        share = settings.validation_share
        for key, messages in FORMATS[settings.format](source.read(), settings, tally):
            if is_validation(document_hash(key), share) == (split == "val"):
                yield messages


def select(found: Iterable[Messages], limit: int | None, left_out: Counter[str]) -> Iterable[Messages]:
    """At most `limit` conversations, drawn and ordered by hash; never more of them in memory than that."""
    if limit is None:
        return found
    read = itertools.count()
    counted = (messages for messages, _ in zip(found, read, strict=False))
    chosen = heapq.nsmallest(limit, counted, key=lambda messages: number(json.dumps(messages, ensure_ascii=False)))
    left_out["beyond max_conversations"] += next(read) - len(chosen)
    return chosen


def write_split(
    folder: Path,
    split: Split,
    found: Iterable[Messages],
    tokenizer: Tokenizer,
    settings: Instruction,
    progress: Progress,
) -> dict[str, Any]:
    """Write one split's bin and flags; returns its counts, those left out by reason.

    A conversation longer than a row is `shortened` to its leading turns that fit, the last of them an answer; one whose
    first answer ends beyond the row is left out.
    """
    left_out: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    template, length = TEMPLATES[settings.template], settings.sequence_length

    def encoded() -> Iterator[Encoded]:
        for messages in select(found, settings.max_conversations, left_out):
            reason = template.problem(messages)
            (ids, mask), kept = (([], []), 0) if reason else template.encode_leading(messages, tokenizer, length)
            if not ids:
                left_out[reason or "first answer ends beyond a row"] += 1
                continue
            counts.update(conversations=1, shortened=int(kept < len(messages)), tokens=len(ids), labels=sum(mask))
            progress.update(f"{split}: {counts['conversations']} conversations")
            yield ids, mask

    with RowWriter(folder, split, length, tokenizer.vocabulary_size, mask=True) as writer:
        for ids, flags, used in fill_rows(encoded(), length, tokenizer.pad):
            writer.write(ids, flags)
            counts.update(rows=1, padding=length - used)
    totals = {key: counts[key] for key in ("conversations", "shortened", "tokens", "labels", "rows")}
    padded = counts["padding"] / max(1, counts["rows"] * length)
    return {**totals, "padded_share": round(padded, 6), "left_out": dict(sorted((+left_out).items()))}


def total_left_out(counts: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    """What the source and both splits left out, by reason."""
    return sum((Counter(count["left_out"]) for count in counts.values()), Counter())


def told(counts: Mapping[str, int]) -> str:
    """Counts as a person reads them: too long 3, empty message 1."""
    return ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()))


def _licences(corpus: Manifest | None, settings: Instruction) -> Any:
    if corpus is not None:
        return corpus.data.get("sources")
    return (settings.source.licence if settings.source else None) or "not stated"
