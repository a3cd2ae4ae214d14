"""The stages of a run: one row says from which stage's model a stage starts and what figures and pages call it.

A stage makes a model of the run, results/{stage}/{run}/, with a manifest beside it. Its rule is the only other thing
that it needs: evaluation, results, figures and the summary go by this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from abovo.errors import AbovoError


@dataclass(frozen=True)
class Stage:
    """One row: `after` is the stage whose model it starts from, None where it starts from random weights."""

    name: str
    training: str
    """What is done, as titles of figures say it."""
    model: str
    """What its model is called beside those of other stages."""
    after: str | None = None
    scored: str = "token"
    """What its training loss is the mean over."""
    trained: bool = True
    """Whether a run trains it; a model that was trained elsewhere has no losses to draw."""
    phases: bool = False
    """Whether it goes through the run's phases, the models of which lie in phase-{phase}/ below its own."""


STAGES = {
    stage.name: stage
    for stage in (
        Stage("pretrain", "pretraining", "base model", phases=True),
        Stage("sft", "fine-tuning", "after fine-tuning", after="pretrain", scored="answer token"),
        Stage("given", "nothing", "given model", trained=False),
    )
}


def stages_up_to(name: str, phase: str | None = None) -> list[Stage]:
    """The stages from the first one to `name`, each after the one whose model it starts from.

    Raises AbovoError for a model of a `phase` where the stage goes through none.
    """
    stage = STAGES[name]
    if phase and not stage.phases:
        mend = f"ask for the model of a phase of {', '.join(one.name for one in STAGES.values() if one.phases)}"
        raise AbovoError(f"has no phases, so none is called {phase!r}", f"stage {name}", mend)
    return [*(stages_up_to(stage.after) if stage.after else []), stage]


def folder_of_phase(names: Mapping[str, str]) -> str:
    """What the path of a phase's model has that the run's own has not; nothing where no phase is named."""
    phase = phase_of(names)
    return f"/phase-{phase}" if phase else ""


def phase_of(names: Mapping[str, str]) -> str | None:
    """The phase whose model wildcards name: by `phase`, or by `phase_folder` (/phase-{phase}, or nothing)."""
    return names.get("phase") or names.get("phase_folder", "").removeprefix("/phase-") or None


def titles(name: str, phase: str | None = None) -> list[str]:
    """What the models of `stages_up_to` are called beside each other."""
    return [f"after phase {phase}"] if phase else [stage.model for stage in stages_up_to(name)]


def training_title(name: str, phase: str | None = None) -> str:
    """What is done in a stage, or in one of its phases."""
    return f"{STAGES[name].training}, phase {phase}" if phase else STAGES[name].training
