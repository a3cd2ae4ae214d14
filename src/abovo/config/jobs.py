"""Turn the name of a job into its settings: the values of the configuration that its script is told.

A script gets its settings by a file. Those of them that can change a byte enter its fingerprint, so what is in
here decides what reruns when a config file changes, and what is not in here (other jobs' values) reruns nothing.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from abovo.config.budget import budget
from abovo.config.checkpoints import check_kept
from abovo.config.engines import gpus
from abovo.config.expected import expected_settings
from abovo.config.inputs import exported
from abovo.config.runs import CONVERSATIONS, GENERATIONS, HELD_OUT, Configuration, phases_up_to
from abovo.config.stages import STAGES, checkpoint_of, phase_of
from abovo.config.starts import check_losses, family_of_stage, origin_of_given
from abovo.config.templates import template_of
from abovo.config.tuning import corpora_continued, corpora_tuned, recipe_of, scored_of, weights_of
from abovo.errors import AbovoError
from abovo.modeling.layout import check_context, shapes_of
from abovo.settings.checkpoints import Amounts, Kept, Limits
from abovo.settings.cpt import Cpt
from abovo.settings.evaluation import SetsJob
from abovo.settings.export import GGUF_FORMS, ExportJob, PushJob
from abovo.settings.inspection import Inspection
from abovo.settings.instruction import Instruction, InstructionJob
from abovo.settings.job import JobPhase, JobSettings
from abovo.settings.keys import decisive, narrow, plain
from abovo.settings.run import AnyRun, GivenRun, Run
from abovo.settings.stages import GivenModel, GivenPlan, LossFigure, PlanSettings, ResultsSettings, TaskJob
from abovo.settings.task import OverlapSettings, Task, TaskRowsOf
from abovo.settings.template import ChatTemplate
from abovo.tokenizing.template_files import default_template

Settings = dict[str, Any]
Names = Mapping[str, str]
# A plan tells of values, too, that decide nothing of any other artifact: how many checkpoints are kept, for one.
WHOLE = ("plan",)


def job_settings(configuration: Configuration, job: str, names: Names) -> Settings:
    """The settings of `job` for the wildcards `names` of its artifact."""
    return _said(configuration, job, names, plain)


def deciding_settings(configuration: Configuration, job: str, names: Names) -> Settings:
    """The settings of `job` without those that decide nothing of what is kept."""
    return _said(configuration, job, names, plain if job in WHOLE else decisive)


def _said(configuration: Configuration, job: str, names: Names, form: Callable[[Any], Settings]) -> Settings:
    """Once for all who ask, and for all parts of a corpus, which may be a thousand."""
    row = JOBS[job]
    own = {row.wildcard: names[row.wildcard]} if isinstance(row, Shared) else names
    return _said_once(configuration, job, tuple(sorted(own.items())), form)


@functools.cache
def _said_once(
    configuration: Configuration, job: str, names: tuple[tuple[str, str], ...], form: Callable[[Any], Settings]
) -> Settings:
    return form(JOBS[job](configuration, dict(names)))


def settings_of_code(configuration: Configuration, job: str, names: Names) -> Settings:
    """What says which code counts: the settings that decide and, of a run's jobs, the family that a start settles."""
    settings = deciding_settings(configuration, job, names)
    if "run" not in names:
        return settings
    return {**settings, "model": {"family": family_of_stage(configuration, names["run"], names.get("stage", job))}}


def _pretrain(configuration: Configuration, names: Names) -> JobSettings:
    """Of a phase with an artifact of its own, nothing that comes after it."""
    run = configuration.run(names["run"])
    phases = (narrow(JobPhase, phase, sets=phase.corpora) for phase in phases_up_to(run, phase_of(names)))
    return narrow(JobSettings, run, phases=tuple(phases), checkpoints=narrow(Amounts, run.checkpoints))


def _sft(configuration: Configuration, names: Names) -> JobSettings:
    run = configuration.any_run(names["run"])
    own = {"attention": sft.attention} if (sft := run.sft) else {}
    return _tuned(configuration, run, "sft", template=_template(configuration, run), **own)


def _cpt(configuration: Configuration, names: Names) -> JobSettings:
    run = configuration.any_run(names["run"])
    own = {"overlap": cpt.overlap} if (cpt := run.cpt) else {}
    return _tuned(configuration, run, "cpt", **own)


def _inspection(configuration: Configuration, names: Names) -> Inspection:
    recipe = recipe_of(configuration.any_run(names["run"]), "cpt")
    assert isinstance(recipe, Cpt)
    return recipe.inspection


def _tuned(configuration: Configuration, run: AnyRun, stage: str, **more: Any) -> JobSettings:
    """One phase over a recipe's sets, on the model before it or adapters on that."""
    check_losses(configuration, run.name, stage)
    recipe, family = recipe_of(run, stage), family_of_stage(configuration, run.name, stage)
    phases = (JobPhase(name=stage, sets=weights_of(run, stage), share=1.0),)
    own = {"phases": phases, "training": recipe.training, "adapters": recipe.adapters}
    own |= {"quantization": recipe.quantization, "tokens": recipe.tokens, **more}
    # checkpoints and limits are of pretraining
    own |= {"checkpoints": Amounts(), "limits": Limits(), "parameters": None}
    if "given" in configuration.stages(run.name):
        own |= {"model": None, "family": family}
    return narrow(JobSettings, run, **own)


def _template(configuration: Configuration, run: AnyRun) -> ChatTemplate | None:
    """The chat template of the sets that a run is fine-tuned on; base and fine-tuned model are asked in it."""
    sets = run.sft.datasets if run.sft is not None else ()
    found = {name: template_of(configuration, name) for name in sets}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name}: {template.name}" for name, template in found.items())
        mend = "give its sets one template, in config/instruction"
        raise AbovoError(f"its sets have several chat templates ({told})", f"run {run.name}, key sft.datasets", mend)
    return next(iter(found.values()), None)


def _plan(configuration: Configuration, names: Names) -> PlanSettings | GivenPlan:
    run, hardware = configuration.any_run(names["run"]), configuration.names("hardware")
    for stage in run.tunings:
        check_losses(configuration, run.name, stage)
    shared = {
        "hardware": {name: configuration.shared("hardware", name) for name in hardware},
        "overrides": configuration.overridden(names["run"]),
    }
    if isinstance(run, GivenRun):
        family = family_of_stage(configuration, run.name, "given")
        corpora = {name: configuration.shared("corpora", name) for name in corpora_tuned(run)}
        shapes = shapes_of(Path(run.model_directory))
        return GivenPlan(run=run, family=family, shapes=shapes, corpora=corpora, **shared)
    assert isinstance(run, Run)
    configuration.check_evaluation(run.parts.evaluation, [*run.corpora, *corpora_continued(run)])
    return PlanSettings(
        run=run,
        corpora={name: configuration.shared("corpora", name) for name in [*run.corpora, *corpora_tuned(run)]},
        **shared,
    )


@dataclass(frozen=True)
class Shared:
    """All of a named part: its folder of config/, and the wildcard that holds its name."""

    kind: str
    wildcard: str

    def __call__(self, configuration: Configuration, names: Names) -> Any:
        return configuration.shared(self.kind, names[self.wildcard])


def _instruction(configuration: Configuration, names: Names) -> InstructionJob:
    """All of a set, with the text of its template and the rows of its evaluation's tasks in place of the names."""
    settings: Instruction = configuration.shared("instruction", names["dataset"])
    rows = _overlap(configuration, {"evaluation": settings.evaluation}) if settings.evaluation else None
    return narrow(InstructionJob, settings, template=template_of(configuration, names["dataset"]), overlap=rows)


def _evaluation_sets(configuration: Configuration, names: Names) -> SetsJob:
    configuration.check_evaluation(names["evaluation"], [names["corpus"]])
    settings = configuration.shared("evaluation", names["evaluation"])
    return narrow(SetsJob, settings, template=default_template(*configuration.folders))


def _evaluate(configuration: Configuration, names: Names) -> TaskJob:
    """Of a task nothing that it does not use, so that a changed prompt, say, scores no other task again."""
    run, task = configuration.scored(names["run"], checkpoint_of(names)), names["task"]
    kind = configuration.kind_of_task(task)
    if kind == "lm_eval":
        configuration.check_tasks([task], f"task {task}")
    own: dict[str, Any] = {"task": task, "kind": kind, "seed": run.seed}
    own["family"] = family_of_stage(configuration, run.name, names["stage"])
    if kind == HELD_OUT:
        chosen = _template(configuration, configuration.any_run(run.name))
        own["template"] = chosen or default_template(*configuration.folders)
    else:
        own["document_ends"] = False
    if kind != GENERATIONS:
        own["prompts"] = ()
    if kind not in (GENERATIONS, CONVERSATIONS):
        own["new_tokens"] = None
    if kind != CONVERSATIONS:
        own["conversations"] = 0
    if kind != HELD_OUT and not (kind == "items" and configuration.task(task).kind == "rolling"):
        own["stride"] = None
    own["device"] = "auto" if gpus(configuration.any_run(run.name).engine) else "cpu"
    return narrow(TaskJob, run.evaluation, threads=run.threads, **own)


def _export(configuration: Configuration, names: Names) -> ExportJob:
    found = exported(configuration, names["run"])
    return narrow(
        ExportJob, found.export, run=names["run"], stage=configuration.stages(names["run"])[-1],
        description=found.description, gguf=GGUF_FORMS if found.export.gguf is None else found.export.gguf,
    )  # fmt: skip


def _push(configuration: Configuration, names: Names) -> PushJob:
    found = exported(configuration, names["run"]).export
    if found.repository is None:
        where = f"config/runs/{names['run']}.yaml, key export.repository"
        raise AbovoError("names no repository to push to", where, "set it to OWNER/NAME")
    return narrow(PushJob, found)


def _given(configuration: Configuration, names: Names) -> GivenModel:
    """The folder of the model, or nothing of that of another run, whose manifest is given."""
    given, origin = configuration.given(names["run"]), origin_of_given(configuration, names["run"])
    run = configuration.run(names["run"]) if given is None else given
    if origin.folder is not None and Path(origin.folder, "config.json").is_file():
        check_context(Path(origin.folder), run.sequence_length)
    trusted = given is not None and given.trust_remote_code
    return GivenModel(
        model_directory=origin.folder, sequence_length=run.sequence_length, trust_remote_code=trusted
    )  # fmt: skip


def _task(configuration: Configuration, names: Names) -> Task:
    """Without what corpora are cleaned of, which no item depends on."""
    return replace(configuration.task(names["task"]), decontaminate=())


def _overlap(configuration: Configuration, names: Names) -> OverlapSettings:
    """Rows of lm-eval's own tasks, which have no file here, are not looked for."""
    tasks = filter(configuration.has_task, configuration.shared("evaluation", names["evaluation"]).tasks)
    return OverlapSettings(tasks={name: narrow(TaskRowsOf, configuration.task(name)) for name in tasks})


def _results(configuration: Configuration, names: Names) -> ResultsSettings:
    return ResultsSettings(run=names["run"], made_with=expected_settings(configuration, names, JOBS))


def _draw_loss(configuration: Configuration, names: Names) -> LossFigure:
    run = configuration.any_run(names["run"])
    stage = STAGES[names["stage"]]
    sets = weights_of(run, stage.name) if stage.name in run.tunings else ()
    figure = narrow(LossFigure, run.tokenizer, scored=scored_of(stage.scored, sets))
    if stage.phases and isinstance(run, Run):
        phases = phases_up_to(run, phase_of(names))
        ends = itertools.accumulate(budget(replace(run, phases=phases), f"config/runs/{run.name}.yaml").phases)
        figure = replace(figure, phases={phase.name: end for phase, end in zip(phases, ends, strict=True)})
    return figure


def _checkpoint(configuration: Configuration, names: Names) -> Kept:
    """Of a model on the way its name. Raises AbovoError where the run keeps no such one."""
    check_kept(configuration.run(names["run"]), names["checkpoint"])
    return Kept(name=names["checkpoint"])


JOBS: dict[str, Callable[[Configuration, Names], Any]] = {
    "plan": _plan,
    "corpus": Shared("corpora", "corpus"),
    "decontamination": Shared("decontamination", "decontamination"),
    "tokenizer": Shared("tokenizers", "tokenizer"),
    "pretrain": _pretrain,
    "instruction": _instruction,
    "inspection": _inspection,
    "cpt": _cpt,
    "sft": _sft,
    "evaluation_sets": _evaluation_sets,
    "given": _given,
    "task": _task,
    "evaluate": _evaluate,
    "overlap": _overlap,
    "checkpoint": _checkpoint,
    "results": _results,
    "draw_loss": _draw_loss,
    "export": _export,
    "push": _push,
}
