"""Turn a corpus into one whose files are found, and check that it fits the runs that train on it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError


def rooted(part: Mapping[str, Any], group: str) -> dict[str, Any]:
    """A corpus or a group of evaluation sets with its `folder` put before the paths of its local `group`."""
    folder, sources = part["folder"], {}
    for name, source in part[group].items():
        given = [source["paths"]] if isinstance(source["paths"], str) else source["paths"]
        paths = [(Path(folder) / path).as_posix() for path in given] if folder else source["paths"]
        sources[name] = {**source, "paths": paths}
    return {key: value for key, value in {**part, group: sources}.items() if key != "folder"}


def check_tasks(corpus: Mapping[str, Any], sets: Mapping[str, Any], tasks: Iterable[str], where: str) -> None:
    """Refuse a corpus of public text for a run that is scored on public tasks which it was not cleaned of.

    `sets` are those of the corpus' `decontaminate.against`; text that packages carry is not public web text.
    """
    settings = corpus["decontaminate"]
    if settings["unchecked"] == "allow" or all(source["type"] == "package" for source in corpus["sources"].values()):
        return
    covered = {task for one in sets.values() for task in one["tasks"]}
    missing = [task for task in tasks if task not in covered]
    if missing:
        mend = (
            "name in `against` sets of config/decontamination that list the task, or set unchecked: allow to train on"
            " text that may hold the answers"
        )
        raise AbovoError(
            f"not decontaminated against {', '.join(missing)}, which its run is scored on",
            f"{where}, key decontaminate", mend,
        )  # fmt: skip
