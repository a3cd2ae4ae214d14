"""Turn the name of a run into everything that the run's stages need to know.

A run file names a model, a tokenizer, corpora, recipes and an engine, each a file of its own kind. Values that differ
from those files stand under `set:` in the run file, or come for one call from `--config set="RUN.KEY=VALUE,..."`.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from abovo.config.budget import asked_budget
from abovo.config.checkpoints import check_checkpoints, evaluation_of_kept, on_the_way, tasks_of
from abovo.config.corpora import check_tasks, rooted
from abovo.config.defaults import fill_in
from abovo.config.engines import check_engine
from abovo.config.foreseen import check_export, check_facts, check_instruction, check_public_tasks, public_out_of_reach
from abovo.config.given import given_run, not_pretrained, own_tokenizer
from abovo.config.laid import OWN_PARTS, Changes, Made, blamed, changes_of
from abovo.config.load import KINDS, Values, find, load, misnamed, names
from abovo.config.overrides import SET, SHARED_KINDS, SHARED_PARTS, TASKS, Given, Overrides, parse, refuse_twice
from abovo.config.phases import phases_of
from abovo.config.recipes import RECIPES, recipes_of
from abovo.config.stages import STAGES
from abovo.config.starts import starts
from abovo.config.tasks import decontamination, out_of_reach, task_of
from abovo.config.tokenizers import counted, vocabulary_of
from abovo.config.tuning import check_tuning, corpora_tuned
from abovo.corpus.consistency import check_corpus
from abovo.errors import AbovoError
from abovo.modeling.cost import count_parameters
from abovo.modeling.family import check_auxiliary
from abovo.modeling.parameters import check_claim, padded_vocabulary
from abovo.settings.corpus import Corpus
from abovo.settings.keys import narrow
from abovo.settings.names import close
from abovo.settings.run import (
    AnyRun,
    GivenFile,
    Parts,
    Phase,
    Recipe,
    Run,
    RunFile,
    ScoredRun,
)
from abovo.settings.task import Task
from abovo.settings.tokenizer import AdoptedSettings

log = logging.getLogger("abovo")
# What every run's models are scored on besides its tasks: what its corpora hold out, and the prompts of its evaluation.
HELD_OUT, CONVERSATIONS, GENERATIONS = "held_out", "conversations", "generations"
# What these are called in results, which no task may be.
TAKEN = (
    HELD_OUT, CONVERSATIONS, GENERATIONS, "validation", "rows", "yesno", "yesno_chat", "choice", "choice_chat",
    "era", "era_chat", "era_written",
)  # fmt: skip


class Configuration:
    """All that config/ says, with the overrides of one call laid over it.

    A name that `root` has no file for is looked up in `shipped`, the config/ of the workflow that a project imports.
    """

    def __init__(self, root: Path = Path("config"), overrides: str = "", shipped: Path | None = None) -> None:
        self.root = root
        self.folders = (root,) if shipped is None or shipped == root.resolve() else (root, shipped)
        self.overrides = self._resolve(parse(overrides))

    def check(self) -> list[str]:
        """Raise AbovoError for an override that is wrong or that nothing takes; the result is what else is wrong with
        files of `root`, which concerns nobody who asks for other runs.
        """
        for item in self.overrides.items:
            if item.run is None:
                find(str(item.kind), str(item.name), *self.folders, asked=item.where)
                self.shared(str(item.kind), str(item.name))
                continue
            self.scored(item.run)
            if item.kind is not None and item.name is not None:
                used = self.used(item.run)[item.kind]
                if item.name not in used:
                    what = f"run {item.run} uses no {item.name!r} of config/{item.kind}"
                    mend = f"{close(item.name, used)}; {item.kind}.NAME.KEY=VALUE sets a part for whatever uses it"
                    raise AbovoError(what, item.where, mend)
        wrong = [f"{path}: is passed over: not NAME.yaml with a name of a-z, 0-9, - and _" for path in self._misnamed()]
        for name in names("runs", self.root):
            try:
                self.scored(name)
            except AbovoError as error:
                wrong.append(str(error))
        return wrong

    def _misnamed(self) -> list[Path]:
        return [path for kind in KINDS for path in misnamed(kind, self.root)]

    @functools.cache  # noqa: B019
    def names(self, kind: str) -> list[str]:
        return names(kind, *self.folders)

    def used(self, name: str) -> dict[str, list[str]]:
        """The names of the shared parts that a run uses, by kind: its own, and those behind its tokenizer, its
        conversations and the run that it starts from."""
        given = self.given(name)
        if given is not None and given.alone:
            tasks = [*filter(self.has_task, self.scored(name).evaluation.tasks)]
            return {kind: [] for kind in SHARED_KINDS} | {"evaluation": [given.evaluation], TASKS: tasks}
        run = self.any_run(name)
        sets = list(run.sft.datasets) if run.sft else []
        behind = [self.shared("instruction", one).corpus for one in sets]
        looked = [self.shared("instruction", one).evaluation for one in sets]
        corpora = list(
            dict.fromkeys(
                filter(None, [*run.corpora, *corpora_tuned(run), getattr(run.tokenizer, "corpus", None), *behind])
            )
        )
        counting = [self.shared("corpora", one).count_with for one in corpora]
        against = [self.shared("corpora", one).decontaminate.against for one in corpora]
        indexed = [task for one in filter(None, against) for task in self.shared("decontamination", one).tasks]
        searched = [task for one in filter(None, looked) for task in self.shared("evaluation", one).tasks]
        found = {
            "corpora": corpora,
            "tokenizers": [run.parts.tokenizer, *filter(None, counting)],
            "instruction": sets,
            "evaluation": list(dict.fromkeys(filter(None, [run.parts.evaluation, on_the_way(run), *looked]))),
            TASKS: [*filter(self.has_task, [*tasks_of(run, self.shared), *searched]), *indexed],
            "decontamination": list(filter(None, against)),
        }
        for other in starts(self, name)[1:]:
            found = {kind: [*found[kind], *more] for kind, more in self.used(other).items()}
        return found

    def overridden(self, run: str) -> dict[str, Any]:
        """The values of this call that concern a run: its own, and those of shared parts that it uses."""
        used = self.used(run)
        shared = {
            f"{kind}.{name}.{key}": item.value
            for (kind, name), values in self.overrides.shared.items()
            for key, item in values.items()
            if name in used[kind]
        }
        return {**self.overrides.runs.get(run, {}), **shared}

    def _resolve(self, items: Sequence[Given]) -> Overrides:
        """Items by the file that they are laid over; what a run calls its corpus is that of this call."""
        runs: dict[str, list[Given]] = {}
        for item in items:
            if item.run is not None:
                find("runs", item.run, *self.folders, asked=item.where)
                runs.setdefault(item.run, []).extend([item] if item.kind is None else [])
        own = {}
        for run, given in runs.items():
            refuse_twice((item.inner, item.key, item.where) for item in given)
            own[run] = {item.inner: item.value for item in given}
        shared: dict[tuple[str, str], list[Given]] = {}
        for item in items:
            if item.kind is not None:
                shared.setdefault((item.kind, item.name or self._part_of_run(item, own)), []).append(item)
        for given in shared.values():
            refuse_twice((item.inner, item.key, item.where) for item in given)
        parts = {part: {item.inner: item for item in given} for part, given in shared.items()}
        return Overrides(items, own, parts)

    def _part_of_run(self, item: Given, own: Mapping[str, Mapping[str, Any]]) -> str:
        """The name of the part that an item means by RUN.PART.KEY."""
        run = str(item.run)
        part = next(part for part, kind in SHARED_PARTS.items() if kind == item.kind)
        name = getattr(self._file(run, own[run]), part, None)
        if name is None:
            raise AbovoError(f"run {run} has no {part}", item.where, f"write {run}.{item.kind}.NAME.KEY=VALUE")
        return str(name)

    def _load(self, kind: str, name: str, *values: Values, asked: str = "") -> Any:
        return load(kind, name, *self.folders, values=values, asked=asked)

    def _file(self, name: str, values: Mapping[str, Any]) -> RunFile | GivenFile:
        """A run's file with the values of this call that are the run's own, not those of its parts."""
        own = {key: value for key, value in values.items() if key.partition(".")[0] not in OWN_PARTS or "." not in key}
        file: RunFile | GivenFile = self._load("runs", name, Values(own, f"{SET}, key ", f"{name}."))
        return file

    @functools.cache  # noqa: B019
    def given(self, name: str) -> GivenFile | None:
        """A model that was trained elsewhere; None for a run that trains one."""
        file = self._file(name, self.overrides.runs.get(name, {}))
        return file if isinstance(file, GivenFile) else None

    def scored(self, name: str, checkpoint: str | None = None) -> ScoredRun:
        """What scoring needs to know of a run, of a model that it keeps on the way, or of one trained elsewhere."""
        given = self.given(name)
        if given is None:
            run = self.run(name)
            measured = evaluation_of_kept(run, checkpoint) if checkpoint else run.parts.evaluation
            return narrow(ScoredRun, run, evaluation=self.shared("evaluation", measured), evaluation_name=measured)
        return narrow(ScoredRun, given, name=name, evaluation=self.shared("evaluation", given.evaluation),
                      evaluation_name=given.evaluation)  # fmt: skip

    @functools.cache  # noqa: B019  (one configuration lives as long as its process)
    def shared(self, kind: str, name: str, folder: str | None = None) -> Any:
        """The settings of a part that makes an artifact under its own name: corpora, tokenizers, evaluation and others.

        Paths of corpora, evaluation sets and tasks are those of their files, whatever folder they are relative to; for
        a task `folder` may be another one than its file says.
        """
        given = self.overrides.shared.get((kind, name), {})
        if kind == "tokenizers" and name not in self.names(kind) and (own := self._own_tokenizer(name)):
            return counted(own)
        values = [Values({key: item.value}, f"{SET}, key ", item.key.removesuffix(key)) for key, item in given.items()]

        def make(*values: Values) -> Any:
            part = self._load(kind, name, *values)
            where = str(find(kind, name, *self.folders))
            if kind == "corpora":
                check_corpus(part, where)
            if kind == "instruction":
                check_instruction(part, self.shared("corpora", part.corpus) if part.corpus else None, where)
            if kind == TASKS:
                return task_of(replace(part, folder=folder or part.folder), name, where)
            if kind == "decontamination":
                return decontamination(rooted(part, "sets"), part.folder, self.task, where)
            if isinstance(part, AdoptedSettings):
                return counted(part)
            return rooted(part, "sources") if kind == "corpora" else part

        return blamed(lambda: make(*values), make, [item.key for item in given.values()])

    def task(self, name: str, folder: str | None = None) -> Task:
        """The task that a file of config/evaluation/tasks describes; `folder` is where its files lie, if not in its own
        one."""
        task: Task = self.shared(TASKS, name, folder)
        return task

    def adopted(self) -> list[str]:
        """The names of tokenizers that came with a model: those that say so, and those of given models."""
        own = [name for name in self.names("runs") if self._own_tokenizer(name)]
        return [*(name for name in self.names("tokenizers") if self._is_adopted(name)), *own]

    def _is_adopted(self, name: str) -> bool:
        try:
            return isinstance(self._load("tokenizers", name), AdoptedSettings)
        except AbovoError:  # who asks for it is told what is wrong with its file
            return False

    def _own_tokenizer(self, name: str) -> AdoptedSettings | None:
        """That of a given model, where one is called so and names no other."""
        try:
            return own_tokenizer(self.given(name)) if name in self.names("runs") else None
        except AbovoError:  # as above
            return None

    def stages(self, name: str) -> list[str]:
        """The stages that a run goes through, in their order: where its models start, and what it says how to do."""
        given = self.given(name)
        run = self.run(name) if given is None else given
        from_others = isinstance(run, Run) and any(one.start is not None for one in run.tunings.values())
        goes = {"pretrain": given is None, "given": given is not None or from_others}
        goes |= {stage: getattr(run, stage) is not None for stage in RECIPES}
        return [stage for stage in STAGES if goes.get(stage)]

    def has_task(self, name: str) -> bool:
        """Whether a task has a file; one without is lm-eval's own."""
        return name in self.names(TASKS)

    @functools.cache  # noqa: B019
    def run(self, name: str) -> Run:
        """A run with its parts in place of their names, and `phases` in place of the shorthand `corpus`."""
        return self.blaming(name, lambda configuration: configuration._run(name))

    @functools.cache  # noqa: B019
    def any_run(self, name: str) -> AnyRun:
        """A run, whatever its models start from. Raises AbovoError for a model that is scored alone."""
        file = self.given(name)
        if file is None:
            return self.run(name)
        where, call = find("runs", name, *self.folders), self.overrides.runs.get(name, {})
        changes = changes_of(file.set, {key: value for key, value in call.items() if "." in key}, name, where)
        run = given_run(self, name, file, where, changes)
        check_tuning(self, run, where)
        self._check_corpora(run)
        return run

    def blaming(self, name: str, make: "Callable[[Configuration], Made]") -> Made:
        """What `make` makes of this; an error absent without the call's values of a run is told as theirs."""
        given = [item.key for item in self.overrides.items if item.run in (name, None)]
        return blamed(lambda: make(self), lambda: make(Configuration(*self._bare())), given)

    def _bare(self) -> tuple[Path, str, Path | None]:
        return self.root, "", self.folders[-1] if len(self.folders) > 1 else None

    def _run(self, name: str) -> Run:
        values = self.overrides.runs.get(name, {})
        file, where = self._file(name, values), find("runs", name, *self.folders)
        if isinstance(file, GivenFile):
            raise not_pretrained(file, name, where)
        changes = changes_of(file.set, {key: value for key, value in values.items() if "." in key}, name, where)
        model = self.part("model", file.model, changes)
        training = self.part("training", file.training, changes)
        size = model.non_embedding_parameters
        run = Run(
            **{one.name: getattr(file, one.name) for one in fields(Recipe)},
            name=name,
            parts=narrow(Parts, file),
            model=model,
            tokenizer=self.shared("tokenizers", file.tokenizer),
            training=fill_in(training, file.tokens, file.sequence_length, size, where),
            engine=self.part("engine", file.engine, changes),
            evaluation=self.shared("evaluation", file.evaluation),
            phases=phases_of(file, where),
            **recipes_of(self, file, changes),
        )
        self._check(run, where)
        return run

    def _check(self, run: Run, where: Path) -> None:
        """Raise AbovoError where parts that are right by themselves do not fit each other."""
        rows = padded_vocabulary(vocabulary_of(run.tokenizer, where))
        check_claim(run.parameters, count_parameters(run.model, rows).total, f"{where}, key parameters")
        check_checkpoints(run, asked_budget(run, str(where)), str(where))
        check_engine(run.engine, run.training, f"{where}, key engine")
        check_auxiliary(run.training.auxiliary, run.model.family, f"{where}, key training.auxiliary")
        check_export(run.export, run.model, str(where))
        check_tuning(self, run, where)
        self._check_corpora(run)

    def _check_corpora(self, run: AnyRun) -> None:
        for name in dict.fromkeys([*run.corpora, *corpora_tuned(run)]):
            corpus: Corpus = self.shared("corpora", name)
            against = corpus.decontaminate.against
            covered = self.shared("decontamination", against).covered if against else frozenset[str]()
            check_tasks(corpus, covered, tasks_of(run, self.shared), str(find("corpora", name, *self.folders)))

    def check_evaluation(self, evaluation: str, corpora: Sequence[str]) -> None:
        """Raise AbovoError where what an evaluation asks of lm-eval, or of the corpora of a run, cannot be had."""
        settings = self.shared("evaluation", evaluation)
        self.check_tasks(settings.tasks, self.place("evaluation", evaluation, "tasks"))
        self._tell_absent(evaluation)
        parts = {name: self.shared("corpora", name) for name in corpora}
        check_facts(settings.facts, parts, self.place("evaluation", evaluation, "facts"))

    def check_tasks(self, tasks: Sequence[str], where: str) -> None:
        """Raise AbovoError for a task that neither a file nor lm-eval knows, or whose name is taken."""
        for task in tasks:
            if task in TAKEN:
                raise AbovoError(f"{task} is what every run is scored on", where, "give the task another name")
        check_public_tasks([task for task in tasks if not self.has_task(task)], self.names(TASKS), where)

    @functools.cache  # noqa: B019
    def _tell_absent(self, evaluation: str) -> None:
        """Say once of each task whose data are out of reach that its scores will be absent."""
        for name in self.shared("evaluation", evaluation).tasks:
            reason = out_of_reach(self.task(name)) if self.has_task(name) else public_out_of_reach(name)
            if reason:
                log.warning("warning: evaluation %s: task %s will be absent: %s", evaluation, name, reason)

    def kind_of_task(self, task: str) -> Any:
        """Where the questions of a task come from, as its job is told."""
        if task in (HELD_OUT, CONVERSATIONS, GENERATIONS):
            return task
        return "items" if self.has_task(task) else "lm_eval"

    def place(self, kind: str, name: str, key: str) -> str:
        """Who says the value of a key of a part: this call, or the file."""
        for inner, item in self.overrides.shared.get((kind, name), {}).items():
            if key == inner or key.startswith(f"{inner}."):
                return item.where
        return f"{find(kind, name, *self.folders)}, key {key}"

    def part(self, part: str, name: str, changes: Changes) -> Any:
        return self.file(OWN_PARTS[part], name, changes[part])

    def file(self, kind: str, name: str, values: Sequence[Values]) -> Any:
        """What a file says, with values laid over it."""
        return self._load(kind, name, *values)


def phases_up_to(run: AnyRun, name: str | None) -> tuple[Phase, ...]:
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
