"""Turn a place in the rows back into the documents that lie there: {split}.docs holds 20 bytes for each document.

Its records follow the ids: where a document's first id stands in the split, how many ids it has, and which line of
which shard it is. Row i holds the ids i * sequence_length up to (i + 1) * sequence_length.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np

from abovo.corpus.decisions import decisions
from abovo.corpus.shards import Document, read_shard
from abovo.errors import AbovoError
from abovo.packing.bins import Split, read_index
from abovo.provenance.hashing import sha256_bytes
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus
from abovo.settings.keys import build

RECORD = np.dtype([("offset", "<u8"), ("ids", "<u4"), ("shard", "<u4"), ("line", "<u4")])
RECORDS_AT_ONCE = 4096


class Place(NamedTuple):
    """Where a document stands in its corpus: number of the shard and of the line in it, both from 0."""

    shard: int
    line: int


class DocumentIndex:
    """Writes `{split}.docs` beside a bin; constant memory."""

    def __init__(self, folder: Path, split: Split) -> None:
        self.file: IO[bytes] = (folder / f"{split}.docs").open("wb", 1 << 16)
        self.waiting: list[tuple[int, int, int, int]] = []

    def add(self, offset: int, ids: int, place: Place) -> None:
        """Note that the `ids` ids of the document at `place` begin with id number `offset` of the split."""
        self.waiting.append((offset, ids, *place))
        if len(self.waiting) == RECORDS_AT_ONCE:
            self._write()

    def append(self, path: Path, base: int) -> None:
        """Take over the records of another index whose ids were appended to the bin at id number `base`."""
        self._write()
        with path.open("rb") as file:
            while (part := np.fromfile(file, RECORD, RECORDS_AT_ONCE)).size:
                part["offset"] += np.uint64(base)
                self.file.write(part.tobytes())

    def _write(self) -> None:
        self.file.write(np.array(self.waiting, RECORD).tobytes())
        self.waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self._write()
        self.file.close()


def numbered_documents(corpus: Manifest) -> Iterator[tuple[Place, Document]]:
    """The documents of a corpus in its own order, each with its place."""
    for shard, name in enumerate(corpus.names("shards/")):
        expected = corpus["outputs"][name]["sha256"]
        for line, document in enumerate(read_shard(corpus.path.parent / name, expected, corpus.path)):
            yield Place(shard, line), document


class Piece(NamedTuple):
    """What of a document lies in a row: ids `begin` to `end` of the row are its ids from number `first` on.

    The last id of a document is its end-of-document token, unless the document goes on in the next row.
    """

    place: Place
    begin: int
    end: int
    first: int


def pieces_of_row(packed: Manifest, split: Split, row: int) -> list[Piece]:
    """The documents of which ids lie in a row, in order; ids after the last piece are padding.

    Raises AbovoError for a row that the split does not have, and for rows packed without `.docs`.
    """
    index = read_index(packed, split)
    length, number = index["sequence_length"], index["num_sequences"]
    if not 0 <= row < number:
        raise AbovoError(f"there is no row {row}", f"{packed.path}, split {split}", f"give 0 to {number - 1}")
    records = np.memmap(packed.file(f"{split}.docs"), RECORD, "r")
    start, stop = row * length, (row + 1) * length
    first = max(int(np.searchsorted(records["offset"], start, "right")) - 1, 0)
    last = int(np.searchsorted(records["offset"], stop, "left"))
    pieces = []
    for offset, ids, shard, line in records[first:last].tolist():
        begin, end = max(offset, start), min(offset + ids, stop)
        if begin < end:
            pieces.append(Piece(Place(shard, line), begin - start, end - start, begin - offset))
    return pieces


def documents_at(corpus: Manifest, places: list[Place]) -> dict[Place, Document]:
    """The documents at `places`; only the shards concerned are read, and each to its end, so that it is verified."""
    names, found = corpus.names("shards/"), {}
    for shard in sorted({place.shard for place in places}):
        name = names[shard]
        wanted = {place.line for place in places if place.shard == shard}
        expected: Any = corpus["outputs"][name]["sha256"]
        for line, document in enumerate(read_shard(corpus.path.parent / name, expected, corpus.path)):
            if line in wanted:
                found[Place(shard, line)] = document
    return found


def trace(packed: Manifest, corpus: Manifest, split: Split, row: int, token: int | None = None) -> list[dict[str, Any]]:
    """What is known of each document in a row, or of the one that holds id number `token` of the row.

    Source with its revision and licence, id and position, the ids that it holds, and what the filters that the corpus
    asked of its source say to its text.
    """
    if packed["inputs"].get("corpus", {}).get("digest") != corpus.digest:
        mend = "name the corpus that the rows were packed from"
        raise AbovoError(f"is not the corpus that {packed.path} was packed from", corpus.path, mend)
    pieces = pieces_of_row(packed, split, row)
    if token is not None:
        if not 0 <= token < packed["sequence_length"]:
            last = packed["sequence_length"] - 1
            raise AbovoError(f"a row has no id number {token}", "--token", f"give 0 to {last}")
        pieces = [piece for piece in pieces if piece.begin <= token < piece.end]
    found = documents_at(corpus, [piece.place for piece in pieces])
    return [_describe(corpus, piece, found[piece.place]) for piece in pieces]


def _of_file(revision: Any, id: str) -> Any:
    """A revision without the files of the source that the document did not come from."""
    files = revision.get("files") if isinstance(revision, dict) else None
    name = id.rpartition("#")[0] or id
    own = [file for file in files or () if isinstance(file, dict) and file.get("name") in (name, id)]
    return {**revision, "files": own} if own else revision


def _describe(corpus: Manifest, piece: Piece, document: Document) -> dict[str, Any]:
    about = corpus["sources"][document.source]
    shard = corpus.names("shards/")[piece.place.shard]
    return {
        "source": document.source,
        "type": about["type"],
        "revision": _of_file(about["revision"], document.id),
        "licence": about["licence"],
        "id": document.id,
        "position": {"shard": shard, "line": piece.place.line},
        "sha256_of_text": sha256_bytes(document.text.encode()),
        "ids_in_row": [piece.begin, piece.end],
        "first_id_in_document": piece.first,
        "beginning": document.text[:80],
        "decisions": decisions(document.text, build(Corpus, corpus["parameters"]), document.source),
    }
