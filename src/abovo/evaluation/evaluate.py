"""Turn a model and one task into its evidence: a line per row, and a manifest that says how they were made."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from abovo.cluster.cards import leave_cards, take_cards
from abovo.console.progress import Progress, several
from abovo.errors import Unreachable
from abovo.evaluation.bench import Bench, Given
from abovo.evaluation.evidence import PROMPTS, ScoredSet, rows_file, write_evidence
from abovo.evaluation.measures import measure_of
from abovo.evaluation.metrics import set_scores
from abovo.modeling.layout import verify_model
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.provenance.tables import Table
from abovo.settings.keys import decisive
from abovo.settings.stages import TaskJob

log = logging.getLogger("abovo")
SCHEMA = "abovo/evaluation_task/1"
# Kind of a job -> what gives the scored sets of its task.
KINDS: Table[Callable[[Bench, Given], Iterator[ScoredSet]]] = Table(
    {
        "held_out": "abovo.evaluation.held_out:score_held_out",
        "conversations": "abovo.evaluation.conversations:score_conversations",
        "items": "abovo.evaluation.from_items:score_items",
        "lm_eval": "abovo.evaluation.public:score_public",
        "generations": "abovo.evaluation.generations:score_generations",
    },
    chosen_by="kind",
)


def evaluate_task(model: Manifest, given: Given, settings: TaskJob, output: Path, script: Script | Path) -> Manifest:
    """Score a model on one task. Where the task's data cannot be reached, its manifest says `absent` and why.

    Raises AbovoError where the model, the rows and the sets do not belong together, or a row is not what it should be.
    """
    verify_model(model)

    def make(folder: Path) -> Made:
        progress = Progress(f"{model.path.parent.as_posix()}, {settings.task}")
        absent = given.items.data.get("absent") if given.items is not None else None
        if settings.device == "cpu":
            leave_cards()
        else:
            take_cards(1, output.as_posix())
        bench = Bench(model, settings, progress)
        sets: list[ScoredSet] = []
        try:
            if absent is None:
                sets = list(KINDS[settings.kind](bench, given))
        except Unreachable as error:
            absent = str(error)
        rows = [row for one in sets for row in one.rows]
        write_evidence(folder / rows_file(output), rows)
        fields: dict[str, Any] = {
            "task": settings.task,
            "tokenizer_sha256": model["tokenizer_sha256"],
            "model_sha256": model["model_sha256"],
            "sets": {one.name: one.described() for one in sets},
        }
        if absent is not None:
            log.warning("task %s is absent: %s", settings.task, absent)
            fields["absent"] = absent
        progress.close(f"{several(len(rows), 'row')} of {several(len(sets), 'set')}")
        for one in sets:
            log.info("%s: %s", one.name, told(one))
        return Made({"rows": len(rows)}, fields)

    inputs = {"model": model, **given.inputs()}
    return produce(Job(output, SCHEMA, inputs, decisive(settings), script), make)


def told(one: ScoredSet) -> str:
    """The plain values of a set as a log tells them; intervals come when all tasks are put together."""
    scores = {} if one.kind == PROMPTS else set_scores(one.rows)
    values = (f"{name} {measure_of(name).value(found):.4g}" for name, found in scores.items())
    cut = sum(bool(row.get("cut")) for row in one.rows)
    return ", ".join([f"{len(one.rows):,} rows", *values, *([f"{cut:,} rows cut on the left"] if cut else [])])
