"""Turn the parts of all sources into one corpus: duplicates out, budgets kept, order fixed, shards written."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from abovo.corpus.arrange import write_shards
from abovo.corpus.choose import Share, SharedDocuments, choose
from abovo.corpus.compare import compared, reading_time
from abovo.corpus.consistency import check_corpus
from abovo.corpus.decontaminate import collect
from abovo.corpus.duplicates import shared_documents
from abovo.corpus.examine import Measures
from abovo.corpus.held_out import tell_unvalidated, unvalidated
from abovo.corpus.keys import CONTAMINATED, Part, parts_of
from abovo.corpus.read import NOTHING_MEND, merged_counts, nothing_left, write_part
from abovo.corpus.reading import Portion, Reading
from abovo.corpus.refused import counts_up_to
from abovo.corpus.shares import source_budget
from abovo.corpus.sources import open_source, tell_unread
from abovo.corpus.split import are_validation
from abovo.corpus.together import check_comparisons, check_parts
from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.corpus import Corpus
from abovo.settings.keys import decisive

log = logging.getLogger("abovo")
SHORT = 0.99
# Reads a source on from a position until some tokens are there, into a folder: (source, position, tokens, folder).
ReadOn = Callable[[str, int, int, Path], Made]


def assemble_corpus(
    corpus: Corpus, plan: Manifest, sources: Mapping[str, Sequence[Manifest]], duplicates: Sequence[Manifest],
    measures: Measures, output: Path, script: Script | Path,
) -> Manifest:  # fmt: skip
    """Make the corpus from the manifests of its parts and of the documents that they have in common.

    Where a source that stops at its budget holds more duplicates than its reserve, it is read on from here, so the
    budget is met whatever the reserve was.
    """
    check_corpus(corpus, "corpus")
    check_parts(corpus, plan, sources)
    check_comparisons(corpus, sources, duplicates)
    ordered = {name: list(sources[name]) for name in corpus.sources}

    def read_on(name: str, position: int, tokens: int, folder: Path) -> Made:
        source = open_source(corpus.sources[name], plan["sources"][name]["revision"])
        portion = Portion(start=position, enough=tokens)
        return write_part(source, Reading.of(corpus, name, source.revision), portion, measures, folder)

    def make(folder: Path) -> Made:
        shares = _shares(corpus, ordered)
        _choose(shares, duplicates, corpus, read_on, folder)
        for share in shares:
            counts = merged_counts([part.manifest for part in share.parts])
            if not counts["documents"]:
                what = nothing_left(counts["read"], counts["rejected"])
                raise AbovoError(what, f"source {share.name}", NOTHING_MEND)
        write_shards(shares, corpus.shard_mb, folder)
        contamination = None
        if "decontamination" in measures.inputs:
            lists = [(share.name, share.reading_end, share.parts) for share in shares]
            contamination = collect(measures.inputs["decontamination"], lists, folder / CONTAMINATED)
        sizes = [path.stat().st_size for path in (folder / "shards").iterdir()]
        made = _describe(corpus, plan, shares, sizes, contamination)
        shutil.rmtree(folder / ".more", ignore_errors=True)
        return made

    settings = decisive(corpus)
    settings["sources"] = {name: _without_parts(one) for name, one in settings["sources"].items()}
    settings["deduplication"] = {"near": settings["deduplication"]["near"]}
    manifests = {f"part {number}": one for number, one in enumerate(one for own in ordered.values() for one in own)}
    manifests |= {f"duplicates {number}": one for number, one in enumerate(duplicates)}
    inputs = {"plan": plan, **manifests, **measures.inputs}
    return produce(Job(output, "abovo/corpus/1", inputs, settings, script), make)


def _without_parts(source: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key != "parts"}


def _shares(corpus: Corpus, sources: Mapping[str, Sequence[Manifest]]) -> list[Share]:
    near = corpus.deduplication.near
    parts = parts_of(sources, near.bands if near else 0)
    return [
        Share(name, [part for part in parts if part.source == name], source.take, source_budget(corpus, name))
        for name, source in corpus.sources.items()
    ]


def _choose(shares: list[Share], duplicates: Sequence[Manifest], corpus: Corpus, read_on: ReadOn, folder: Path) -> None:
    """Choose documents, and read on and choose again while a source with more to give misses its budget."""
    memory = corpus.deduplication.memory_mb
    shared = SharedDocuments(
        [one.path.parent for one in duplicates],
        [one["counts"]["groups"] for one in duplicates],
        [one["counts"]["exact_groups"] for one in duplicates],
    )
    for one in duplicates:
        for name in one.names("shared/"):
            one.file(name)
    for share in shares:
        for part in share.parts:
            part.verify()
    choose(shares, shared, memory)
    rounds = 0
    while short := [share for share in shares if share.short]:
        rounds += 1
        for share in short:
            _extend(share, 1 + max(part.number for each in shares for part in each.parts), read_on, folder, rounds)
        found = folder / ".more/duplicates"
        shutil.rmtree(found, ignore_errors=True)
        counts = shared_documents([part for share in shares for part in share.parts], memory, found)
        choose(shares, SharedDocuments([found], [counts["groups"]], [counts["exact_groups"]]), memory)


def _extend(share: Share, number: int, read_on: ReadOn, folder: Path, rounds: int) -> None:
    """Add a part to a source that holds what follows on the last position up to which all was read."""
    position, budget = share.unread, share.budget
    if position is None or budget is None:
        return
    missing = round((budget - share.tokens) * 1.25 * 2 ** (rounds - 1)) + 1000
    log.info("source %s: %s tokens are missing after duplicates, reading on", share.name, f"{missing:,}")
    place = folder / f".more/{share.name}-{rounds}"
    place.mkdir(parents=True)
    made = read_on(share.name, position, missing, place)
    manifest = Manifest(place / "manifest.json", {"counts": dict(made.counts), "outputs": {}, **made.fields})
    share.parts = [replace(part, below=min(part.below or position, position)) for part in share.parts]
    share.parts.append(Part(number, share.name, manifest, share.parts[0].bands_per_document))


def _describe(
    corpus: Corpus, plan: Manifest, shares: Sequence[Share], shards: Sequence[int],
    contamination: dict[str, dict[str, Any]] | None,
) -> Made:  # fmt: skip
    sources: dict[str, dict[str, Any]] = {}
    shortfalls, about = {}, {}
    for share in shares:
        settings, read = corpus.sources[share.name], _read(share)
        mine = {
            "documents": share.documents, "bytes": share.bytes, "tokens": share.tokens,
            **_validation(share, corpus.validation_share),
            "duplicates": share.exact, "near_duplicates": share.near,
            **{key: read[key] for key in ("read", "rejected", "replaced_u2581", "decontamination_cut")},
        }  # fmt: skip
        mine["over_budget"] = read["documents"] - share.exact - share.near - share.documents
        sources[share.name] = mine
        about[share.name] = {
            "type": settings.type, "licence": settings.licence, "language": settings.language,
            "revision": plan["sources"][share.name]["revision"], "unread": plan["sources"][share.name]["unread"],
        }  # fmt: skip
        tell_unread(f"source {share.name}", about[share.name]["unread"])
        if share.budget is not None and share.tokens < SHORT * share.budget:
            shortfalls[share.name] = {"budget": share.budget, "tokens": share.tokens}
            log.warning(
                "source %s gives %s of its %s tokens: the corpus takes what there is",
                share.name, f"{share.tokens:,}", f"{share.budget:,}",
            )  # fmt: skip
    without = unvalidated(sources, corpus.validation_share)
    tell_unvalidated(without)
    keys = (
        "documents", "bytes", "tokens", "validation_documents", "validation_tokens", "duplicates", "near_duplicates",
    )  # fmt: skip
    totals = {key: sum(item[key] for item in sources.values()) for key in keys}
    counts = {**totals, "shards": len(shards), "sources": sources}
    fields = {
        "validation_share": corpus.validation_share,
        "tokens_counted_with": corpus.count_with or f"{corpus.bytes_per_token:g} bytes per token",
        "sources": about,
        "shortfalls": shortfalls,
        "unvalidated": without,
        "contamination": contamination,
        **compared(plan, counts, len(shards), sum(shards)),
    }
    return Made(counts, fields, record={"reading_cpu_seconds": reading_time(plan, shares)})


def _read(share: Share) -> dict[str, Any]:
    """What was read of a source; where reading stops at the budget, up to there, since beyond it the parts decide, and
    what was read on stands in two of them."""
    if share.take == "first" and share.budget is not None:
        return counts_up_to(share.parts, share.reading_end, share.considered)
    return merged_counts([part.manifest for part in share.parts])


def _validation(share: Share, validation_share: float) -> dict[str, int]:
    documents = tokens = 0
    for part in share.parts:
        kept = share.kept[part.number]
        for first, keys in part.key_records():
            own = keys[kept[first : first + len(keys)]]
            held_out = are_validation(own["high"], validation_share)
            documents += int(held_out.sum())
            tokens += sum(own["tokens"][held_out].tolist())
    return {"validation_documents": documents, "validation_tokens": tokens}
