"""Write the rows of a task as they are asked, a JSON line each, and read them back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from abovo.corpus.shards import read_lines, write_lines
from abovo.provenance.manifest import Manifest

ITEMS = "items.jsonl.zst"


@dataclass(frozen=True)
class Item:
    """A row of a task as it is scored: `options[i]`, which begins with the separator, after `contexts[i]`.

    `gold` is the number of the right option, None where there is none; `sizes` are the bytes and words that a rolling
    task divides by; `answer` is the text that a generation is compared with. Rows of one `document` are not drawn
    apart; None is a row for itself.
    """

    set: str
    id: str
    where: str
    contexts: tuple[str, ...]
    options: tuple[str, ...]
    gold: int | None = None
    document: str | None = None
    source: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    answer: str | None = None


class Likely(Protocol):
    """What a model made of an option: see `scorer.Scored`, which needs torch and is not needed to read evidence."""

    @property
    def log_likelihood(self) -> float: ...
    @property
    def greedy(self) -> bool: ...
    @property
    def tokens(self) -> int: ...
    @property
    def cut(self) -> int: ...


def write_items(folder: Path, items: Iterable[Item]) -> None:
    write_lines(folder / ITEMS, (_line(item) for item in items))


def _line(item: Item) -> bytes:
    """What an item holds, without what it lacks."""
    return orjson.dumps({key: value for key, value in asdict(item).items() if value not in (None, {})}) + b"\n"


def read_items(manifest: Manifest) -> Iterator[Item]:
    """The items beside the manifest of a task. Raises AbovoError where they are not those that it lists."""
    for line in read_lines(manifest.file(ITEMS), None, manifest.path):
        values: dict[str, Any] = orjson.loads(line)
        texts = {key: tuple(values.get(key, ())) for key in ("contexts", "options")}
        yield Item(**{**values, **texts})
