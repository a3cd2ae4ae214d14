"""Turn the rows of tasks and a corpus into a measurement: which rows share 13 words in a row with a training document.

The corpus streams past; what is held are the n-grams of the rows, 16 bytes each. One n-gram in common is enough, as in
Brown et al. 2020 (arXiv:2005.14165, appendix C): this says what may have been seen, where decontamination takes out
passages.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from abovo.console.progress import Progress, several
from abovo.corpus.shards import read_documents
from abovo.corpus.shared_rows import AskedRow, SharedRows, asked_rows, open_tasks
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.keys import decisive
from abovo.settings.task import OverlapSettings

log = logging.getLogger("abovo")
SCHEMA = "abovo/overlap/1"


def measure_overlap(corpus: Manifest, settings: OverlapSettings, output: Path, script: Script | Path) -> Manifest:
    """Write which rows of each task share an n-gram with a training document of the corpus.

    The manifest's `tasks` say of each its `rows`, how many are `too_short` to have an n-gram, which therefore never
    count as shared, and the names of the `shared` rows as its items have them, in their order; where a task has several
    sets, SET/NAME. A task whose data cannot be had is `absent` there, with the reason.
    """
    opened, absent = open_tasks(settings.tasks)

    def make(folder: Path) -> Made:
        asked = list(asked_rows(opened, settings.ngram))
        shared, documents = _found(corpus, asked, settings.ngram)
        tasks: dict[str, dict[str, Any]] = {name: {"absent": why} for name, why in absent.items()}
        for name in opened:
            own = [(row, hit) for row, hit in zip(asked, shared, strict=True) if row.task == name]
            hits = [row.id for row, hit in own if hit]
            tasks[name] = {"rows": len(own), "too_short": sum(not row.ngrams.size for row, _ in own), "shared": hits}
            log.info("task %s: %d of %d rows share %d words", name, len(hits), len(own), settings.ngram)
        fields: dict[str, Any] = {"ngram": settings.ngram, "tasks": tasks}
        if absent:
            fields["absent"] = "; ".join(f"{name}: {why}" for name, why in absent.items())
        return Made({"documents": documents, "rows": len(asked), "shared": int(shared.sum())}, fields)

    revisions = {name: rows.revision for name, rows in opened.items()}
    parameters = {**decisive(settings), "revisions": revisions, "absent": sorted(absent)}
    return produce(Job(output, SCHEMA, {"corpus": corpus}, parameters, script), make)


def _found(corpus: Manifest, rows: list[AskedRow], size: int) -> tuple[np.ndarray, int]:
    """Of each row whether a training document shares an n-gram with it, and how many documents there are."""
    index = SharedRows(rows, size)
    shared, number = np.zeros(len(rows), bool), 0
    progress = Progress(f"overlap of {corpus.path.parent.as_posix()}")
    for number, document in enumerate(read_documents(corpus, "train"), 1):
        shared[index.of(document.text)] = True
        progress.update(f"{several(number, 'document')}, {several(int(shared.sum()), 'row')} found")
    progress.close(f"{several(number, 'document')}, {int(shared.sum()):,} of {several(len(rows), 'row')} found")
    return shared, number
