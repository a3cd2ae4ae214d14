"""Turn what a run asks of its data after its training into a refusal before it, where it cannot be had."""

import difflib
import functools
import importlib.util
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from abovo.corpus.consistency import NEEDED
from abovo.errors import AbovoError
from abovo.settings.corpus import Corpus
from abovo.settings.instruction import Instruction

# Kind of facts -> what reads the texts of packages that hold them.
READERS = {"speech": "speeches", "functions": "docstrings"}
# What names a task, or a group of them, in lm-eval's files; the word may stand alone in a list.
NAMING = r"(?m)^[ \t-]*(?:(?:task|group|tag)[ \t]*:[ \t]*(?:-[ \t]*)?)?[\"']?(%s)[\"']?[ \t]*(?:#.*)?$"


def check_facts(kinds: Sequence[str], corpora: Mapping[str, Corpus], where: str) -> None:
    """Raise AbovoError where facts of none of these kinds can be made of a corpus."""
    for name, corpus in corpora.items():
        readers = {source.reader for source in corpus.sources.values() if source.type == "package"}
        if kinds and not any(READERS[kind] in readers for kind in kinds):
            needed = " or ".join(READERS[kind] for kind in kinds)
            mend = "name another corpus, or let the evaluation be one without facts (facts: [])"
            raise AbovoError(f"corpus {name} has no {needed} of packages, which facts are made from", where, mend)


def check_instruction(settings: Instruction, corpus: Corpus | None, where: str) -> None:
    """Raise AbovoError where the keys of an instruction set do not fit together, or its facts cannot be made."""
    facts = settings.format == "facts"
    if facts != (corpus is not None) or facts != (settings.facts is not None) or facts != (settings.source is None):
        what = f"format {settings.format} does not go with the other keys"
        mend = "format facts needs `corpus` and `facts`, any other one needs `source`"
        raise AbovoError(what, f"{where}, key format", mend)
    if settings.facts is not None and corpus is not None:
        check_facts([settings.facts], {settings.corpus or "": corpus}, f"{where}, key facts")
    if settings.source is not None:
        key = NEEDED[settings.source.type]
        if not getattr(settings.source, key):
            raise AbovoError(f"a source of type {settings.source.type} needs `{key}`", f"{where}, key source", "set it")
    if settings.languages is not None and settings.format != "oasst":
        raise AbovoError("is for format oasst only", f"{where}, key languages", "remove it")


def check_public_tasks(tasks: Sequence[str], where: str) -> None:
    """Raise AbovoError for a task that no file of lm-eval names. Where lm-eval is not installed, its job tells it."""
    found = importlib.util.find_spec("lm_eval") if tasks else None
    if found is None or found.origin is None:
        return
    for task in tasks:
        if mend := _unknown(task, Path(found.origin).parent / "tasks"):
            raise AbovoError(f"lm-eval knows no task {task!r}", where, mend)


@functools.cache
def _unknown(task: str, folder: Path) -> str:
    """What is meant by a name that no file below the folder gives a task or group; nothing for one that has either."""
    # most stand in a folder of their name or family; only what none of those names costs a look into all
    words = {task, task.partition("_")[0]}
    places = [place for word in words for place in (folder / word, *folder.glob(f"*/{word}"))]
    likely = (file for place in places for file in place.glob("*.yaml"))
    if _named(likely, task) or _named(_task_files(folder), task):
        return ""
    close = difflib.get_close_matches(task, _named(_task_files(folder), r"[\w.-]+", every=True), 1)
    return f"did you mean {close[0]}?" if close else "lm-eval ls tasks shows all"


@functools.cache
def _task_files(folder: Path) -> tuple[Path, ...]:
    return tuple(
        Path(place, name) for place, _, names in os.walk(folder) for name in names if name.endswith((".yaml", ".yml"))
    )


def _named(files: Iterable[Path], pattern: str, every: bool = False) -> set[str]:
    """Words that name tasks in files and fit a pattern: the first one, or every one."""
    naming, found = re.compile(NAMING % pattern), set[str]()
    for file in files:
        found.update(naming.findall(file.read_text("utf-8", errors="replace")))
        if found and not every:
            break
    return found
