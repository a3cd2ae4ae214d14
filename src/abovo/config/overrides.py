"""Turn the words of `--config set="..."` into the values that are laid over config files for one call.

    RUN.KEY=VALUE               a key of the run's file
    RUN.PART.KEY=VALUE          a key of a part: model, tokenizer, corpus, training, engine, cpt, sft or evaluation
    RUN.KIND.NAME.KEY=VALUE     a key of a named part that the run uses: corpora, instruction, decontamination or tasks
    KIND.NAME.KEY=VALUE         a key of a part that makes an artifact under its own name, whatever run uses it

Commas part the items; one that belongs to a value stands in brackets, in quotes or behind a backslash. Values are read
as those of files are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from abovo.config.containers import KEY
from abovo.errors import AbovoError
from abovo.settings.strict_yaml import read_value

SET = "--config set"
SYNTAX = 'write set="RUN.KEY=VALUE,RUN.KEY=VALUE"'
# Parts that make artifacts under their own name, shared by runs: as a run's file names the one, and as their folder.
SHARED_PARTS = {"tokenizer": "tokenizers", "corpus": "corpora", "evaluation": "evaluation"}
# Words by which they are called, and their folders.
TASKS = "evaluation/tasks"
SHARED_KINDS = {word: word for word in ("corpora", "tokenizers", "instruction", "evaluation", "decontamination")}
SHARED_KINDS["tasks"] = TASKS
SHARED_GROUPS = ("corpora", "instruction", "decontamination", "tasks")
# Keys that name a file, keys of which may be given beside the name.
NAMES_OF_PARTS = ("model", "training", "engine", "cpt", "cpt.training", "sft", "sft.training")
OPENING, CLOSING, QUOTES = "[{", "]}", "\"'"


@dataclass(frozen=True)
class Given:
    """One item: its key as it was given, the run that it is of, and the part, where it is of a part with a name."""

    key: str
    value: Any
    run: str | None
    kind: str | None
    """Folder of the part; None for a key of the run or of a part of its own."""
    name: str | None
    """Name of the part; None where the run's file says it."""
    inner: str
    """The key in the run's file or in that of the part."""

    @property
    def where(self) -> str:
        return f"{SET}, key {self.key}"


@dataclass(frozen=True)
class Overrides:
    """Values for one call: `runs[name]` and `shared[(kind, name)]` map dotted keys to values."""

    items: Sequence[Given] = ()
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shared: Mapping[tuple[str, str], Mapping[str, Given]] = field(default_factory=dict)


def known_keys(config: Mapping[str, Any], runs: Sequence[str], alone: bool, files: Mapping[str, Any]) -> str:
    """The text of `set` in Snakemake's config. Raises AbovoError for keys that nothing takes, and where that of one of
    its `files` (path -> `set`) is not the one that counts: of several Snakemake keeps the last.

    A project that imports the workflow has keys of its own, so there (not `alone`) only what looks like one of ours is
    refused.
    """
    for key in config:
        mine = key.lower() in ("sets", "st", "se", "set", "overrides") or key.partition(".")[0] in runs
        if key not in ("set", KEY) and (alone or mine):
            raise AbovoError(f"nothing takes {key}", f"--config {key}", f"values are given by set: {SYNTAX}")
    text = config.get("set")
    if text is not None and not isinstance(text, str | int | float):
        mend = "leave no blank behind a colon; a list stands in brackets behind its key"
        raise AbovoError("is read as YAML with keys or a list", SET, mend)
    lost = next((path for path, values in files.items() if values and values != text), None)
    if lost is not None:
        raise AbovoError(f"{lost} has values too, which would be lost", SET, "write all values in one place")
    return "" if text is None else str(text)


def refuse_lost(arguments: Sequence[str]) -> None:
    """Raise AbovoError where a command line gives values that Snakemake drops: of two `set` it keeps the last."""
    options = [word for word in arguments if word == "--config" or word.startswith(("--config=", "-C"))]
    if len(options) > 1:
        raise AbovoError("--config stands twice, and only the last one counts", "command line", "write all behind one")
    words = (word.removeprefix("--config=").removeprefix("-C") for word in arguments)
    if sum(word.startswith("set=") for word in words) > 1:
        raise AbovoError("set= stands twice, and only the last one counts", "command line", SYNTAX)


def parse(text: str) -> list[Given]:
    """The items of a text. Raises AbovoError for what cannot be read, and for a key that stands twice."""
    found: list[Given] = []
    for item in filter(None, map(str.strip, _split(text))):
        key, equals, value = item.partition("=")
        words = [word.strip() for word in key.split(".")]
        if not equals or len(words) < 2 or not all(words):
            raise AbovoError(f"cannot read {item!r}", SET, SYNTAX)
        key = ".".join(words)
        found.append(_given(words, read_value(value.strip(), f"{SET}, key {key}")))
    return found


def _given(words: list[str], value: Any) -> Given:
    key, (first, second, *rest) = ".".join(words), words
    if first in SHARED_KINDS:
        if not rest:
            raise AbovoError("names a part and no key of it", f"{SET}, key {key}", f"write {first}.NAME.KEY=VALUE")
        return Given(key, value, None, SHARED_KINDS[first], second, ".".join(rest))
    if second in SHARED_GROUPS:
        if len(rest) < 2:
            raise AbovoError("names no key", f"{SET}, key {key}", f"write {first}.{second}.NAME.KEY=VALUE")
        return Given(key, value, first, SHARED_KINDS[second], rest[0], ".".join(rest[1:]))
    if second in SHARED_PARTS and rest:
        return Given(key, value, first, SHARED_PARTS[second], None, ".".join(rest))
    return Given(key, value, first, None, None, ".".join([second, *rest]))


def refuse_twice(items: Iterable[tuple[str, str, str]]) -> None:
    """Raise AbovoError where two items give one key of one file, or one gives a key inside of what the other gives.

    An item is (key in the file, key as it was given, where).
    """
    seen: dict[str, str] = {}
    for inner, given, where in items:
        for key, other in seen.items():
            short, long = sorted((inner, key), key=len)
            if short == long or (long.startswith(f"{short}.") and short not in NAMES_OF_PARTS):
                also = "" if other == given else f" ({other} too)"
                raise AbovoError(f"is given twice{also}", where, "keep one")
        seen[inner] = given


def _split(text: str) -> Iterator[str]:
    """The items between commas that stand in no brackets, in no quotes and behind no backslash."""
    item, depth, quote, before, letters = "", 0, "", "", iter(text)
    for letter in letters:
        if letter == "\\" and not quote:
            letter = next(letters, "\\")
            letter = letter if letter == "," else f"\\{letter}"
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES and before in ("=", ",", ":", *OPENING):
            quote = letter
        elif letter in OPENING:
            depth += 1
        elif letter in CLOSING:
            depth -= 1
        elif letter == "," and depth <= 0:
            yield item
            item, before = "", ","
            continue
        item += letter
        before = before if letter.isspace() else letter
    if depth > 0:
        raise AbovoError(f"a bracket is not closed in {item.strip()!r}", SET, "close it, or quote the value")
    yield item + quote  # Snakemake takes a quote away that ends the text
