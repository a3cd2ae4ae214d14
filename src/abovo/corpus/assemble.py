"""Turn the documents of all sources into one corpus: exact duplicates out, budget kept, order fixed, shards written.

Two passes over the documents, and nothing held that grows with them but one bit per document. The first finds
duplicates over all sources, partition by partition of the documents' hashes, and how many tokens of each source lie
below each hash prefix; from that follows where each source's budget ends. The second sends each kept document to its
shard, by its hash stretched over the part of the range that its source uses, so that every stretch of the corpus
holds all sources in the same proportion.
"""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from abovo.config.corpora import check_corpus
from abovo.console.progress import Progress
from abovo.corpus.budget import source_budget
from abovo.corpus.duplicates import find_duplicates
from abovo.corpus.shards import write_lines
from abovo.corpus.shares import Share, order_key, stretched
from abovo.corpus.split import is_validation
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce

log = logging.getLogger("abovo")
MAX_SHARDS = 900
SHORT = 0.99


def assemble_corpus(
    corpus: Mapping[str, Any], plan: Manifest, sources: Mapping[str, Manifest], output: Path, script: Path
) -> Manifest:
    """Make the corpus from the manifests of its sources and set what it holds beside what its plan foresaw."""
    check_corpus(corpus, "corpus")
    missing = sorted(set(corpus["sources"]) - set(sources))
    if missing:
        raise AbovoError("no manifest of it was given", f"source {missing[0]}", "read it first")

    def make(folder: Path) -> Made:
        shares = [
            Share(name, number, sources[name], source_budget(corpus, name))
            for number, name in enumerate(corpus["sources"])
        ]
        found = find_duplicates(shares, corpus["seed"], folder / ".partitions")
        for share in shares:
            share.set_end()
        counts = _write_shards(shares, corpus, folder)
        per_source = counts["sources"]
        for share in shares:
            per_source[share.name]["duplicates"] = found[share.name]
        return _describe(corpus, plan, shares, counts)

    inputs = {"plan": plan, **{f"source {name}": sources[name] for name in corpus["sources"]}}
    return produce(Job(output, "abovo/corpus/1", inputs, corpus, script), make)


def _write_shards(shares: list[Share], corpus: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    seed, validation_share = corpus["seed"], corpus["validation_share"]
    # Text of a source that will be kept, from its mean bytes per token: only the number of shards depends on it.
    text = sum(
        int(share.tokens_in_bin[: share.end].sum())
        * share.manifest["counts"]["bytes"]
        / share.manifest["counts"]["tokens"]
        for share in shares
    )
    number = min(MAX_SHARDS, max(1, round(text / (corpus["shard_mb"] * 1_000_000))))
    counts = {
        share.name: {"documents": 0, "bytes": 0, "tokens": 0, "validation_documents": 0, "validation_tokens": 0}
        for share in shares
    }
    waiting = folder / ".shards"
    waiting.mkdir(parents=True)
    progress = Progress("corpus")
    with ExitStack() as stack:
        files = [stack.enter_context((waiting / str(shard)).open("wb", 1 << 15)) for shard in range(number)]
        for share in shares:
            mine = counts[share.name]
            for index, document in enumerate(share.documents()):
                digest = document.hash
                key = order_key(seed, digest)
                if key >> 48 >= share.end or share.is_duplicate(index):
                    continue
                place = stretched(key, share.end)
                files[place * number >> 64].write(b"%016x%s " % (place, digest.hex().encode()) + document.line())
                mine["documents"] += 1
                mine["bytes"] += len(document.text.encode())
                mine["tokens"] += document.tokens
                if is_validation(digest, validation_share):
                    mine["validation_documents"] += 1
                    mine["validation_tokens"] += document.tokens
                progress.update(f"source {share.name}, {mine['documents']:,} documents, {mine['tokens']:,} tokens")
    for shard in range(number):
        spool = waiting / str(shard)
        with spool.open("rb") as file:
            lines = sorted(file)
        write_lines(folder / f"shards/shard-{shard:05d}.jsonl.zst", (line.partition(b" ")[2] for line in lines))
        spool.unlink()
    waiting.rmdir()
    progress.close(f"{number} shards, {sum(item['tokens'] for item in counts.values()):,} tokens")
    return {"shards": number, "sources": counts}


def _describe(corpus: Mapping[str, Any], plan: Manifest, shares: list[Share], counts: dict[str, Any]) -> Made:
    sources, shortfalls, about = counts["sources"], {}, {}
    for share in shares:
        mine, read = sources[share.name], share.manifest["counts"]
        for key in ("read", "rejected", "replaced_u2581"):
            mine[key] = read[key]
        mine["over_budget"] = read["documents"] - mine["duplicates"] - mine["documents"]
        settings = corpus["sources"][share.name]
        about[share.name] = {
            "type": settings["type"], "licence": settings["licence"], "language": settings["language"],
            "revision": share.manifest["revision"],
        }  # fmt: skip
        if share.budget is not None and mine["tokens"] < SHORT * share.budget:
            shortfalls[share.name] = {"budget": share.budget, "tokens": mine["tokens"]}
            log.warning(
                "source %s gives %s of its %s tokens: the corpus takes what there is",
                share.name, f"{mine['tokens']:,}", f"{share.budget:,}",
            )  # fmt: skip
    keys = ("documents", "bytes", "tokens", "validation_documents", "validation_tokens", "duplicates")
    totals = {key: sum(item[key] for item in sources.values()) for key in keys}
    if not totals["documents"]:
        raise AbovoError("no document is left", "corpus", "check the sources and their filters")
    planned = {key: plan["counts"][key] for key in ("documents", "tokens", "bytes")}
    fields = {
        "validation_share": corpus["validation_share"],
        "sources": about,
        "shortfalls": shortfalls,
        "planned": {**planned, "sources": {name: plan["sources"][name]["tokens"] for name in sources}},
        "actual_over_planned": {
            key: round(totals[key] / value, 4) if value else None for key, value in planned.items()
        },
    }
    return Made({**totals, **counts}, fields)
