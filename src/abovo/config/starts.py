"""Turn what a run starts from, or the folder of a model that it names, into the artifacts or files behind it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from abovo.config.load import find
from abovo.config.stages import STAGES, stages_up_to
from abovo.config.tuning import corpora_continued, recipe_of
from abovo.errors import AbovoError
from abovo.modeling.family import check_auxiliary, name_of_family, refuse_code
from abovo.modeling.layout import ORIGIN, check_whole, read_config
from abovo.provenance.files import read_json
from abovo.provenance.leavings import passed_over
from abovo.provenance.standins import ODD
from abovo.settings.run import GivenFile

if TYPE_CHECKING:
    from abovo.config.runs import Configuration


@dataclass(frozen=True)
class Origin:
    """A model that a run has not trained and that its own start from: a `folder`, or that of a stage of another run.

    `where` is who says so, and whether code in the folder is `trusted`.
    """

    where: str
    folder: str | None = None
    run: str = ""
    stage: str = ""
    trusted: bool = False


def origin_of(configuration: "Configuration", name: str) -> Origin | None:
    """The model from elsewhere that a run is given, or that it trains on from; None of a run without one.

    Raises AbovoError for a run or stage that is not there, or that has another tokenizer.
    """
    given = configuration.given(name)
    if given is not None:
        where = f"{find('runs', name, *configuration.folders)}, key model_directory"
        _check_fetched(given, name, where)
        return Origin(where, given.model_directory, trusted=given.trust_remote_code)
    run = configuration.run(name)
    stage, start = next(((stage, one.start) for stage, one in run.tunings.items() if one.start), ("", None))
    if start is None:
        return None
    where = f"{find(stage, str(getattr(run.parts, stage)), *configuration.folders)}, key start"
    if "/" in start:
        return Origin(where, start)
    other, _, named = start.partition(".")
    find("runs", other, *configuration.folders, asked=where)
    stages = configuration.stages(other)
    if named and named not in stages:
        raise AbovoError(f"run {other} has no stage {named}", where, f"its stages are {', '.join(stages)}")
    own, theirs = run.parts.tokenizer, _tokenizer_of(configuration, other)
    if own != theirs:
        what = f"run {other} has the tokenizer {theirs}, run {name} has {own}"
        raise AbovoError(what, where, f"let run {name} name the tokenizer {theirs}")
    return Origin(where, run=other, stage=named or stages[-1])


def _check_fetched(given: GivenFile, name: str, where: str) -> None:
    """Raise AbovoError where a folder that `hub` is fetched into is not there, or holds another model of the hub."""
    folder = Path(given.model_directory)
    if given.hub is None:
        return
    if not (folder / "config.json").is_file():
        what = f"{folder} is not there yet, where {given.hub} of the hub is to lie"
        raise AbovoError(what, where, f"make model RUN={name}")
    if (folder / ORIGIN).is_file() and (held := read_json(folder / ORIGIN)["hub"]) != given.hub:
        mend = f"name another folder, and make model RUN={name}"
        raise AbovoError(f"{folder} holds {held}, and hub is {given.hub}", where, mend)


def origin_of_given(configuration: "Configuration", name: str) -> Origin:
    """The same of a run that has one. Raises AbovoError for a run that trains its base model."""
    origin = origin_of(configuration, name)
    if origin is None:
        mend = f"ask for results/pretrain/{name}/results.json, or name a model_directory"
        raise AbovoError("is trained, not given", f"config/runs/{name}.yaml", mend)
    return origin


def _tokenizer_of(configuration: "Configuration", name: str) -> str:
    given = configuration.given(name)
    return configuration.run(name).parts.tokenizer if given is None else given.tokenizer or name


def family_of_stage(configuration: "Configuration", name: str, stage: str) -> str:
    """The family of a run's model after a stage, or of the last one that it trains where `stage` is none."""
    starts(configuration, name)
    through = configuration.stages(name)
    chain = [one.name for one in stages_up_to(stage, through)] if stage in STAGES else through
    given = configuration.given(name)
    origin = origin_of(configuration, name) if given is not None or "given" in chain else None
    if origin is None:
        return configuration.run(name).model.family
    if origin.folder is None:
        return family_of_stage(configuration, origin.run, origin.stage)
    _check_config(origin.folder, origin.where)
    return name_of_family(read_config(Path(origin.folder)).get("model_type"))


def check_losses(configuration: "Configuration", name: str, stage: str) -> None:
    """Raise AbovoError for an auxiliary loss by which a run would train on a model whose family has not got it."""

    def check(configuration: "Configuration") -> None:
        recipe, family = recipe_of(configuration.any_run(name), stage), family_of_stage(configuration, name, stage)
        where = f"{find('runs', name, *configuration.folders)}, key {stage}.training.auxiliary"
        check_auxiliary(recipe.training.auxiliary, family, where)

    configuration.blaming(name, check)


def _check_config(folder: str, where: str) -> None:
    if not Path(folder, "config.json").is_file():
        raise AbovoError(f"{folder} has no config.json", where, "name a folder in the Hugging Face layout")


def start_of(configuration: "Configuration", name: str) -> list[str]:
    """What a run's first phase starts from: the manifest of another run's model, or the files of a folder.

    Raises AbovoError where neither is there, and where runs start from each other in a circle.
    """
    start = configuration.run(name).start
    if start is None:
        return []
    if "/" in start:
        return files_of_model(start, _key_start(configuration, name))
    starts(configuration, name)
    return [f"results/pretrain/{start}/manifest.json"]


def starting_point(files: Sequence[str]) -> str:
    """What a training script is told to start from: the one manifest, or the folder that the files lie in."""
    return files[0] if len(files) == 1 else Path(files[0]).parent.as_posix()


def files_of_model(folder: str, where: str, trusted: bool = False) -> list[str]:
    """The files of a folder in the Hugging Face layout, which is a whole model; `where` says who names it, and whether
    code in it is `trusted`."""
    found = (path for path in Path(folder).glob("*") if path.is_file() and not passed_over(path.name))
    files = sorted(path.as_posix() for path in found)
    odd = next(filter(ODD.search, files), None)
    if odd is not None:
        raise AbovoError(f"the path {odd!r} holds a brace or a control character", where, "rename it")
    _check_config(folder, where)
    check_whole(Path(folder))
    if not trusted:
        refuse_code(Path(folder), where)
    return files


def starts(configuration: "Configuration", name: str) -> list[str]:
    """A run, those whose models it starts from, and so on to those that start anew or from a folder."""
    found: dict[str, None] = {}
    waiting: list[tuple[str, ...]] = [(name,)]
    while waiting:
        path = waiting.pop()
        found[path[-1]] = None
        for other, where in _before(configuration, path[-1]).items():
            if other in path:
                circle = ", ".join([*path, other])
                raise AbovoError(f"runs start from each other: {circle}", where, "let one start anew")
            waiting.append((*path, other))
    return list(found)


def _before(configuration: "Configuration", name: str) -> Mapping[str, str]:
    """The runs whose models a run starts from, each with who says so."""
    return dict(_named(configuration, name))


def _named(configuration: "Configuration", name: str) -> Iterator[tuple[str, str]]:
    if configuration.given(name) is not None:
        return
    run = configuration.run(name)
    if run.start is not None and "/" not in run.start:
        where = _key_start(configuration, name)
        find("runs", run.start, *configuration.folders, asked=where)
        configuration.run(run.start)
        yield run.start, where
    origin = origin_of(configuration, name)
    if origin is not None and origin.folder is None:
        yield origin.run, origin.where


def _key_start(configuration: "Configuration", name: str) -> str:
    return f"{find('runs', name, *configuration.folders)}, key start"


def corpora_before(configuration: "Configuration", name: str) -> list[str]:
    """The corpora of the runs that a run starts from."""
    runs = (configuration.any_run(one) for one in starts(configuration, name)[1:] if not _is_plain(configuration, one))
    return [corpus for run in runs for corpus in [*run.corpora, *corpora_continued(run)]]


def _is_plain(configuration: "Configuration", name: str) -> bool:
    """Whether a run is a model that is scored alone."""
    given = configuration.given(name)
    return given is not None and given.alone
