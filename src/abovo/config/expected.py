"""Turn the name of a run's model into the settings that everything behind its results is to have been made with."""

from collections.abc import Iterator, Mapping
from typing import Any

from abovo.config import inputs
from abovo.config.runs import Configuration
from abovo.config.stages import checkpoint_of
from abovo.config.tuning import paths_of, text_of
from abovo.settings.keys import decisive

Names = Mapping[str, str]
Expected = tuple[str, str, Names]


def expected_jobs(configuration: Configuration, names: Names) -> Iterator[Expected]:
    """(path of a manifest, job that makes it, its wildcards) for a run's models, their evaluations and their data."""
    for stage, model in zip(inputs.stages(configuration, names), inputs.models(configuration, names), strict=True):
        checkpoint = checkpoint_of(names)
        if checkpoint:
            yield model, "checkpoint", {**names, "checkpoint": checkpoint}
            model = f"results/{stage.name}/{names['run']}/manifest.json"
        yield model, stage.name, {**names, "below": ""} if checkpoint else names
        below = {**names, "stage": stage.name}
        for task, scored in zip(
            inputs.tasks(configuration, below), inputs.scored_tasks(configuration, below), strict=True
        ):
            yield scored, "evaluate", {**below, "task": task}
    given = configuration.given(names["run"])
    if given is not None and given.alone:
        return
    run, corpora = configuration.any_run(names["run"]), inputs.measured(configuration, names)
    evaluation = configuration.scored(names["run"], checkpoint_of(names)).evaluation_name
    for corpus, path in zip(corpora, inputs.evaluation_sets(configuration, names), strict=True):
        yield f"results/corpora/{corpus}/manifest.json", "corpus", {"corpus": corpus}
        yield path, "evaluation_sets", {"corpus": corpus, "evaluation": evaluation}
    if given is not None and names["stage"] == "given":
        return
    yield inputs.tokenizer(configuration, names), "tokenizer", {"tokenizer": run.parts.tokenizer}
    if run.sft is not None:
        paths = paths_of(run, "sft")
        for dataset in run.sft.datasets:
            yield paths[dataset], "instruction", {"dataset": dataset}
        for corpus in text_of(run, "sft"):
            yield f"results/corpora/{corpus}/manifest.json", "corpus", {"corpus": corpus}


def expected_settings(configuration: Configuration, names: Names, jobs: Mapping[str, Any]) -> dict[str, Any]:
    """Path of a manifest -> the deciding settings of its job; `jobs` is the table of jobs."""
    names = {"below": "", **names}
    return {
        path: decisive(jobs[job](configuration, own))
        for path, job, own in expected_jobs(configuration, names)
        if job in jobs
    }
