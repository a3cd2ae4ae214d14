"""Turn the file of a task into the task, its files found in their folder and its keys fit for its kind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from abovo.config.foreseen import is_offline
from abovo.corpus.consistency import NEEDED
from abovo.corpus.row_text import check_template
from abovo.corpus.task_rows import of_set
from abovo.errors import AbovoError
from abovo.settings.decontamination import Decontamination, DecontaminationFile
from abovo.settings.keys import narrow
from abovo.settings.task import Task, TaskFile, TaskRowsOf

# Kind of a task -> keys that it cannot do without.
WANTED = {
    "rolling": ("text",),
    "choice": ("options", "prompt"),
    "yes_no": ("prompt",),
    "minimal_pair": ("options",),
    "last_word": ("text",),
    "generation": ("prompt", "answer"),
}
# Kind of a task -> metrics that may stand for it.
METRICS = {
    "rolling": ("bits_per_byte", "word_perplexity", "byte_perplexity", "token_perplexity"),
    "choice": ("accuracy", "accuracy_per_character", "accuracy_per_byte"),
    "yes_no": ("accuracy",),
    "minimal_pair": ("accuracy",),
    "last_word": ("accuracy", "word_perplexity"),
    "generation": ("exact_match",),
}
# What a kind has where the file says nothing.
USUAL: dict[str, dict[str, Any]] = {
    "yes_no": {"options": "['no', 'yes']"},
    "last_word": {"prompt": "{{text.split(' ')[:-1] | join(' ')}}", "options": ("{{text.split(' ')[-1]}}",)},
}
TEMPLATES, EXPRESSIONS = ("text", "size_of", "prompt", "options", "document"), ("options", "answer")


def task_of(file: TaskFile, name: str, where: str) -> Task:
    """The task called `name`. Raises AbovoError with the key where keys do not fit together."""
    source, folder = file.source, Path(file.folder or "")
    if not getattr(source, NEEDED[source.type]):
        what = f"a source of type {source.type} needs `{NEEDED[source.type]}`"
        raise AbovoError(what, f"{where}, key source", "set it")
    given = (source.paths,) if isinstance(source.paths, str) else source.paths
    labels = source.labels and (folder / source.labels).as_posix()
    source = replace(source, paths=tuple((folder / path).as_posix() for path in given), labels=labels)
    usual = {key: value for key, value in USUAL.get(file.kind, {}).items() if not getattr(file, key)}
    task = narrow(Task, file, name=name, source=source, **usual)
    _check(task, where)
    return task


def decontamination(
    file: DecontaminationFile, folder: str | None, task: Callable[[str, str | None], Task], where: str
) -> Decontamination:
    """The sets of a file with the rows of its tasks; `task` gives the task of a name, its files in `folder`."""
    both = sorted(set(file.tasks) & set(file.sets))
    if both:
        raise AbovoError(f"{both[0]} is a set and a task", f"{where}, key sets", "keep one, or rename the set")
    if not file.tasks and not file.sets:
        raise AbovoError("names neither tasks nor sets", where, "name what corpora are to be cleaned of")
    return narrow(Decontamination, file, tasks={name: narrow(TaskRowsOf, task(name, folder)) for name in file.tasks})


def local_paths(task: TaskRowsOf) -> list[str]:
    """Files and folders of this machine that the sets of a task lie in."""
    if task.source.type != "local":
        return []
    sources = [of_set(task.source, name) for name in task.sets or (task.name,)]
    return list(dict.fromkeys(path for one in sources for path in (*one.paths, *filter(None, [one.labels]))))


def out_of_reach(task: Task) -> str:
    """Why a task's scores will be absent, as far as it can be told without asking anybody; "" where they may be had."""
    missing = [path for path in local_paths(task) if not Path(path).exists()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        return f"{missing[0]}{more} does not exist"
    if task.source.type == "huggingface" and is_offline():
        return f"data set {task.source.dataset} is of the hub, and the network is off (HF_HUB_OFFLINE)"
    return ""


def _check(task: Task, where: str) -> None:
    for key in WANTED[task.kind]:
        if not getattr(task, key):
            read = "; texts that are only to be read belong under `prompts` of the evaluation" * (key == "answer")
            raise AbovoError(f"a task of kind {task.kind} needs `{key}`", f"{where}, key {key}", f"set it{read}")
    if task.metric is not None and task.metric not in METRICS[task.kind]:
        what = f"{task.metric} is no metric of kind {task.kind}"
        raise AbovoError(what, f"{where}, key metric", f"choose among {', '.join(METRICS[task.kind])}")
    if task.sets and not any("{set}" in text for text in _named(task)):
        raise AbovoError("has sets, and a source without {set}", f"{where}, key sets", "say where each set lies")
    if task.sets and task.set_column:
        raise AbovoError("stands beside `sets`", f"{where}, key set_column", "keep one")
    if task.kind == "minimal_pair" and not isinstance(task.options, str) and len(task.options) != 2:
        raise AbovoError(f"a pair has two sentences, not {len(task.options)}", f"{where}, key options", "name two")
    if task.kind == "rolling" and task.shots:
        raise AbovoError("a rolling task has no examples", f"{where}, key shots", "remove it")
    if task.shots_from and task.source.type != "huggingface":
        what = "names a split of the hub, and the source is local"
        raise AbovoError(what, f"{where}, key shots_from", "remove it: examples are other rows of the file")
    for key in dict.fromkeys((*TEMPLATES, *EXPRESSIONS)):
        value = getattr(task, key)
        for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
            expression = key in EXPRESSIONS and isinstance(value, str)
            if wrong := check_template(text, expression=expression):
                kind = "expression" if expression else "template"
                raise AbovoError(
                    f"{text!r} is no {kind}: {wrong}", f"{where}, key {key}", "mend it; a column is NAME or row['NAME']"
                )


def _named(task: Task) -> list[str]:
    source = task.source
    paths = (source.paths,) if isinstance(source.paths, str) else source.paths
    return [*paths, *filter(None, (source.config, source.split, source.labels))]
