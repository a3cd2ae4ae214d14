"""Turn what a run asks of its data or its model after its training into a refusal before it, where it cannot be had."""

import difflib
import functools
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from abovo.corpus.consistency import NEEDED
from abovo.errors import AbovoError
from abovo.facts.readers import READERS
from abovo.modeling.family import family_named
from abovo.settings.corpus import Corpus
from abovo.settings.export import Export
from abovo.settings.instruction import KEYS, Conversations, Instruction
from abovo.settings.model import Model

# What names a task, or a group of them, in lm-eval's files; the word may stand alone in a list.
NAMING = r"(?m)^[ \t-]*(?:(?:task|group|tag)[ \t]*:[ \t]*(?:-[ \t]*)?)?[\"']?(%s)[\"']?[ \t]*(?:#.*)?$"


def check_facts(kinds: Sequence[str], corpora: Mapping[str, Corpus], where: str) -> None:
    """Raise AbovoError where facts of none of these kinds can be made of a corpus."""
    for name, corpus in corpora.items():
        readers = {source.reader for source in corpus.sources.values() if source.type == "package"}
        if kinds and not any(READERS[kind] in readers for kind in kinds):
            needed = " or ".join(dict.fromkeys(READERS[kind] for kind in kinds))
            mend = "name another corpus, or let the evaluation be one without facts (facts: [])"
            raise AbovoError(f"corpus {name} has no {needed} of packages, which facts are made from", where, mend)


def check_instruction(settings: Instruction, corpus: Corpus | None, where: str) -> None:
    """Raise AbovoError where the keys of an instruction set do not fit together, or its facts cannot be made."""
    facts = settings.format == "facts"
    if facts != (corpus is not None) or facts != (settings.facts is not None) or facts == bool(settings.by_source):
        what = f"format {settings.format} does not go with the other keys"
        mend = "format facts needs `corpus` and `facts`, any other one needs `source` or `sources`"
        raise AbovoError(what, f"{where}, key format", mend)
    if settings.facts is not None and corpus is not None:
        check_facts([settings.facts], {settings.corpus or "": corpus}, f"{where}, key facts")
    if settings.sources:
        unset = Conversations()
        names = (one.name for one in fields(Conversations))
        beside = [name for name in names if getattr(settings, name) != getattr(unset, name)]
        if beside:
            mend = "say it of each of the `sources`"
            raise AbovoError("does not stand beside `sources`", f"{where}, key {beside[0]}", mend)
    for name, one in settings.by_source.items():
        _check_source(one, f"{where}, key sources.{name}." if settings.sources else f"{where}, key ")


def _check_source(settings: Conversations, at: str) -> None:
    """Raise AbovoError where the keys of one source of conversations do not fit together; `at` begins their names."""
    if settings.source is None:
        raise AbovoError("is missing", f"{at}source", "say where the records lie")
    needed = NEEDED[settings.source.type]
    if not getattr(settings.source, needed):
        what = f"a source of type {settings.source.type} needs `{needed}`"
        raise AbovoError(what, f"{at}source", "set it")
    for key, unset in (("languages", None), ("paths", "best")):
        if getattr(settings, key) != unset and settings.format not in ("oasst", "auto"):
            raise AbovoError("is for format oasst only", f"{at}{key}", "remove it")
    known = KEYS.get(settings.format) or tuple(sorted({key for keys in KEYS.values() for key in keys}))
    for key in settings.columns:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            mend = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise AbovoError(f"format {settings.format} has no key {key!r}", f"{at}columns", mend)


def check_export(settings: Export, model: Model, where: str) -> None:
    """Raise AbovoError for a form of GGUF that is asked for of a family that llama.cpp has not."""
    if settings.gguf and family_named(model.family).gguf is None:
        what = f"llama.cpp has no family {model.family}, so there is no GGUF of it"
        raise AbovoError(what, f"{where}, key export.gguf", "remove the key, and use the folder hf/ of the export")


def check_public_tasks(tasks: Sequence[str], own: Sequence[str], where: str) -> None:
    """Raise AbovoError for a task that no file of lm-eval names.

    `own` are the names of config/evaluation/tasks, which were looked through before. Where lm-eval is not installed,
    its job tells it.
    """
    folder = _tasks_of_lm_eval() if tasks else None
    for task in tasks:
        if folder and _file_of(task, folder) is None:
            close = difflib.get_close_matches(task, [*own, *_known(folder)], 1)
            mend = f"did you mean {close[0]}?" if close else "lm-eval ls tasks shows all of its own"
            what = f"neither config/evaluation/tasks nor lm-eval has {task!r}"
            raise AbovoError(what, where, mend)


def public_out_of_reach(task: str) -> str:
    """Why the scores of a task of lm-eval's own will be absent, as far as it can be told without asking anybody."""
    folder = _tasks_of_lm_eval()
    file = _file_of(task, folder) if folder and is_offline() else None
    data = _data_of(file) if file else ""
    gone = bool(data) and not _is_cached(data)
    return f"data set {data} is not in the cache, and the network is off (HF_HUB_OFFLINE)" if gone else ""


@functools.cache
def _tasks_of_lm_eval() -> Path | None:
    found = importlib.util.find_spec("lm_eval")
    return Path(found.origin).parent / "tasks" if found is not None and found.origin is not None else None


@functools.cache
def _file_of(task: str, folder: Path) -> Path | None:
    """The file that gives a task or group its name; most stand in a folder of their name or family."""
    words = {task, task.partition("_")[0]}
    places = [place for word in words for place in (folder / word, *folder.glob(f"*/{word}"))]
    naming = re.compile(NAMING % task)
    for files in (lambda: (file for place in places for file in place.glob("*.yaml")), lambda: _files(folder)):
        for file in files():
            if naming.search(_text(file)):
                return file
    return None


@functools.cache
def _known(folder: Path) -> list[str]:
    naming = re.compile(NAMING % r"[\w.-]+")
    return sorted({word for file in _files(folder) for word in naming.findall(_text(file))})


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names if name.endswith((".yaml", ".yml")))


def _text(file: Path) -> str:
    return file.read_text("utf-8", errors="replace")


def _data_of(file: Path, includes: int = 5) -> str:
    """The data set of the hub that a task's file names, or one that it includes; nothing where it is not so plain."""
    text = _text(file)
    if found := re.search(r"(?m)^dataset_path:[ \t]*[\"']?([\w./-]+)", text):
        return "" if found[1] in ("json", "csv", "parquet", "text") else found[1]
    found = re.search(r"(?m)^include:[ \t]*[\"']?([\w./-]+)", text)
    inner = file.parent / found[1] if found else file
    return _data_of(inner, includes - 1) if found and includes and inner.is_file() else ""


def is_offline() -> bool:
    """Whether Hugging Face's libraries are told to ask no server."""
    words = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    return any(word.upper() in ("1", "ON", "YES", "TRUE") for word in words)


def _is_cached(data: str) -> bool:
    """Whether a cache of Hugging Face's libraries holds a data set of this name, whoever its owner is called."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    home = Path(os.environ.get("HF_HOME", cache)).expanduser()
    hub, ready = os.environ.get("HF_HUB_CACHE", home / "hub"), os.environ.get("HF_DATASETS_CACHE", home / "datasets")
    name = data.rpartition("/")[2].lower()
    return any(path.name.lower().endswith(name) for place in (hub, ready) for path in Path(place).glob("*"))
