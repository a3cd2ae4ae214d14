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


def clean_metrics(
    task: str, sets: Mapping[str, Mapping[str, Any]], evidence: Mapping[str, Sequence[Row]], shared: set[str]
) -> dict[str, Metrics]:
    """Set -> its metrics on the rows that no corpus shares; a set of which every row is shared has none."""
    clean = {name: [row for row in evidence[name] if _name(task, name, row["id"]) not in shared] for name in sets}
    return {name: set_metrics(sets[name]["kind"], rows, sets[name]) for name, rows in clean.items() if rows}


def put_beside(metrics: Metrics, clean: Mapping[str, Mapping[str, Any]]) -> None:
    """Put what is reached on clean rows beside what is reached on all, where these are more."""
    for key, entry in clean.items():
        if key in metrics and entry["n"] < metrics[key]["n"]:
            metrics[key]["clean"] = {part: entry[part] for part in ("value", "n", "interval", "interval_method")}


def _name(task: str, full: str, row: str) -> str:
    """What the overlap calls a row: by its set's name too where the task has several."""
    part = full.removeprefix(f"{task}.")
    return row if part == task else f"{part}/{row}"
