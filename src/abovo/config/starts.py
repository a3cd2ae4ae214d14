"""Turn what a run starts from, or the folder of a model that it names, into the artifacts or files behind it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from abovo.config.load import find
from abovo.errors import AbovoError
from abovo.provenance.leavings import passed_over
from abovo.provenance.standins import ODD

if TYPE_CHECKING:
    from abovo.config.runs import Configuration


def start_of(configuration: "Configuration", name: str) -> list[str]:
    """What a run's first phase starts from: the manifest of another run's model, or the files of a folder.

    Raises AbovoError where neither is there, and where runs start from each other in a circle.
    """
    start = configuration.run(name).start
    if start is None:
        return []
    if "/" in start:
        return files_of_model(configuration, name, "start", start)
    return [f"results/pretrain/{starts(configuration, name)[1]}/manifest.json"]


def starting_point(files: Sequence[str]) -> str:
    """What a training script is told to start from: the one manifest, or the folder that the files lie in."""
    return files[0] if len(files) == 1 else Path(files[0]).parent.as_posix()


def files_of_model(configuration: "Configuration", run: str, key: str, folder: str) -> list[str]:
    """The files of a folder in the Hugging Face layout that a run names under a key."""
    found = (path for path in Path(folder).glob("*") if path.is_file() and not passed_over(path.name))
    files = sorted(path.as_posix() for path in found)
    where = f"{find('runs', run, *configuration.folders)}, key {key}"
    odd = next(filter(ODD.search, files), None)
    if odd is not None:
        raise AbovoError(f"the path {odd!r} holds a brace or a control character", where, "rename it")
    if f"{Path(folder).as_posix()}/config.json" not in files:
        raise AbovoError(f"{folder} has no config.json", where, "name a folder in the Hugging Face layout")
    return files


def starts(configuration: "Configuration", name: str) -> list[str]:
    """A run, the one that it starts from, and so on to the one that starts anew or from a folder."""
    seen, start = [name], configuration.run(name).start
    while start is not None and "/" not in start:
        where = f"{find('runs', seen[-1], *configuration.folders)}, key start"
        if start in seen:
            circle = ", ".join([*seen, start])
            raise AbovoError(f"runs start from each other: {circle}", where, "let one start anew")
        find("runs", start, *configuration.folders, asked=where)
        seen.append(start)
        start = configuration.run(start).start
    return seen
