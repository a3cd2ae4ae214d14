"""Turn what corpora share with the rows of tasks into scores on all rows and on those that no corpus shares."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.evaluation.metrics import Metrics, set_metrics
from abovo.provenance.manifest import Manifest

Row = Mapping[str, Any]


def corpus_of(overlap: Manifest) -> str:
    """The corpus that was looked through: results/corpora/{corpus}/overlap/{evaluation}.json."""
    return Path(overlap["created_by"]["path"]).parent.parent.name


def contamination(overlaps: Sequence[Manifest], tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Task -> its rows, how many of them any corpus shares and how many each one does; a task that was not looked for
    in a corpus, its data being out of reach, has none."""
    found: dict[str, dict[str, Any]] = {}
    for task in tasks:
        by_corpus = {corpus_of(one): one["tasks"][task] for one in overlaps if "rows" in one["tasks"].get(task, {})}
        if not by_corpus:
            continue
        shared = shared_rows(overlaps, task)
        first = next(iter(by_corpus.values()))
        found[task] = {
            "rows": first["rows"],
            "shared": len(shared),
            "share": len(shared) / max(1, first["rows"]),
            "too_short": first["too_short"],
            "by_corpus": {corpus: len(one["shared"]) for corpus, one in by_corpus.items()},
        }
    return found


def shared_rows(overlaps: Sequence[Manifest], task: str) -> set[str]:
    """The names of the rows of a task that any corpus shares."""
    return {name for one in overlaps for name in one["tasks"].get(task, {}).get("shared", ())}


def add_clean(metrics: Metrics, task: str, sets: Mapping[str, Mapping[str, Any]], evidence: Mapping[str, Sequence[Row]],
              shared: set[str]) -> None:  # fmt: skip
    """Put beside each metric of a task its value on the rows that no corpus shares, where some are shared."""
    for name, one in sets.items():
        rows = evidence[name]
        clean = [row for row in rows if _name(task, name, row["id"]) not in shared]
        if not clean or len(clean) == len(rows):
            continue
        for key, entry in set_metrics(one["kind"], clean, one).items():
            about = {part: entry[part] for part in ("value", "n", "interval", "interval_method")}
            metrics[f"{name}.{key}"]["clean"] = about


def _name(task: str, full: str, row: str) -> str:
    """What the overlap calls a row: by its set's name too where the task has several."""
    return row if full == task else f"{full.removeprefix(f'{task}.')}/{row}"
