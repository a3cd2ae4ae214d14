"""Turn any model folder and names of tasks into evidence and evaluation.json, without a run or a workflow."""

import logging
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.evaluation.assemble import assemble_evaluation
from abovo.evaluation.bench import Given
from abovo.evaluation.evaluate import evaluate_task
from abovo.evaluation.given import describe_model
from abovo.evaluation.prepare import prepare_task
from abovo.provenance.manifest import Manifest
from abovo.settings.keys import narrow
from abovo.settings.names import SHIPPED
from abovo.settings.stages import ByHand, TaskJob

log = logging.getLogger("abovo")


def evaluate_folder(
    folder: Path,
    tasks: Sequence[str],
    settings: ByHand,
    config: Path,
    output: Path,
    script: Path,
) -> Manifest:
    """Score the model in `folder` on tasks, and print what it reached; what is finished is not scored again.

    Raises AbovoError for a task that nothing knows, before anything is scored.
    """
    if not folder.is_dir():
        raise AbovoError("there is no such folder", folder, "name a folder in the Hugging Face layout")
    if output.resolve().is_relative_to(folder.resolve()):
        raise AbovoError("lies in the folder of the model, whose files are hashed", output, "name another --output")
    configuration = Configuration(config, shipped=SHIPPED)
    configuration.check_tasks(tasks, "--tasks")
    model = describe_model(folder, settings.context, output / "manifest.json", script)
    scored, errors = [], []
    for task in tasks:
        kind = configuration.kind_of_task(task)
        job = narrow(TaskJob, settings, task=task, kind=kind)
        try:
            given = Given()
            if kind == "items":
                given = Given(prepare_task(configuration.task(task), output / "tasks" / task / "manifest.json", script))
            scored.append(evaluate_task(model, given, job, output / "evaluation" / f"{task}.json", script))
        except AbovoError as error:  # one task's bad rows cost it alone, and are told at the end
            log.error("error: %s", error)
            errors.append(error)
    if not scored:
        raise errors[0]
    evaluation = assemble_evaluation(scored, [], output / "evaluation.json", script)
    print_evaluation(evaluation)
    if errors:
        raise errors[0]
    return evaluation


def print_evaluation(evaluation: Manifest) -> None:
    """A line for each metric, and one for each task that is absent."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("metric", "value", "95 % interval", "n"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, entry in evaluation["metrics"].items():
        ends = " to ".join(f"{end:.4g}" for end in entry["interval"] or ())
        table.add_row(name, f"{entry['value']:.4g}", ends, f"{entry['n']:,}")
    console = Console()
    console.print(table if evaluation["metrics"] else "nothing was measured: every task is absent")
    for task, reason in evaluation["absent"].items():
        console.print(f"absent: {task}: {reason}", highlight=False, soft_wrap=True)
