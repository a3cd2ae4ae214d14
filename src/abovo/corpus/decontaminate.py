"""Turn evaluation sets into an index of their n-grams, and refuse or cut documents that share one with them.

Only the evaluation sets are held in memory (12 bytes per n-gram and a filter in front); the corpus streams past. The
unit is that of Brown et al. 2020 (arXiv:2005.14165, appendix C): 13 consecutive words in common, normalised. They
pass over n-grams that more than ten documents share, which needs the whole corpus at once. Here stock phrases are told
from passages by their length: a document goes when it holds `least_ngrams` n-grams of one row, or `least_share` of a
short row's.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import orjson

from abovo.corpus.clean import clean
from abovo.corpus.keys import CONTAMINATED, Part
from abovo.corpus.ngram_index import NgramIndex, in_order
from abovo.corpus.ngrams import PlainWords
from abovo.corpus.records import Row, known
from abovo.corpus.sources import Rows, open_rows, tell_unread
from abovo.corpus.task_rows import open_task_rows
from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.corpus import Corpus
from abovo.settings.decontamination import Decontamination
from abovo.settings.keys import decisive
from abovo.settings.task import TaskRowsOf

SCHEMA = "abovo/decontamination/1"
# How much makes a passage; the manifest repeats it.
RULE = ("ngram", "least_ngrams", "least_share")
# Files of an index: the hashes in order, and the number of the row of each.
INDEX = {"hashes.bin": "<u8", "rows.bin": "<u4"}
Hit = dict[str, Any]
# Lists of parts that are open at once while they are merged.
MOST_LISTS = 64


def index_evaluation_sets(settings: Decontamination, output: Path, script: Script | Path) -> Manifest:
    """Write the index of the evaluation sets in `settings`: `ngram` (words), the least in common, and the sets.

    A row of a set is the text of its columns, one after the other; a list (of endings, of options) and A|B give one
    text for each of their elements. Rows with fewer words than an n-gram has cannot be found; they are counted as too
    short.
    """
    opened = {name: _of_task(task) for name, task in settings.tasks.items()}
    opened |= {name: _Set(one.tasks, one.columns, open_rows(one)) for name, one in settings.sets.items()}
    revisions = {name: one.rows.revision for name, one in opened.items()}
    unread = {name: one.rows.unread for name, one in opened.items()}
    for name, one in opened.items():
        tell_unread(f"evaluation set {name}", one.rows.unread)

    def make(folder: Path) -> Made:
        hashes: list[np.ndarray] = []
        sets: dict[str, Any] = {}
        for name, one in opened.items():
            first = len(hashes)
            hashes += (ngrams_of(row, one.columns, settings.ngram) for row in one.rows.read())
            sizes = [own.size for own in hashes[first:]]
            if not sum(sizes):
                what = f"none of its {len(sizes)} rows has {settings.ngram} words"
                raise AbovoError(what, f"evaluation set {name}", "check its split and columns")
            sets[name] = {
                "tasks": list(one.tasks), "revision": revisions[name], "rows": len(sizes), "too_short": sizes.count(0),
                "ngrams": sum(sizes), "first_row": first, "unread": unread[name],
            }  # fmt: skip
        for (name, kind), values in zip(INDEX.items(), in_order(hashes), strict=True):
            values.astype(kind).tofile(folder / name)
        rule = {key: getattr(settings, key) for key in RULE}
        return Made({"rows": len(hashes), "ngrams": sum(own.size for own in hashes)}, {**rule, "sets": sets})

    parameters = {**decisive(settings), "revisions": revisions, "unread": unread}
    return produce(Job(output, SCHEMA, {}, parameters, script), make)


class _Set(NamedTuple):
    """An evaluation set: the tasks that it scores, the columns that are a row's text (none: all of texts), its rows."""

    tasks: Sequence[str]
    columns: Sequence[str]
    rows: Rows


def _of_task(task: TaskRowsOf) -> _Set:
    found = open_task_rows(task)
    rows = Rows(dict(found.revision), lambda: (row for _, row in found.read()), found.unread)
    return _Set((task.name,), task.decontaminate, rows)


def ngrams_of(row: Row, columns: Sequence[str], size: int) -> np.ndarray:
    """The hashes of the different n-grams of a row's texts, in order; none for one that has fewer words.

    The text is that of the columns, one after the other, or where none are given each that the row holds. It is cleaned
    as documents are, so that nothing but its words is left to differ.
    """
    texts = [""] if columns else _all_texts(row)
    for column in columns:
        values = [_value(row, other) for other in column.split("|")]
        parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
        texts = [f"{text} {part or ''}" for text, part in itertools.product(texts, parts)]
    found = [PlainWords(clean(text, "prose")[0]).hashes(size) for text in texts]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *found]))


def _all_texts(row: Row) -> list[str]:
    """The texts that the columns of a row hold, alone or in lists."""
    lists = (value if isinstance(value, list) else [value] for value in row.values.values())
    return [one for values in lists for one in values if isinstance(one, str)]


def _value(row: Row, column: str) -> Any:
    """What a row holds under a column, or under `column.key` of one that holds keys: texts, or null for none."""
    value: Any = row.values
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise AbovoError(
                f"no column {column!r} ({known(row.values)})",
                row.where,
                "mend `columns`, or `decontaminate` of the task",
            )
        value = value[part]
    for one in value if isinstance(value, list) else [value]:
        if one is not None and not isinstance(one, str):
            raise AbovoError(
                f"column {column!r} holds {type(one).__name__}, not text",
                row.where,
                "mend `columns`, or `decontaminate` of the task",
            )
    return value


class Decontaminator:
    """Judges documents by the index of a manifest; `action` is `remove` or `cut`."""

    def __init__(self, manifest: Manifest, action: str) -> None:
        self.size: int = manifest["ngram"]
        self.act = ACTIONS[action]
        self.action, self.sets = action, dict(sorted(manifest["sets"].items(), key=lambda one: one[1]["first_row"]))
        hashes, rows = (np.fromfile(manifest.file(name), kind) for name, kind in INDEX.items())
        self.index = NgramIndex(hashes, rows)
        held = np.bincount(rows, minlength=manifest["counts"]["rows"])
        self.needed = np.clip(np.ceil(held * manifest["least_share"]), 1, manifest["least_ngrams"])
        self.names = np.array(list(self.sets))
        self.first_rows = np.array([one["first_row"] for one in self.sets.values()], np.uint32)

    def apply(self, text: str) -> tuple[str, Hit | None]:
        """The text and None where it shares nothing; else what is left of it ("" where removed) and what was found."""
        words = PlainWords(text)
        hashes = words.hashes(self.size)
        firsts = self.index.found(hashes)
        if not firsts.size:
            return text, None
        firsts, rows = self._passages(firsts, hashes[firsts])
        if not firsts.size:
            return text, None
        left = self.act(text, words, firsts, self.size)
        sets = self.names[np.searchsorted(self.first_rows, rows, "right") - 1]
        touched = {str(name): (rows[sets == name] - self.sets[name]["first_row"]).tolist() for name in np.unique(sets)}
        hit = {
            "action": self.action if left else "remove",
            "ngram": words.ngram(int(firsts[0]), self.size),
            "ngrams": int(firsts.size),
            "rows": touched,
        }
        return left, hit

    def _passages(self, firsts: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of n-grams in common those that belong to rows with enough of them, and the numbers of these rows."""
        different, which = np.unique(hashes, return_inverse=True)
        owners, rows = self.index.holders(different)
        numbers, counts = np.unique(rows, return_counts=True)
        enough = numbers[counts >= self.needed[numbers]]
        taken = np.isin(rows, enough)
        return firsts[np.isin(which, owners[taken])], enough


def _remove(text: str, words: PlainWords, firsts: np.ndarray, size: int) -> str:
    return ""


def _cut(text: str, words: PlainWords, firsts: np.ndarray, size: int) -> str:
    """The text without the lines that an n-gram in common touches: its paragraphs, in most corpora."""
    lines = text.split("\n")
    hit = np.zeros(len(lines) + 1, np.int64)
    begins, ends = words.lines(firsts, size)
    np.add.at(hit, begins, 1)
    np.subtract.at(hit, ends + 1, 1)
    kept = [line for line, touched in zip(lines, np.cumsum(hit)[:-1], strict=True) if not touched]
    return "\n".join(kept).strip("\n") if any(line.strip() for line in kept) else ""


# What becomes of a document that shares n-grams with an evaluation set.
ACTIONS: dict[str, Callable[[str, PlainWords, np.ndarray, int], str]] = {"remove": _remove, "cut": _cut}


def collect(
    index: Manifest, lists: Iterable[tuple[str, int | None, Sequence[Part]]], target: Path
) -> dict[str, dict[str, Any]]:
    """Put the lists of refused and cut documents, (source, first place that does not count, parts), into one file that
    names the source of each, in the order of the source, and return the overlap with each set."""
    with target.open("wb") as whole, TemporaryDirectory(dir=target.parent) as spare:
        for source, end, parts in lists:
            for line in _merged([partial(_listed, part, end) for part in parts], Path(spare)):
                del line["position"]
                whole.write(orjson.dumps({"source": source, **line}) + b"\n")
    return overlap(index, [target])


def _merged(lists: Sequence[Callable[[], Iterator[Hit]]], spare: Path) -> Iterator[Hit]:
    """The lines of lists that are each in order, in one order. Where there are more lists than files may be open, runs
    of them are merged into files first."""
    passes = 0
    while len(lists) > MOST_LISTS:
        paths = [spare / f"{passes}-{first}" for first in range(0, len(lists), MOST_LISTS)]
        for number, path in enumerate(paths):
            some = lists[number * MOST_LISTS : (number + 1) * MOST_LISTS]
            with path.open("wb") as file:
                file.writelines(orjson.dumps(line) + b"\n" for line in _merged(some, spare))
        lists, passes = [partial(_lines, path) for path in paths], passes + 1
    yield from heapq.merge(*(one() for one in lists), key=itemgetter("position"))


def _lines(path: Path) -> Iterator[Hit]:
    with path.open("rb") as file:
        yield from map(orjson.loads, file)


def _listed(part: Part, end: int | None) -> Iterator[dict[str, Any]]:
    """The lines of a part's list, which stand in the order of the source, as far as they count."""
    bounds = [bound for bound in (end, part.below) if bound is not None]
    for line in _lines(part.manifest.path.parent / CONTAMINATED):
        if all(line["position"] < bound for bound in bounds):
            yield line


def overlap(index: Manifest, lists: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Per set: documents that shared an n-gram with it, its rows that they touch, and the share of its rows.

    `lists` are files with one JSON object per line, as `Decontaminator.apply` describes a hit.
    """
    sets = index["sets"]
    documents = dict.fromkeys(sets, 0)
    touched = {name: np.zeros(one["rows"], bool) for name, one in sets.items()}
    for path in lists:
        with path.open("rb") as file:
            for line in file:
                for name, rows in orjson.loads(line)["rows"].items():
                    documents[name] += 1
                    touched[name][rows] = True
    return {
        name: {
            "documents": documents[name],
            "rows_touched": int(touched[name].sum()),
            "rows": one["rows"],
            "share": round(float(touched[name].mean()), 6),
        }
        for name, one in sets.items()
    }


def open_decontaminator(corpus: Corpus, path: Path | None) -> tuple[Decontaminator | None, dict[str, Manifest]]:
    """What judges the documents of a corpus, None where it names no evaluation sets, and the manifest that it uses."""
    settings = corpus.decontaminate
    if settings.against is None:
        return None, {}
    if path is None:
        raise AbovoError(f"is kept apart from {settings.against}", "corpus", "give its --decontamination")
    index = read_manifest(path, SCHEMA)
    return Decontaminator(index, settings.action), {"decontamination": index}
