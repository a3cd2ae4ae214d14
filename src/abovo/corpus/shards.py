"""Write documents to compressed shards, and read the documents of a corpus back, each shard checked on the way."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import orjson
import zstandard

from abovo.corpus.split import document_hash, is_validation
from abovo.corpus.zst import zstd_lines
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest

# Level and thread count are part of the bytes, so they are the same on every machine.
LEVEL = 3
# For files that are read once by the next job.
FAST_LEVEL = 1
Split = Literal["train", "val"]


@dataclass(frozen=True)
class Document:
    """One document of a corpus; `tokens` is what the budget counted for it, the end-of-document token included."""

    id: str
    text: str
    source: str
    tokens: int

    @property
    def hash(self) -> bytes:
        return document_hash(self.text)

    def line(self) -> bytes:
        return orjson.dumps({"id": self.id, "text": self.text, "source": self.source, "tokens": self.tokens}) + b"\n"


@contextmanager
def compressed(path: Path, level: int = LEVEL) -> Iterator[IO[bytes]]:
    """A zstd file to write to; its bytes depend on nothing but what is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, zstandard.ZstdCompressor(level=level, threads=0).stream_writer(raw) as packed:
        buffered = io.BufferedWriter(packed, 1 << 18)  # type: ignore[type-var]
        yield buffered
        buffered.flush()


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    with compressed(path) as file:
        for line in lines:
            file.write(line)


def read_lines(path: Path, expected_sha256: str | None, where: Path) -> Iterator[bytes]:
    """The lines of one shard. Raises AbovoError naming the shard when it is missing, cut short or altered.

    The checksum is taken from the bytes as they are read, so it is known at the end: a caller that must not act on
    altered text before then has to wait for the generator to finish.
    """
    mend = f"remove {where} and make it again"
    try:
        with path.open("rb") as raw:
            hashed = _Hashed(raw)
            yield from zstd_lines(hashed)  # type: ignore[arg-type]
    except FileNotFoundError:
        raise AbovoError(f"the shard is missing, {where} lists it", path, mend) from None
    except (zstandard.ZstdError, EOFError) as error:
        raise AbovoError(f"corrupt shard ({error})", path, mend) from None
    if expected_sha256 is not None and hashed.digest.hexdigest() != expected_sha256:
        raise AbovoError(f"its bytes are not those that {where} lists", path, mend)


def read_shard(path: Path, expected_sha256: str | None, where: Path) -> Iterator[Document]:
    """The documents of one shard, with the errors of `read_lines`."""
    mend = f"remove {where} and make it again"
    for number, line in enumerate(read_lines(path, expected_sha256, where), 1):
        yield _document(line, path, number, mend)


def read_documents(manifest: Manifest, split: Split | None = None) -> Iterator[Document]:
    """The documents of a corpus, or of one split of it, in the corpus's own order; constant memory."""
    share = manifest["validation_share"]
    for name in manifest.names("shards/"):
        expected = manifest["outputs"][name]["sha256"]
        for document in read_shard(manifest.path.parent / name, expected, manifest.path):
            if split is None or is_validation(document.hash, share) == (split == "val"):
                yield document


def _document(line: bytes, path: Path, number: int, mend: str) -> Document:
    try:
        data = orjson.loads(line)
        return Document(data["id"], data["text"], data["source"], data["tokens"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise AbovoError("corrupt shard: not a document", f"{path}, line {number}", mend) from None


class _Hashed:
    """A file that takes the sha256 of what passes through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data
