"""Turn a task into the rows of its sets, read from files of this machine or from the hub."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from abovo.corpus.folders import Unread
from abovo.corpus.records import Row
from abovo.corpus.row_text import text_of
from abovo.corpus.sources import Rows, open_rows
from abovo.errors import AbovoError, Unreachable
from abovo.provenance.hashing import sha256_file
from abovo.provenance.tables import Table
from abovo.settings.task import TaskRowsOf, TaskSource

# Where a source names the set that it is read for.
PLACE = "{set}"


@dataclass(frozen=True)
class TaskRows:
    """The rows of a task, found: what exactly they are (`revision`, by set), and what their folders hold besides."""

    task: TaskRowsOf
    revision: Mapping[str, Any]
    opened: Mapping[str, Rows]
    unread: Unread

    def read(self) -> Iterator[tuple[str, Row]]:
        """(set, row) of all rows, in the order of the sets and of their rows.

        Raises AbovoError for a set without rows, and where the second file has not as many lines as there are rows.
        """
        for name, rows in self.opened.items():
            empty = True
            for row in self._of(name, rows):
                empty = False
                yield self._set_of(row, name), row
            if empty:
                raise AbovoError("holds no rows", self.where(name), "mend the task's `source`")

    def where(self, name: str) -> str:
        return f"task {self.task.name}" + ("" if name == self.task.name else f", set {name}")

    def _of(self, name: str, rows: Rows) -> Iterator[Row]:
        source = of_set(self.task.source, name)
        changed = RESHAPED[source.rows](rows.read())
        return changed if source.labels is None else _labelled(changed, Path(source.labels))

    def _set_of(self, row: Row, name: str) -> str:
        column = self.task.set_column
        if column is None:
            return name
        found = row.values.get(column)
        if not isinstance(found, str) or not found.replace("-", "").replace("_", "").isalnum():
            what = f"column {column!r} names no set: {found!r}"
            raise AbovoError(what, row.where, "a set's name is made of letters, digits, - and _")
        return found


def open_task_rows(task: TaskRowsOf, split: str | None = None) -> TaskRows:
    """Find the data of a task, at another `split` of the hub where one is given; nothing of them is read yet.

    Raises Unreachable where a file is not there or the hub cannot be reached, AbovoError for what else is wrong.
    """
    source = task.source if split is None else replace(task.source, split=split)
    opened: dict[str, Rows] = {}
    for name in task.sets or (task.name,):
        opened[name] = open_rows(of_set(source, name), by_line=source.rows != "pages")
        if source.type == "huggingface":
            # what a branch stands for is resolved once for all sets
            source = replace(source, revision=opened[name].revision["sha"])
    revision = {name: {**rows.revision, **_labels(of_set(source, name))} for name, rows in opened.items()}
    unread = {what: counts for rows in opened.values() for what, counts in rows.unread.items()}
    return TaskRows(replace(task, source=source), revision, opened, unread)


def id_of(task: TaskRowsOf, number: int, row: Row) -> str:
    """The name of a row: that of its column, or its number in its set, from 0, which lm-eval goes by."""
    return (text_of(task.id, row, "id") if task.id else "") or str(number)


def of_set(source: TaskSource, name: str) -> TaskSource:
    """The source of one set: its name in place of {set}."""
    paths = (source.paths,) if isinstance(source.paths, str) else source.paths
    named = {
        key: value.replace(PLACE, name) for key in ("config", "split", "labels") if (value := getattr(source, key))
    }
    return replace(source, paths=tuple(path.replace(PLACE, name) for path in paths), **named)


def _labels(source: TaskSource) -> dict[str, Any]:
    if source.labels is None:
        return {}
    path = Path(source.labels)
    if not path.is_file():
        raise Unreachable("the file does not exist", path, "mend `labels` of the task's source")
    return {"labels": {"name": path.name, "sha256": sha256_file(path), "bytes": path.stat().st_size}}


def _labelled(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    """The rows with a column `label` of the lines of a file; they are few, so all are held."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except UnicodeDecodeError:
        raise AbovoError("not UTF-8", path, "convert it: iconv -t utf-8") from None
    lines = lines[:-1] if not lines[-1] else lines
    number = 0
    for number, row in enumerate(rows, 1):
        if number > len(lines):
            raise AbovoError(f"has {len(lines)} lines, and no label for this row: {row.where}", path, "name another")
        yield Row(row.where, {**row.values, "label": lines[number - 1].strip()})
    if number < len(lines):
        raise AbovoError(f"has {len(lines)} lines for {number} rows", path, "name another file")


def _as_they_are(rows: Iterable[Row]) -> Iterator[Row]:
    yield from rows


def _pages(rows: Iterable[Row]) -> Iterator[Row]:
    """Whole files of WikiText as one row per article: at each heading of the first level a page begins.

    Its bytes are those of EleutherAI/wikitext_document_level, which parts the files so.
    """
    for row in rows:
        page: list[str] = []
        pages = [page]
        if not isinstance(text := row.values.get("text"), str):
            raise AbovoError("is no line of WikiText", row.where, "leave out `rows` of the task's source")
        for line in text.split("\n"):
            heading = line.replace("= = =", "===").replace("= =", "==").strip()
            if heading.startswith("= ") and heading.endswith(" ="):
                page = []
                pages.append(page)
            page.append(line)
        texts = ["\n".join(lines) for lines in pages]
        for number, text in enumerate((text for text in texts if text.strip()), 1):
            yield Row(f"{row.where}, page {number}", {"page": text})


def _both_ways(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        exchanged = {"Context1": "Context2", "Context2": "Context1", "Target1": "Target2", "Target2": "Target1"}
        missing = [name for name in exchanged if name not in row.values]
        if missing:
            raise AbovoError(f"no column {missing[0]!r}", row.where, "leave out `rows` of the task's source")
        turned = {name: row.values[other] for name, other in exchanged.items()}
        yield Row(f"{row.where}, exchanged", {**row.values, **turned})


# How rows are read -> what turns those of a file or data set into them.
RESHAPED: Table[Callable[[Iterable[Row]], Iterator[Row]]] = Table(
    {
        "as_they_are": "abovo.corpus.task_rows:_as_they_are",
        "pages": "abovo.corpus.task_rows:_pages",
        "both_ways": "abovo.corpus.task_rows:_both_ways",
    },
    chosen_by="source.rows",
)
