"""Turn a task into items: the rows of its sets with their texts rendered as they are scored, and checked."""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from abovo.corpus.records import Row, known
from abovo.corpus.row_text import as_text, text_of, value_of
from abovo.corpus.task_rows import TaskRows, id_of, open_task_rows
from abovo.errors import AbovoError
from abovo.evaluation.item import Item
from abovo.settings.task import Task

# What stands between an example and what follows it, as lm-eval has it.
BETWEEN = "\n\n"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What the answers of yes/no questions may be called, for the last and the first of two options.
WORDS = {"true": True, "yes": True, "false": False, "no": False}
# An expression that reads a value of a row and makes nothing of it.
READ = re.compile(r"\w+(?:\.\w+|\[[^]]*\])*")
# Longest name of a document that is kept as it is (characters).
NAME = 64


@dataclass(frozen=True)
class OpenedTask:
    """A task whose data were found; `revision` says by set what exactly they are."""

    task: Task
    rows: TaskRows
    pool: TaskRows | None

    @property
    def revision(self) -> Mapping[str, Any]:
        return {**self.rows.revision, **({"shots": self.pool.revision} if self.pool else {})}

    def items(self) -> Iterator[Item]:
        """All rows in their order. Raises AbovoError with file and row for one that cannot be scored as it is."""
        numbers: dict[str, int] = {}
        seen: dict[tuple[str, str], str] = {}
        for name, row in self.rows.read():
            number = numbers[name] = numbers.get(name, -1) + 1
            item = _item(self.task, name, number, row)
            if seen.setdefault((name, item.id), row.where) != row.where:
                what = f"is named {item.id!r} as the row at {seen[name, item.id]} is"
                raise AbovoError(what, row.where, "mend the row, or `id` of the task")
            others = (text for where, text in self._examples_of(name) if where != item.where)
            yield _after(item, list(itertools.islice(others, self.task.shots)))

    def _examples_of(self, name: str) -> list[tuple[str, str]]:
        """The examples of a set: (where, prompt with its answer), one more than `shots` where they are its own rows."""
        if not self.task.shots:
            return []
        pool, wanted = self.pool or self.rows, self.task.shots + (self.pool is None)
        found = self._examples.get(name, [])
        if len(found) < wanted:
            what = f"has {len(found)} rows, too few for {self.task.shots} examples"
            raise AbovoError(
                what + " beside the row that is asked" * (self.pool is None), pool.where(name), "lower `shots`"
            )
        return found

    @cached_property
    def _examples(self) -> dict[str, list[tuple[str, str]]]:
        """By set, one row more than `shots`, those with the smallest hashes: (where, prompt with its answer)."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        pool = self.pool or self.rows
        for number, (name, row) in enumerate(pool.read()):
            key = hashlib.sha256(f"{self.task.shots_seed}/{name}/{number}".encode()).hexdigest()
            kept = found.setdefault(name, [])
            if len(kept) <= self.task.shots or key < kept[-1][0]:
                item = _item(self.task, name, number, row)
                kept.append((key, row.where, _example(item)))
                kept.sort()
                del kept[self.task.shots + 1 :]
        return {name: [(where, text) for _, where, text in kept] for name, kept in found.items()}


def open_task(task: Task) -> OpenedTask:
    """Find the data of a task.

    Raises Unreachable where they cannot be had now, which costs the task alone, and AbovoError for what is wrong.
    """
    rows = open_task_rows(task)
    pool = open_task_rows(task, task.shots_from) if task.shots and task.shots_from else None
    return OpenedTask(task, rows, pool)


def _item(task: Task, name: str, number: int, row: Row) -> Item:
    """A row rendered by the keys of its task, without examples before it."""
    common: dict[str, Any] = {
        "set": name,
        "id": id_of(task, number, row),
        "where": row.where,
        "document": _document(task, row),
    }
    if task.kind == "rolling":
        text = _filled(text_of(task.text, row, "text"), row, "text")
        whole = text if task.size_of is None else text_of(task.size_of, row, "size_of")
        sizes = {"bytes": len(whole.encode("utf-8", "surrogatepass")), "words": len(re.split(r"\s+", whole))}
        return Item(contexts=("",), options=(text,), sizes=sizes, **common)
    more = {"text": text_of(task.text, row, "text")} if task.kind == "last_word" else {}
    if task.kind == "generation":
        prompts = _prompts(task, row, 1, more)
        return Item(contexts=prompts, options=(), answer=_expected(task, row), **common)
    options = _options(task, row, more)
    contexts = _prompts(task, row, len(options), more)
    if task.kind == "last_word":
        gold = 0
    else:
        _refuse_equal(task, row, contexts, options)
        gold = _gold(task, row, options)
    return Item(contexts=contexts, options=tuple(task.separator + one for one in options), gold=gold, **common)


def _options(task: Task, row: Row, more: Mapping[str, Any]) -> list[str]:
    if isinstance(task.options, str):
        found = value_of(task.options, row, "options", **more)
        if not isinstance(found, Sequence) or isinstance(found, str):
            raise AbovoError(f"gives {type(found).__name__}, not a list", row.where, "mend `options` of the task")
        options = [as_text(one, row, "options") for one in found]
    else:
        options = [_option(one, row, more) for one in task.options]
    fewest, most = {"minimal_pair": (2, 2), "yes_no": (2, 2), "last_word": (1, 1)}.get(task.kind, (2, len(options)))
    if not fewest <= len(options) <= most:
        what = f"has {len(options)} options, where {task.kind} takes {fewest if fewest == most else 'two or more'}"
        raise AbovoError(what, row.where, "mend the row, or `options` of the task")
    return [_filled(option, row, "options") for option in options]


def _option(text: str, row: Row, more: Mapping[str, Any]) -> str:
    """What a column or a template of a list gives; a misspelt column would else be asked by its name in every row."""
    if text not in row.values and not any(mark in text for mark in ("{{", "{%")):
        mend = "mend `options` of the task; words that are the same for all rows are options: \"['no', 'yes']\""
        raise AbovoError(f"no column {text!r} ({known(row.values)})", row.where, mend)
    return text_of(text, row, "options", **more)


def _filled(text: str, row: Row, key: str) -> str:
    if not text.strip():
        what = "an option is empty" if key == "options" else f"`{key}` is empty"
        raise AbovoError(what, row.where, f"mend the row, or `{key}` of the task")
    return text


def _prompts(task: Task, row: Row, options: int, more: Mapping[str, Any]) -> tuple[str, ...]:
    """One context for each option."""
    if isinstance(task.prompt, str):
        return (text_of(task.prompt, row, "prompt", **more),) * options
    if len(task.prompt) != options:
        what = f"has {options} options, and `prompt` of the task {len(task.prompt)} texts"
        raise AbovoError(what, row.where, "give one for each option, or one for all")
    return tuple(text_of(one, row, "prompt", **more) for one in task.prompt)


def _refuse_equal(task: Task, row: Row, contexts: Sequence[str], options: Sequence[str]) -> None:
    whole = [(context, option.strip()) for context, option in zip(contexts, options, strict=True)]
    twice = next((one for one in whole if whole.count(one) > 1), None)
    if twice is not None and task.equal_options == "refuse":
        numbers = " and ".join(str(number) for number, one in enumerate(whole) if one == twice)
        what = f"options {numbers} are equal ({twice[1][:60]!r}), so no answer is right"
        raise AbovoError(what, row.where, "mend the row, or set `equal_options: keep` in the task")


def _gold(task: Task, row: Row, options: Sequence[str]) -> int:
    """The number of the right option, by number, letter, text, or true and false."""
    answer = task.answer
    value = answer if isinstance(answer, int) else value_of(answer, row, "answer", options=list(options))
    found = set(_meant(value, options))
    read = isinstance(answer, str) and (answer in row.values or READ.fullmatch(answer))
    if read and isinstance(value, int | float) and not isinstance(value, bool):
        # a number that is made by an expression is the option's; one of a file may as well be its text
        found |= {number for number, option in enumerate(options) if _number(option) == value}
    if len(found) == 1:
        return found.pop()
    shown = f"answer {value!r:.60}"
    if found:
        what = f"{shown} may mean several options ({', '.join(map(str, sorted(found)))})"
        mend = "say it by an expression: options.index(COLUMN) for its text, COLUMN | int for its number"
        raise AbovoError(what, row.where, f"mend `answer` of the task; {mend}")
    what = f"{shown} is none of its {len(options)} options"
    raise AbovoError(what, row.where, "mend the row, or `answer` of the task (numbers count from 0)")


def _meant(value: Any, options: Sequence[str]) -> Iterator[int]:
    """Numbers of the options that an answer may mean."""
    if isinstance(value, bool):
        if len(options) == 2:
            yield int(value)
    elif isinstance(value, int | float):
        if value in range(len(options)):
            yield int(value)
    elif isinstance(value, str):
        word = value.strip()
        named = [number for number, option in enumerate(options) if option.strip() == word]
        yield from named
        if word.isascii() and word.isdigit() and int(word) < len(options):
            yield int(word)
        if word.lower() in WORDS and len(options) == 2:
            yield int(WORDS[word.lower()])
        if len(word) == 1 and word in LETTERS[: len(options)]:
            yield LETTERS.index(word)
        if len(word) == 1 and word in LETTERS[: len(options)].lower() and not named:
            yield LETTERS.lower().index(word)  # a small letter may well be an option's text


def _number(text: str) -> float | None:
    """The number that a text is; numbers of a file became texts too."""
    try:
        return float(text)
    except ValueError:
        return None


def _expected(task: Task, row: Row) -> str:
    return _filled(as_text(value_of(str(task.answer), row, "answer"), row, "answer"), row, "answer")


def _document(task: Task, row: Row) -> str | None:
    """The name of the document that a row is of, or its hash where it is long."""
    parts = [text_of(one, row, "document") for one in task.document]
    if not any(part.strip() for part in parts):
        return None
    whole = "\n".join(parts)
    return whole if len(whole) <= NAME and whole.isprintable() else hashlib.sha256(whole.encode()).hexdigest()[:16]


def _example(item: Item) -> str:
    """An item with its answer."""
    if item.answer is not None:
        return f"{item.contexts[0]} {item.answer}"
    gold = item.gold or 0
    return item.contexts[gold] + item.options[gold]


def _after(item: Item, examples: Sequence[str]) -> Item:
    """An item with examples before its contexts."""
    if not examples:
        return item
    before = BETWEEN.join([*examples, ""])
    return replace(item, contexts=tuple(before + context for context in item.contexts))
