"""The stages of a run: one row says from which stage's model a stage starts and what figures and pages call it.

A stage makes a model of the run, results/{stage}/{run}/, with a manifest beside it. Its rule is the only other thing
that it needs: evaluation, results, figures and the summary go by this table.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from abovo.errors import AbovoError
from abovo.settings.checkpoints import CHECKPOINT


@dataclass(frozen=True)
class Stage:
    """One row: `after` names the stages whose model it may start from, the first that a run goes through counts; none
    where it starts from random weights, or from elsewhere."""

    name: str
    training: str
    """What is done, as titles of figures say it."""
    model: str
    """What its model is called beside those of other stages."""
    after: tuple[str, ...] = ()
    scored: str = "token"
    """What its training loss is the mean over."""
    trained: bool = True
    """Whether a run trains it; a model that was trained elsewhere has no losses to draw."""
    phases: bool = False
    """Whether it goes through the run's phases, the models of which lie in phase-{phase}/ below its own, and keeps
    models on the way, which lie in chck_1M/ and the like."""


STAGES = {
    stage.name: stage
    for stage in (
        Stage("pretrain", "pretraining", "base model", phases=True),
        Stage("given", "nothing", "given model", trained=False),
        Stage("cpt", "continued pretraining", "after continued pretraining", after=("given", "pretrain")),
        Stage("sft", "fine-tuning", "after fine-tuning", after=("cpt", "given", "pretrain"), scored="answer token"),
    )
}


def stages_up_to(name: str, through: Container[str], below: str = "") -> list[Stage]:
    """The stages from the first one to `name`, each after the one whose model it starts from, of a run that goes
    `through` these.

    Raises AbovoError for a model `below` (/phase-{phase} or /{checkpoint}) where the stage goes through no phases, and
    where the run has no model that it could start from.
    """
    stage = STAGES[name]
    if below and not stage.phases:
        mend = f"ask for that of {', '.join(one.name for one in STAGES.values() if one.phases)}"
        what = f"has no phases and keeps no models on the way, so none lies in {below.removeprefix('/')}"
        raise AbovoError(what, f"stage {name}", mend)
    if not stage.after:
        return [stage]
    before = next((one for one in stage.after if one in through), None)
    if before is None:
        what = f"starts from the model of {' or '.join(stage.after)}, and the run goes through neither"
        raise AbovoError(what, f"stage {name}", "ask for another stage")
    return [*stages_up_to(before, through), stage]


def folder_below(names: Mapping[str, str]) -> str:
    """What the path of a phase's model, or of one kept on the way, has that the run's own has not."""
    phase, checkpoint = phase_of(names), checkpoint_of(names)
    return f"/phase-{phase}" if phase else f"/{checkpoint}" if checkpoint else ""


def phase_of(names: Mapping[str, str]) -> str | None:
    """The phase whose model wildcards name: by `phase`, or by `below` (/phase-{phase})."""
    return names.get("phase") or _named(names, "/phase-")


def checkpoint_of(names: Mapping[str, str]) -> str | None:
    """The model kept on the way that wildcards name: by `checkpoint`, or by `below` (/chck_1M)."""
    amount = _named(names, f"/{CHECKPOINT}")
    return names.get("checkpoint") or (f"{CHECKPOINT}{amount}" if amount else None)


def _named(names: Mapping[str, str], start: str) -> str | None:
    folder = names.get("below", "")
    return folder.removeprefix(start) if folder.startswith(start) else None


def titles(name: str, through: Container[str], names: Mapping[str, str]) -> list[str]:
    """What the models of `stages_up_to` are called beside each other."""
    phase, checkpoint = phase_of(names), checkpoint_of(names)
    one = f"after phase {phase}" if phase else f"{STAGES[name].model} {checkpoint}" if checkpoint else ""
    return [one] if one else [stage.model for stage in stages_up_to(name, through)]


def training_title(name: str, phase: str | None = None) -> str:
    """What is done in a stage, or in one of its phases."""
    return f"{STAGES[name].training}, phase {phase}" if phase else STAGES[name].training
