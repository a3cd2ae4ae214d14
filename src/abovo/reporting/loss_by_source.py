"""Turn the rows of metrics.jsonl into the validation loss of each source: over tokens, before and after each phase."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from abovo.errors import AbovoError

PREFIX = "validation_loss/"
Metrics = Sequence[Mapping[str, Any]]


def losses_by_source(metrics: Metrics) -> dict[str, dict[int, tuple[int, float]]]:
    """Source -> step -> (tokens, validation loss in nats per token), in the order of the steps.

    A source is called by its own name, and by {corpus}/{source} where there are several corpora; what all names begin
    with is left out where they stay apart without it. At the end of a phase
    the next one validates the same model again, on more sources: a step then has two rows, which count as one.
    """
    found: dict[str, dict[int, tuple[int, float]]] = {}
    for row in metrics:
        for key, loss in row.items():
            if key.startswith(PREFIX):
                found.setdefault(key.removeprefix(PREFIX), {})[row["step"]] = (row["tokens"], loss)
    if not found:
        raise AbovoError("no row carries the validation loss of a source", "metrics", "train the model again")
    short = _without_shared_folders(list(found))
    return {short[name]: steps for name, steps in found.items()}


def _without_shared_folders(names: Sequence[str]) -> dict[str, str]:
    """Name -> the name without the folders that all names of several parts lie in; itself where names would meet."""
    inside = [f"{name.rpartition('/')[0]}/" for name in names if "/" in name]
    shared = f"{os.path.commonpath(inside)}/" if inside else ""
    short = {name: name.removeprefix(shared) for name in names}
    return short if len(set(short.values())) == len(names) else {name: name for name in names}


def losses_after_phases(metrics: Metrics, phases: Mapping[str, int]) -> dict[str, list[float | None]]:
    """Source -> its validation loss at step 0 and at the end of each phase; None where it was not validated by then.

    `phases` maps the name of each phase to its last step; without any the whole training is one.
    """
    ends = [0, *(phases.values() or [max(row["step"] for row in metrics)])]
    table = {}
    for source, steps in losses_by_source(metrics).items():
        reached = [max((step for step in steps if step <= end), default=None) for end in ends]
        table[source] = [None if step is None else steps[step][1] for step in reached]
    return table
