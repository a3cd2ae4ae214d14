"""Turn the name of a comparison, models joined by hyphens, into the models that it is of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from abovo.config.stages import STAGES
from abovo.errors import AbovoError

if TYPE_CHECKING:
    from abovo.config.runs import Configuration


@dataclass(frozen=True)
class ComparedModel:
    """A model of a run: that of a stage, as it was named."""

    name: str
    run: str
    stage: str

    @property
    def evaluation(self) -> str:
        return f"results/{self.stage}/{self.run}/evaluation.json"


def compared_models(configuration: "Configuration", models: str) -> list[ComparedModel]:
    """The models in A-B-C, each RUN, which is its last stage, or RUN.STAGE; names of runs may hold hyphens themselves.

    Raises AbovoError where it can be read in no way or in several, unless one of those names all stages.
    """
    where = f"comparison {models}"
    parts = models.split("-")
    runs = configuration.names("runs")
    found = [names for names in _readings(parts, runs) if len(names) > 1]
    if not found:
        what = "is not two or more models joined by hyphens, each RUN or RUN.STAGE"
        raise AbovoError(what, where, f"the runs are {', '.join(runs)}; the stages are {', '.join(STAGES)}")
    exact = [names for names in found if all("." in name for name in names)]
    chosen = exact if len(exact) == 1 else found
    if len(chosen) > 1:
        meant = " or ".join(", ".join(names) for names in chosen[:3])
        mend = f"name the stages, such as {'-'.join(f'{name}.{next(iter(STAGES))}' for name in chosen[0])}"
        raise AbovoError(f"may mean {meant}", where, mend)
    twice = next((name for name in chosen[0] if chosen[0].count(name) > 1), None)
    if twice is not None:
        raise AbovoError(f"names {twice} twice", where, "name each model once")
    return [_model(configuration, name, where) for name in chosen[0]]


def _readings(parts: Sequence[str], runs: Sequence[str]) -> Iterator[list[str]]:
    """All ways to join neighbouring parts to names of models."""
    if not parts:
        yield []
    for count in range(1, len(parts) + 1):
        name = "-".join(parts[:count])
        run, _, stage = name.partition(".")
        if run in runs and (stage in STAGES or name == run):
            yield from ([name, *rest] for rest in _readings(parts[count:], runs))


def _model(configuration: "Configuration", name: str, where: str) -> ComparedModel:
    run, _, stage = name.partition(".")
    stages = configuration.stages(run)
    if stage and stage not in stages:
        raise AbovoError(f"run {run} has no stage {stage}", where, f"its stages are {', '.join(stages)}")
    return ComparedModel(name, run, stage or stages[-1])
