"""Turn a YAML file, or one value of a command line, into plain data: YAML 1.2 core, each key once, of bounded size.

PyYAML splits the text into events; what they mean is decided here, since its own reading is YAML 1.1, where `no` is
false, 010 is eight and 10:30 is 630. On top of the core, numbers may be written in groups: 1_200_000.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from abovo.errors import AbovoError

# A path of keys and places in lists.
Keys = tuple[str | int, ...]
# No config file comes near these; a file that goes beyond them is not one, or was made to fill the memory.
LARGEST_BYTES, MOST_VALUES, DEEPEST = 1 << 20, 20_000, 32
LONGEST_NUMBER = 200
WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
GROUPED = r"[-+]?(?:[0-9]+|[1-9][0-9]{0,2}(?:_[0-9]{3})+)"
WHOLE = re.compile(GROUPED)
REAL = re.compile(rf"(?:{GROUPED}(?:\.[0-9]*)?|[-+]?\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Read:
    """What a file says: its keys and values, and the line on which each of them stands (from 1)."""

    data: dict[str, Any]
    lines: Mapping[Keys, int]


def read_yaml(path: Path) -> Read:
    """The keys of a config file. Raises AbovoError with file, line and key for anything but plain, unambiguous YAML."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise AbovoError(f"cannot be read: {error.strerror}", path, "restore it, or mend its name") from None
    parser = _Parser(_decoded(content, path), str(path))
    data = parser.read()
    if not isinstance(data, dict):
        raise AbovoError("holds no keys", path, "write `key: value` lines")
    return Read(data, parser.lines)


def read_value(text: str, where: str) -> Any:
    """One value as it stands behind a key of a config file, of a single line."""
    return _Parser(text, where).read()


def _decoded(content: bytes, path: Path) -> str:
    if len(content) > LARGEST_BYTES:
        raise AbovoError("is larger than 1 MB", path, "a config file holds settings alone")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise AbovoError("is UTF-16, or no text at all", path, "save it as UTF-8, or remove it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise AbovoError("not UTF-8", f"{path}, line {line}", "save the file as UTF-8") from None
    for sign in "\x85\u2028\u2029":  # lines end at them in YAML 1.1, and not in 1.2
        if sign in text:
            line = text.count("\n", 0, text.index(sign)) + 1
            raise AbovoError(
                f"holds U+{ord(sign):04X}, where a line may end or not", f"{path}, line {line}", "remove it"
            )
    return text


@dataclass
class _Parser:
    """The events of one text, and what was made of them so far."""

    text: str
    where: str
    lines: dict[Keys, int] = field(default_factory=dict)
    # anchor -> its value and number of values; None while it is being read
    anchors: dict[str, tuple[Any, int] | None] = field(default_factory=dict)
    values: int = 0

    def read(self) -> Any:
        try:
            events: Iterator[Any] = yaml.parse(self.text, Loader=Loader)
            next(events)
            first = next(events)
            if isinstance(first, yaml.StreamEndEvent):
                return None
            if first.version not in (None, (1, 2)):
                raise self._error("says that it is YAML 1.1", first, (), "remove the line %YAML: files are YAML 1.2")
            data = self._value(next(events), events, ())
            next(events)
            if not isinstance(second := next(events), yaml.StreamEndEvent):
                raise self._error("a second document begins (---)", second, (), "keep one")
        except yaml.MarkedYAMLError as error:
            raise AbovoError(*self._unreadable(error)) from None
        except yaml.YAMLError as error:
            raise AbovoError(f"not valid YAML: {error}", self.where, "remove the character") from None
        return data

    def _unreadable(self, error: yaml.MarkedYAMLError) -> tuple[str, str, str]:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        place = f"{self.where}, line {line + 1}" if "\n" in self.text else self.where
        lines = self.text.splitlines()
        given = lines[line] if line < len(lines) else ""
        blanks = given[: len(given) - len(given.lstrip())]
        if "\t" in blanks or "\\t" in str(error.problem):
            return "a tab stands where YAML wants blanks", place, "indent with blanks"
        said = ", ".join(str(part) for part in (error.context, error.problem) if part)
        return f"not valid YAML: {said}", place, "mend the line, or quote the value"

    def _value(self, event: Any, events: Iterator[Any], keys: Keys) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, keys)
        if event.tag is not None:
            raise self._error(f"tag {event.tag}", event, keys, "tags are not read; write the value plainly")
        self._count(1, event, keys)
        anchor, before = event.anchor, self.values
        if anchor is not None:
            self.anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            made = self._scalar(event, keys)
        elif len(keys) == DEEPEST:
            raise self._error(f"nested more than {DEEPEST} deep", event, keys[:3], "no key goes so deep")
        elif isinstance(event, yaml.MappingStartEvent):
            made = self._mapping(events, keys)
        else:
            made = self._list(events, keys)
        if anchor is not None:
            self.anchors[anchor] = (made, self.values - before + 1)
        return made

    def _mapping(self, events: Iterator[Any], keys: Keys) -> dict[str, Any]:
        """Keys are texts whatever they look like: a name may be `no` or 2024."""
        made: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or not event.value:
                raise self._error("a key that is no plain text", event, keys, "write `key: value`")
            name, line = event.value, _line(event)
            if name in made:
                what = f"stands twice, on line {lines[name]} too"
                raise self._error(what, event, (*keys, name), "keep one, or rename it")
            lines[name] = self.lines[*keys, name] = line
            made[name] = self._value(next(events), events, (*keys, name))
        return made

    def _list(self, events: Iterator[Any], keys: Keys) -> list[Any]:
        made: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            self.lines[*keys, len(made)] = _line(event)
            made.append(self._value(event, events, (*keys, len(made))))
        return made

    def _alias(self, event: Any, keys: Keys) -> Any:
        if event.anchor not in self.anchors:
            raise self._error(f"no anchor &{event.anchor} stands before it", event, keys, "write the value itself")
        found = self.anchors[event.anchor]
        if found is None:
            raise self._error(f"*{event.anchor} holds itself", event, keys, "write the value itself")
        value, size = found
        self._count(size, event, keys)
        # of its own, so that a value that is laid over one of them changes no other
        return copy.deepcopy(value)

    def _count(self, more: int, event: Any, keys: Keys) -> None:
        self.values += more
        if self.values > MOST_VALUES:
            raise self._error(f"more than {MOST_VALUES:,} values", event, keys, "a config file holds fewer")

    def _scalar(self, event: Any, keys: Keys) -> Any:
        text = event.value
        if not event.implicit[0] or len(text) > LONGEST_NUMBER:
            return text
        if text in WORDS:
            return WORDS[text]
        if LEADING_ZERO.fullmatch(text):
            mend = f"write {text.replace('0', '', 1)} without the zero before it, or quote it if it is a name"
            raise self._error(f"{text} is octal to some readers and decimal to others", event, keys, mend)
        if OTHER_BASE.fullmatch(text):
            return int(text, 0)
        if WHOLE.fullmatch(text):
            return int(text)
        if SPECIAL.fullmatch(text):
            return float(text.replace(".", ""))
        return float(text) if REAL.fullmatch(text) else text

    def _error(self, what: str, event: Any, keys: Keys, mend: str) -> AbovoError:
        line = f", line {_line(event)}" if "\n" in self.text else ""
        key = f", key {'.'.join(map(str, keys))}" if keys else ""
        return AbovoError(what, f"{self.where}{line}{key}", mend)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
