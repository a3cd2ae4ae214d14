"""Turn a corpus into one whose files are found, and check that it fits the runs that train on it."""

from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from abovo.errors import AbovoError
from abovo.settings.corpus import Corpus
from abovo.settings.decontamination import DecontaminationFile

Rooted = TypeVar("Rooted", Corpus, DecontaminationFile)


def rooted(part: Rooted, group: str) -> Rooted:
    """A corpus or a group of evaluation sets with its `folder` put before the paths of its local `group`."""
    if part.folder is None:
        return part
    folder, sources = Path(part.folder), {}
    for name, source in getattr(part, group).items():
        given = [source.paths] if isinstance(source.paths, str) else source.paths
        sources[name] = replace(source, paths=tuple((folder / path).as_posix() for path in given))
    changed: dict[str, Any] = {"folder": None, group: sources}
    return replace(part, **changed)


def check_tasks(corpus: Corpus, covered: Container[str], tasks: Iterable[str], where: str) -> None:
    """Refuse a corpus of public text for a run that is scored on public tasks which it was not cleaned of.

    `covered` are the tasks of the corpus' `decontaminate.against`; text that packages carry is not public web text.
    """
    allowed = corpus.decontaminate.unchecked == "allow"
    if allowed or all(source.type == "package" for source in corpus.sources.values()):
        return
    missing = [task for task in tasks if task not in covered]
    if missing:
        mend = (
            "name in `against` a file of config/decontamination that lists the task, or set unchecked: allow to train"
            " on text that may hold the answers"
        )
        raise AbovoError(
            f"not decontaminated against {', '.join(missing)}, which its run is scored on",
            f"{where}, key decontaminate", mend,
        )  # fmt: skip
