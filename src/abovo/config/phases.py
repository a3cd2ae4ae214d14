"""Turn the phases of a run's file, or the corpus in their place, into phases whose schedules are complete."""

from pathlib import Path

from abovo.config.budget import SLACK
from abovo.errors import AbovoError
from abovo.settings.keys import build, narrow
from abovo.settings.run import Phase, PhaseFile, RunFile
from abovo.settings.training import Schedule


def phases_of(file: RunFile, where: Path) -> tuple[Phase, ...]:
    """The phases with their own schedules complete; one called main for a run that names a corpus."""
    if (file.corpus is None) == (file.phases is None):
        raise AbovoError("needs either `corpus` or `phases`", where, "name one corpus, or list the phases")
    if file.corpus is not None:
        return (Phase(name="main", corpora={file.corpus: 1.0}, share=1.0),)
    phases, place = file.phases or (), f"{where}, key phases"
    total = sum(phase.share for phase in phases)
    if abs(total - 1) > SLACK:
        raise AbovoError(f"the shares of the phases add up to {total:g}", place, "make them add up to 1")
    names = [phase.name for phase in phases]
    if len(set(names)) < len(names):
        raise AbovoError("two phases have one name", place, "name each phase differently")
    return tuple(_phase(phase, number, place) for number, phase in enumerate(phases))


def _phase(phase: PhaseFile, number: int, place: str) -> Phase:
    """A phase with its own schedule, where it has one, complete as those of training recipes are."""
    if phase.schedule is None:
        return narrow(Phase, phase)
    # a later phase goes on with a model that is warm
    given = {**({"warmup_steps": 0} if number else {}), **phase.schedule}
    return narrow(Phase, phase, schedule=build(Schedule, given, f"{place}, phase {phase.name}, key schedule"))
