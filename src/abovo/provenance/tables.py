"""Turn the name of a kind (a source type, filter, family, engine) into what carries it out, imported on use.

A table maps names to `module:NAME`. Nothing of an entry is imported, and nothing of it counts in the hash of a job's
code, unless the job's settings name it: a new entry, or a change of one that a job does not use, reruns nothing.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

Entry = TypeVar("Entry", covariant=True)


class Table(Mapping[str, Entry]):
    """Name -> what carries it out, in the order given.

    `chosen_by` says where settings name entries: dotted keys that end a key's path, `*` standing for any one key, such
    as `model.family` or `sources.*.type`; several of them in a tuple. `groups` are names for several entries at once.
    Write it at the top level of a module with literals alone, which `provenance.code` reads without importing anything.
    """

    def __init__(
        self,
        entries: Mapping[str, str],
        chosen_by: str | Sequence[str],
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.entries, self.chosen_by, self.groups = dict(entries), chosen_by, dict(groups or {})

    def __getitem__(self, name: str) -> Entry:
        module, _, attribute = self.entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def used(
    names: Sequence[str], patterns: Sequence[str], groups: Mapping[str, Sequence[str]], settings: Mapping[str, Any]
) -> list[str]:
    """Those of a table's `names` that settings name under one of the `patterns`, in the table's order.

    All of them where no setting has such a key: what is not known to be unused counts.
    """
    values = [value for path, value in _paths(settings) for pattern in patterns if _ends(path, pattern.split("."))]
    if not values:
        return list(names)
    given = [name for value in values for name in _names(value)]
    wanted = {name for one in given for name in groups.get(one, (one,))}
    return [name for name in names if name in wanted]


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(keys that lead to it, value) of every value at any depth; places in lists have no key."""
    if path:
        yield path, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Mapping):
                yield from _paths(item, path)


def _ends(path: Sequence[str], pattern: Sequence[str]) -> bool:
    end = path[-len(pattern) :]
    return len(end) == len(pattern) and all(want in ("*", key) for want, key in zip(pattern, end, strict=True))


def _names(value: Any) -> list[str]:
    """A name, several in a list, or those that a mapping has as keys."""
    if isinstance(value, str):
        return [value]
    return [name for name in value if isinstance(name, str)] if isinstance(value, Mapping | list | tuple) else []
