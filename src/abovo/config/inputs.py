"""Turn the wildcards of an artifact into the artifacts and files that it is made from, as the configuration says.

One function for each input of a rule: it takes the configuration and the wildcards, and gives paths from where
Snakemake runs on, in the configuration's order. Nothing is read but config/, and the names of local files.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.config.compared import compared_models
from abovo.config.overrides import TASKS
from abovo.config.runs import CONVERSATIONS, GENERATIONS, HELD_OUT, Configuration, phases_up_to
from abovo.config.stages import Stage, checkpoint_of, phase_of, stages_up_to
from abovo.config.starts import corpora_before, files_of_model, origin_of_given, start_of, starts
from abovo.config.tasks import local_paths
from abovo.config.tuning import corpora_continued, packed_paths, paths_of, recipe_of
from abovo.corpus.local import find_files
from abovo.corpus.readers import kind_of
from abovo.errors import AbovoError, Unreachable
from abovo.settings.run import GivenFile, Phase, Run, corpora_of
from abovo.settings.task import TaskRowsOf
from abovo.tokenizing.files import files_among, vocabularies_among

Names = Mapping[str, str]
# Kinds of files that hold no records with keys.
TEXTS = ("txt", "raw", "md")
FIGURES = ("loss.svg", "loss_by_source.svg", "loss_by_source.html")
LEARNING = ("learning_curve.svg", "learning_curve.html")
# Manifest of each figure or page of a report, by its name.
DRAWINGS = dict.fromkeys(FIGURES, "loss.json") | dict.fromkeys(LEARNING, "learning_curve.json")
DRAWINGS |= {"composition.svg": "composition.json", "card.html": "card.json", "results.html": "page.json"}
DRAWINGS["set.html"] = "set.json"


# --- of a run: up to the phase that the wildcards name, else all of it


def phases(configuration: Configuration, names: Names) -> Sequence[Phase]:
    return phases_up_to(configuration.run(names["run"]), phase_of(names))


def corpora(configuration: Configuration, names: Names) -> list[str]:
    """The names of the corpora that a model is pretrained on; none are known of one that was trained elsewhere."""
    return [] if configuration.given(names["run"]) else corpora_of(phases(configuration, names))


def measured(configuration: Configuration, names: Names) -> list[str]:
    """The names of the corpora whose held-out text a model is scored on: those that it is pretrained on and, but for
    phases and models on the way, those that its run's pretraining is continued on."""
    given, own = configuration.given(names["run"]), corpora(configuration, names)
    if names.get("below") or (given is not None and given.alone):
        return own
    return list(dict.fromkeys([*own, *corpora_continued(configuration.any_run(names["run"]))]))


def tokenizer(configuration: Configuration, names: Names) -> str:
    return f"results/tokenizers/{configuration.any_run(names['run']).parts.tokenizer}/tokenizer_config.json"


def packed(configuration: Configuration, names: Names) -> list[str]:
    """The bins of each corpus."""
    return packed_paths(configuration.run(names["run"]), corpora(configuration, names))


def phase_before(configuration: Configuration, names: Names) -> list[str]:
    """The manifest of the phase before the last of those that are trained; nothing for the first phase."""
    before = [phase.name for phase in phases(configuration, names)][-2:-1]
    return [f"results/pretrain/{names['run']}/phase-{phase}/manifest.json" for phase in before]


def start(configuration: Configuration, names: Names) -> list[str]:
    """The finished model of another run that a run goes on from, or a folder's files; nothing for fresh weights."""
    return start_of(configuration, names["run"])


def instruction(configuration: Configuration, names: Names) -> list[str]:
    """The instruction sets that a run is fine-tuned on."""
    run = configuration.any_run(names["run"])
    return [paths_of(run, "sft")[name] for name in recipe_of(run, "sft").own]


def tuning(configuration: Configuration, names: Names) -> list[str]:
    """What a run trains on in a stage after its pretraining: instruction sets, and the bins of text."""
    return list(paths_of(configuration.any_run(names["run"]), names["stage"]).values())


def evaluation_sets(configuration: Configuration, names: Names) -> list[str]:
    evaluation = configuration.scored(names["run"], checkpoint_of(names)).evaluation_name
    found = measured(configuration, names)
    configuration.check_evaluation(evaluation, found)
    return [f"results/evaluation/{corpus}/{evaluation}/manifest.json" for corpus in found]


def tasks(configuration: Configuration, names: Names) -> list[str]:
    """The names of all that a run's models are scored on: what its corpora and instruction sets hold out, its prompts,
    and its tasks."""
    run, own = configuration.scored(names["run"], checkpoint_of(names)), measured(configuration, names)
    configuration.check_evaluation(run.evaluation_name, own)
    held_out = [*([HELD_OUT] if own else []), *([CONVERSATIONS] if conversations(configuration, names) else [])]
    return [*held_out, GENERATIONS, *run.evaluation.tasks]


def conversations(configuration: Configuration, names: Names) -> list[str]:
    """The instruction sets whose held-out conversations the models of a run are scored on: those that it is fine-tuned
    on. None for phases and models on the way, which are not held against a fine-tuned one."""
    name = names["run"]
    scored = not names["below"] and configuration.scored(name).evaluation.conversations > 0
    tuned = scored and "sft" in configuration.stages(name)
    return instruction(configuration, names) if tuned else []


def conversations_of_task(configuration: Configuration, names: Names) -> list[str]:
    return conversations(configuration, names) if names["task"] == CONVERSATIONS else []


def sets_of_task(configuration: Configuration, names: Names) -> list[str]:
    """The evaluation sets of the corpora, where these are the task."""
    return evaluation_sets(configuration, names) if names["task"] == HELD_OUT else []


def packed_of_task(configuration: Configuration, names: Names) -> list[str]:
    if names["task"] != HELD_OUT:
        return []
    return packed_paths(configuration.any_run(names["run"]), measured(configuration, names))


def items_of_task(configuration: Configuration, names: Names) -> list[str]:
    """The prepared items of a task that has a file; nothing for another one."""
    prepared = configuration.kind_of_task(names["task"]) == "items"
    return [f"results/tasks/{names['task']}/manifest.json"] if prepared else []


def overlaps(configuration: Configuration, names: Names) -> list[str]:
    """What the corpora of a run, and of those that it starts from, hold of the tasks that it is scored on."""
    run = configuration.scored(names["run"], checkpoint_of(names))
    own = [name for name in run.evaluation.tasks if configuration.has_task(name)]
    if not own or not run.evaluation.contamination:
        return []
    every = dict.fromkeys([*measured(configuration, names), *corpora_before(configuration, run.name)])
    return [f"results/corpora/{corpus}/overlap/{run.evaluation_name}.json" for corpus in every]


def data(configuration: Configuration, names: Names) -> list[str]:
    """All data that stand behind a model: corpora, tokenizer, bins; nothing is known of one trained elsewhere."""
    found = measured(configuration, names)
    if names["stage"] == "given" and not found:
        return []
    manifests = [f"results/corpora/{corpus}/manifest.json" for corpus in found]
    packed = packed_paths(configuration.any_run(names["run"]), found)
    return [*manifests, tokenizer(configuration, names), *packed]


def given_files(configuration: Configuration, names: Names) -> list[str]:
    """The files of a model that was trained elsewhere; nothing for that of another run."""
    origin = origin_of_given(configuration, names["run"])
    if origin.folder is None:
        return []
    files = files_of_model(origin.folder, origin.where, origin.trusted)
    vocabularies_among((Path(path).name for path in files), Path(origin.folder))
    return files


def given_model(configuration: Configuration, names: Names) -> list[str]:
    """The model of another run that a run's fine-tuning starts from; nothing for a folder."""
    origin = origin_of_given(configuration, names["run"])
    return [] if origin.folder is not None else [f"results/{origin.stage}/{origin.run}/manifest.json"]


def base(configuration: Configuration, names: Names) -> str:
    """The model that a stage starts from."""
    starts(configuration, names["run"])
    before = stages_up_to(names["stage"], configuration.stages(names["run"]))[-2]
    return f"results/{before.name}/{names['run']}/manifest.json"


# --- of a stage: its own model, and before it those that it came from; of a phase its own alone


def stages(configuration: Configuration, names: Names) -> list[Stage]:
    return stages_up_to(names["stage"], configuration.stages(names["run"]), names["below"])


def models(configuration: Configuration, names: Names) -> list[str]:
    return [f"{folder}/manifest.json" for folder in _folders(configuration, names)]


def evaluations(configuration: Configuration, names: Names) -> list[str]:
    return [f"{folder}/evaluation.json" for folder in _folders(configuration, names)]


def checkpoints(configuration: Configuration, names: Names) -> list[str]:
    """The scores of the models that a run keeps on the way, in their order; none where they are not measured."""
    asked = configuration.run(names["run"]).checkpoints
    return [f"results/pretrain/{names['run']}/{one}/evaluation.json" for one in asked.names if asked.evaluation]


def scored_tasks(configuration: Configuration, names: Names) -> list[str]:
    """The tasks that a model is scored on, each with its evidence beside it."""
    folder = f"results/{names['stage']}/{names['run']}{names['below']}/evaluation"
    return [f"{folder}/{task}.json" for task in tasks(configuration, names)]


def _folders(configuration: Configuration, names: Names) -> list[str]:
    return [f"results/{one.name}/{names['run']}{names['below']}" for one in stages(configuration, names)]


def figures(configuration: Configuration, names: Names) -> list[str]:
    """The figures and pages of a report on a model."""
    report, below = f"results/report/{names['run']}", names["below"]
    made = [f"results/report/corpora/{corpus}/composition.svg" for corpus in measured(configuration, names)]
    trained = [stage for stage in stages(configuration, names) if stage.trained]
    if trained:
        made.append(f"results/report/tokenizers/{configuration.any_run(names['run']).parts.tokenizer}/card.html")
    if "sft" in (stage.name for stage in trained):
        sets = (Path(path).parent.relative_to("results") for path in instruction(configuration, names))
        made += [f"results/report/{place.as_posix()}/set.html" for place in sets]
    # the losses before a model on the way are those of its run
    for stage in trained if not checkpoint_of(names) else ():
        made += [f"{report}/{stage.name}{below}/{name}" for name in FIGURES]
        if stage.phases and not below and configuration.run(names["run"]).checkpoints.evaluation:
            made += [f"{report}/{stage.name}/{name}" for name in LEARNING]
    return [*made, f"{report}/{names['stage']}{below}/results.html"]


def drawings(configuration: Configuration, names: Names) -> list[str]:
    """The manifests of these figures and pages."""
    places = (path.rpartition("/") for path in figures(configuration, names))
    return list(dict.fromkeys(f"{folder}/{DRAWINGS[name]}" for folder, _, name in places))


# --- of an export: the last model of a run


def exported(configuration: Configuration, run: str) -> Run | GivenFile:
    """What says how a model is exported: the run, or the file of a model that was trained elsewhere."""
    return configuration.given(run) or configuration.run(run)


def exported_model(configuration: Configuration, names: Names) -> str:
    return f"results/{configuration.stages(names['run'])[-1]}/{names['run']}/manifest.json"


def exported_results(configuration: Configuration, names: Names) -> list[str]:
    """The results that the card shows; none where it is to show none."""
    stage, wanted = configuration.stages(names["run"])[-1], exported(configuration, names["run"]).export.results
    return [f"results/{stage}/{names['run']}/results.json"] if wanted else []


# --- of a comparison


def compared(configuration: Configuration, names: Names) -> list[str]:
    """The evaluations of the models that a comparison names."""
    return [one.evaluation for one in compared_models(configuration, names["models"])]


# --- of corpora, tokenizers and sets


def _counted(configuration: Configuration, names: Names) -> Any:
    return configuration.shared("corpora", names["corpus"])


def counting_tokenizer(configuration: Configuration, names: Names) -> list[str]:
    name = _counted(configuration, names).count_with
    return [f"results/tokenizers/{name}/tokenizer_config.json"] if name else []


def decontamination(configuration: Configuration, names: Names) -> list[str]:
    name = _counted(configuration, names).decontaminate.against
    return [f"results/decontamination/{name}/manifest.json"] if name else []


def parts(configuration: Configuration, names: Names) -> list[str]:
    """The manifests of all parts of all sources of a corpus."""
    return [
        f"results/corpora/{names['corpus']}/sources/{name}/{part}/manifest.json"
        for name, source in _counted(configuration, names).sources.items()
        for part in range(source.parts)
    ]


def duplicates(configuration: Configuration, names: Names) -> list[str]:
    jobs = range(_counted(configuration, names).deduplication.jobs)
    return [f"results/corpora/{names['corpus']}/duplicates/{job}/manifest.json" for job in jobs]


def corpus_of_tokenizer(configuration: Configuration, names: Names) -> str:
    return f"results/corpora/{configuration.shared('tokenizers', names['tokenizer']).corpus}/manifest.json"


def files_of_tokenizer(configuration: Configuration, names: Names) -> list[str]:
    """The files of a tokenizer that came with a model."""
    folder = Path(configuration.shared("tokenizers", names["tokenizer"]).model_directory)
    found = files_among((path.name for path in folder.glob("*") if path.is_file()), folder)
    return [(folder / name).as_posix() for name in found]


def corpus_of_dataset(configuration: Configuration, names: Names) -> list[str]:
    name = configuration.shared("instruction", names["dataset"]).corpus
    return [f"results/corpora/{name}/manifest.json"] if name else []


# --- local files, so that an edited one is read again


def files_of_corpus(configuration: Configuration, names: Names) -> list[str]:
    sources = _counted(configuration, names).sources
    where = functools.partial(configuration.place, "corpora", names["corpus"])
    return [path for name, one in sources.items() for path in _files(one, where(f"sources.{name}.paths"))]


def plan_of_source(configuration: Configuration, names: Names) -> str:
    """The plan of the corpus, which is made of all its files: an edited one reaches each part by way of it. Were they
    inputs of each part as well, Snakemake would look at parts times files."""
    name, sources = names["source"], _counted(configuration, names).sources
    if name not in sources:
        where = configuration.place("corpora", names["corpus"], "sources")
        raise AbovoError(f"no source {name!r}", where, f"known: {', '.join(sources)}")
    return f"results/corpora/{names['corpus']}/plan.json"


def files_of_decontamination(configuration: Configuration, names: Names) -> list[str]:
    settings = configuration.shared("decontamination", names["decontamination"])
    where = functools.partial(configuration.place, "decontamination", names["decontamination"])
    own = [path for name, one in settings.sets.items() for path in _files(one, where(f"sets.{name}.paths"))]
    return [path for name in settings.tasks for path in _of_task(settings.tasks[name], where("tasks"), False)] + own


def files_of_overlap(configuration: Configuration, names: Names) -> list[str]:
    """The local files of all tasks of an evaluation, as far as they are there."""
    tasks = configuration.shared("evaluation", names["evaluation"]).tasks
    return [path for task in tasks for path in files_of_task(configuration, {"task": task})]


def files_of_task(configuration: Configuration, names: Names) -> list[str]:
    """The local files of a task, but for those that are missing: without them the task is absent, and no error."""
    name = names["task"]
    if not configuration.has_task(name):
        return []
    return _of_task(configuration.task(name), configuration.place(TASKS, name, "source.paths"), True)


def _of_task(task: TaskRowsOf, where: str, there: bool) -> list[str]:
    """The local files of a task, or those alone that are `there`."""
    files: list[str] = []
    for path in map(Path, local_paths(task)):
        if path.is_file():
            files.append(str(path))
        elif path.exists() or not there:
            files += _told(functools.partial(_found, str(path), None), where)
    return files


def files_of_dataset(configuration: Configuration, names: Names) -> list[str]:
    settings, found = configuration.shared("instruction", names["dataset"]), []
    for name, one in settings.by_source.items():
        inner = f"sources.{name}.source.paths" if settings.sources else "source.paths"
        where = configuration.place("instruction", names["dataset"], inner)
        files = _files(one.source, where)
        for path in files:
            if kind_of(path)[0] in TEXTS:
                mend = "name .jsonl, .json, .csv or .parquet files"
                raise AbovoError(f"{path} holds text, not records", where, mend)
        found += files
    if settings.evaluation:
        found += files_of_overlap(configuration, {"evaluation": settings.evaluation})
    return list(dict.fromkeys(found))


def _files(source: Any, where: str) -> list[str]:
    """The files of a local source; what is wrong with its paths is told with `where` they are named."""
    column, endings = getattr(source, "column", None), getattr(source, "endings", ())
    if source.type != "local":
        return []
    return _told(lambda: _found(source.paths, column, endings), where, source.missing)


def _told(find: Callable[[], list[str]], where: str, missing: str | None = None) -> list[str]:
    """What `find` finds; `missing` is the mend where a path is not there."""
    try:
        return find()
    except AbovoError as error:
        mend = f"{error.mend}, or: {missing}" if missing and isinstance(error, Unreachable) else error.mend
        raise AbovoError(f"{error.where}: {error.what}", where, mend) from None


@functools.cache
def _found(paths: str | tuple[str, ...], column: str | None, endings: tuple[str, ...] = ()) -> list[str]:
    """Looked for once, not for every part of a source."""
    return [str(path) for path in find_files(paths, column, endings).values()]
