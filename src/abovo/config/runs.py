"""Turn the name of a run into everything that the run's stages need to know.

A run file names a model, a tokenizer, corpora, recipes and an engine, each a file of its own kind. Values that differ
from those files stand under `set:` in the run file, or come for one call from `--config set="RUN.KEY=VALUE,..."`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from abovo.config.budget import SLACK
from abovo.config.corpora import check_tasks, rooted
from abovo.config.defaults import fill_in, refuse_auto
from abovo.config.engines import check_engine
from abovo.config.load import find, load, names
from abovo.corpus.consistency import check_corpus
from abovo.errors import AbovoError
from abovo.settings.corpus import Corpus
from abovo.settings.keys import build, narrow
from abovo.settings.run import Parts, Phase, PhaseFile, Recipe, Run, RunFile
from abovo.settings.sft import Sft, SftFile
from abovo.settings.training import Schedule

# Parts that belong to one run alone.
OWN_PARTS = {"model": "models", "training": "training", "sft": "sft", "engine": "engines"}
# Parts that make artifacts under their own name, shared by runs; those in groups are named after the group.
SHARED_PARTS = {"tokenizer": "tokenizers", "corpus": "corpora", "evaluation": "evaluation"}
SHARED_GROUPS = ("corpora", "instruction", "decontamination")
# Kinds whose files may lie in a folder that the machine decides.
ROOTED = {"corpora": "sources", "decontamination": "sets"}
# Part of a run -> dotted keys of its file -> values.
Changes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Overrides:
    """Values for one call: `runs[name]` and `shared[(kind, name)]` map dotted keys to values."""

    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shared: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


class Configuration:
    """All that config/ says, with the overrides of one call laid over it.

    A name that `root` has no file for is looked up in `shipped`, the config/ of the workflow that a project imports.
    """

    def __init__(self, root: Path = Path("config"), overrides: str = "", shipped: Path | None = None) -> None:
        self.root = root
        self.folders = (root,) if shipped is None or shipped == root.resolve() else (root, shipped)
        self.overrides = _parse_overrides(overrides, self._load)

    def check(self) -> None:
        """Read every run of `root`, so that a mistake in a config file is told before anything else happens."""
        for run in names("runs", self.root):
            self.run(run)

    def names(self, kind: str) -> list[str]:
        return names(kind, *self.folders)

    def _load(self, kind: str, name: str, values: Mapping[str, Any] | None = None) -> Any:
        return load(kind, name, *self.folders, values=values)

    def overridden(self, run: str) -> dict[str, Any]:
        """The values of this call that concern a run: its own, and those of shared parts."""
        shared = {
            f"{kind}.{name}.{key}": value
            for (kind, name), values in self.overrides.shared.items()
            for key, value in values.items()
        }
        return {**self.overrides.runs.get(run, {}), **shared}

    @functools.cache  # noqa: B019  (one configuration lives as long as its process)
    def shared(self, kind: str, name: str) -> Any:
        """The settings of a part that makes an artifact under its own name: corpora, tokenizers, evaluation and others.

        Paths of corpora and evaluation sets are those of their files, whatever folder they are relative to.
        """
        part = self._load(kind, name, self.overrides.shared.get((kind, name)))
        if kind == "corpora":
            check_corpus(part, str(find(kind, name, *self.folders)))
        return rooted(part, ROOTED[kind]) if kind in ROOTED else part

    @functools.cache  # noqa: B019
    def run(self, name: str) -> Run:
        """A run with its parts in place of their names, and `phases` in place of the shorthand `corpus`."""
        values = dict(self.overrides.runs.get(name, {}))
        own = {key: value for key, value in values.items() if key.split(".")[0] not in OWN_PARTS or "." not in key}
        file: RunFile = self._load("runs", name, own)
        where = find("runs", name, *self.folders)
        changes = _changes({**file.set, **{key: value for key, value in values.items() if key not in own}}, where)
        model = self._part("model", file.model, changes)
        training = self._part("training", file.training, changes)
        size = model.non_embedding_parameters
        run = Run(
            **{one.name: getattr(file, one.name) for one in fields(Recipe)},
            name=name,
            parts=narrow(Parts, file),
            model=model,
            tokenizer=self.shared("tokenizers", file.tokenizer),
            training=fill_in(training, file.tokens, file.sequence_length, size, where),
            engine=self._part("engine", file.engine, changes),
            sft=self._sft(file.sft, changes) if file.sft else None,
            evaluation=self.shared("evaluation", file.evaluation),
            phases=_phases(file, where),
        )
        self._check(run, where)
        return run

    def _check(self, run: Run, where: Path) -> None:
        """Raise AbovoError where parts that are right by themselves do not fit each other."""
        recipes = [run.training]
        if run.sft:
            refuse_auto(run.sft.training, where)
            recipes.append(run.sft.training)
            for dataset in run.sft.datasets:
                self.shared("instruction", dataset)
        for recipe in recipes:
            check_engine(run.engine, recipe, f"{where}, key engine")
        for name in run.corpora:
            corpus: Corpus = self.shared("corpora", name)
            against = corpus.decontaminate.against
            sets = self.shared("decontamination", against).sets if against else {}
            check_tasks(corpus, sets, run.evaluation.tasks, str(find("corpora", name, *self.folders)))

    def start_of(self, name: str) -> list[str]:
        """What a run's first phase starts from: the manifest of another run's model, or the files of a folder.

        Raises AbovoError where neither is there, and where runs start from each other in a circle.
        """
        start, seen = self.run(name).start, [name]
        where = f"{find('runs', name, *self.folders)}, key start"
        if start is None:
            return []
        if "/" in start:
            files = sorted(path.as_posix() for path in Path(start).glob("*") if path.is_file())
            if f"{Path(start).as_posix()}/config.json" not in files:
                raise AbovoError(f"{start} has no config.json", where, "name a folder in the Hugging Face layout")
            return files
        while start is not None and "/" not in start:
            if start in seen:
                raise AbovoError(
                    f"runs start from each other: {', '.join([*seen, start])}", where, "let one start anew"
                )
            seen.append(start)
            start = self.run(start).start
        return [f"results/pretrain/{seen[1]}/manifest.json"]

    def _part(self, part: str, name: str, changes: Changes) -> Any:
        return self._load(OWN_PARTS[part], name, changes[part])

    def _sft(self, name: str, changes: Changes) -> Sft:
        """An SFT recipe with the training recipe that it names in its place."""
        inner = {key: value for key, value in changes["sft"].items() if key.startswith("training.")}
        own = {key: value for key, value in changes["sft"].items() if key not in inner}
        file: SftFile = self._load("sft", name, own)
        values = {key.removeprefix("training."): value for key, value in inner.items()}
        return narrow(Sft, file, training=self._load("training", file.training, values))


def _changes(values: Mapping[str, Any], where: Path) -> Changes:
    """Values by the part of the run that they are of. Raises AbovoError for one of no part that is the run's own."""
    parts: Changes = {part: {} for part in OWN_PARTS}
    for key, value in values.items():
        part, _, rest = key.partition(".")
        if part not in OWN_PARTS or not rest:
            mend = f"start it with one of {', '.join(OWN_PARTS)}; all else is set in its own file"
            raise AbovoError(f"cannot be set for one run: {key}", f"{where}, key set", mend)
        parts[part][rest] = value
    return parts


def _phases(file: RunFile, where: Path) -> tuple[Phase, ...]:
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


def starting_point(files: Sequence[str]) -> str:
    """What a training script is told to start from: the one manifest, or the folder that the files lie in."""
    return files[0] if len(files) == 1 else Path(files[0]).parent.as_posix()


def sft_of(run: Run) -> Sft:
    """How a run is fine-tuned. Raises AbovoError for one that is not."""
    if run.sft is None:
        raise AbovoError("is null", f"config/runs/{run.name}.yaml, key sft", "name a recipe of config/sft")
    return run.sft


def phases_up_to(run: Run, name: str | None) -> tuple[Phase, ...]:
    """The phases of a run up to the one called `name`, which has an artifact of its own; all of them for None.

    Raises AbovoError for a name that no phase has, and for the last phase: its model is the run's.
    """
    names = [phase.name for phase in run.phases]
    if name is None:
        return run.phases
    where = f"config/runs/{run.name}.yaml, key phases"
    if name not in names:
        raise AbovoError(f"the run has no phase {name!r}", where, f"its phases are {', '.join(names)}")
    if name == names[-1]:
        mend = f"ask for results/pretrain/{run.name}/manifest.json"
        raise AbovoError(f"phase {name} is the last, its model is that of the run", where, mend)
    return run.phases[: names.index(name) + 1]


def _parse_overrides(text: str, read: Callable[[str, str], Any]) -> Overrides:
    runs: dict[str, dict[str, Any]] = {}
    shared: dict[tuple[str, str], dict[str, Any]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = item.partition("=")
        run, dot, rest = key.strip().partition(".")
        if not equals or not dot or not rest:
            raise AbovoError(f"cannot read {item!r}", "--config set", 'write set="RUN.KEY=VALUE,RUN.KEY=VALUE"')
        parsed = yaml.safe_load(value)
        data = read("runs", run)
        part, _, inner = rest.partition(".")
        if part in SHARED_GROUPS and "." in inner:
            name, _, inner = inner.partition(".")
            shared.setdefault((part, name), {})[inner] = parsed
        elif part in SHARED_PARTS and inner:
            if getattr(data, part) is None:
                raise AbovoError(f"run {run} has no {part}", "--config set", f"write {run}.corpora.NAME.KEY=VALUE")
            shared.setdefault((SHARED_PARTS[part], getattr(data, part)), {})[inner] = parsed
        else:
            runs.setdefault(run, {})[rest] = parsed
    return Overrides(runs, shared)
