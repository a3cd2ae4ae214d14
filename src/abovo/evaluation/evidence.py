"""Write what a model made of each row of a task, a JSON line per row, and read it back: what every score is made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from abovo.corpus.shards import read_lines, write_lines
from abovo.errors import AbovoError
from abovo.evaluation.item import Item, Likely
from abovo.evaluation.metrics import best, row_scores
from abovo.provenance.hashing import sha256_json
from abovo.provenance.manifest import Manifest

Row = Mapping[str, Any]
# Rows that are cut are listed by id up to this many; all are counted.
LISTED = 50
# Kind of a set that is looked at and not scored.
PROMPTS = "prompts"


@dataclass(frozen=True)
class ScoredSet:
    """One set of a task as a model was scored on it: a line of evidence per row, and how it was done."""

    name: str
    kind: str
    rows: Sequence[Row]
    protocol: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    """What a manifest says of it besides."""

    def described(self) -> dict[str, Any]:
        """What the manifest of the task says of the set."""
        cut = [row["id"] for row in self.rows if row.get("cut")]
        return {
            "kind": self.kind,
            "rows": len(self.rows),
            "cut": {"rows": len(cut), "tokens": sum(row.get("cut", 0) for row in self.rows), "ids": cut[:LISTED]},
            "protocol": dict(self.protocol),
            **self.about,
        }


def evidence(kind: str, item: Item, scored: Sequence[Likely]) -> dict[str, Any]:
    """The line of one row: what was asked, what each option got, what follows for each metric of the kind."""
    options = [option_line(option, one) for option, one in zip(item.options, scored, strict=True)]
    row: dict[str, Any] = {"set": item.set, "id": item.id}
    row |= {key: value for key in ("document", "source") if (value := getattr(item, key)) is not None}
    row |= {"prompt": prompt_hash(item), "options": options}
    if len(options) > 1:
        row["prediction"] = best([one.log_likelihood for one in scored])
    if item.gold is not None:
        row["gold"] = item.gold
    if item.sizes:
        row["sizes"] = dict(item.sizes)
    row["scores"] = row_scores(kind, item, scored)
    cut = sum(one.cut for one in scored)
    return row | ({"cut": cut} if cut else {})


def option_line(text: str, scored: Likely) -> dict[str, Any]:
    """What an option got; its size is without the separator, as accuracies per character and byte count it."""
    bare = text.lstrip()
    return {
        "log_likelihood": scored.log_likelihood,
        "greedy": scored.greedy,
        "tokens": scored.tokens,
        "characters": len(bare),
        "bytes": len(bare.encode("utf-8", "surrogatepass")),
    }


def prompt_hash(item: Item) -> str:
    """What tells equal questions: the first 16 digits of the sha256 of all texts of an item."""
    return sha256_json([list(item.contexts), list(item.options)])[:16]


def write_evidence(path: Path, rows: Iterable[Row]) -> None:
    write_lines(path, (orjson.dumps(row) + b"\n" for row in rows))


def read_evidence(manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    """Set -> its rows, in their order, from the file that lies beside a task's manifest.

    Raises AbovoError where it is missing, or not the one that the manifest lists.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in manifest["sets"]}
    for row in _rows(manifest):
        found[row["set"]].append(row)
    for name, rows in found.items():
        if len(rows) != manifest["sets"][name]["rows"]:
            what = f"{len(rows)} rows of set {name}, the manifest says {manifest['sets'][name]['rows']}"
            raise AbovoError(what, manifest.path, f"remove {manifest.path} and make it again")
    return found


def _rows(manifest: Manifest) -> Iterator[dict[str, Any]]:
    name = rows_file(manifest.path)
    for line in read_lines(manifest.file(name), None, manifest.path):
        yield orjson.loads(line)


def rows_file(output: Path) -> str:
    """The name of the rows beside the manifest of a task."""
    return f"{output.stem}.rows.jsonl.zst"
