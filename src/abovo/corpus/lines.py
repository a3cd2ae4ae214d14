"""Turn an open file, plain or packed, into its lines or the elements of its JSON list, each in bounded memory."""

import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from abovo.corpus import units
from abovo.corpus.json_lists import elements
from abovo.corpus.records import Part
from abovo.corpus.zst import zstd_lines
from abovo.errors import AbovoError

DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
BOM = b"\xef\xbb\xbf"


PACKINGS: dict[str, Callable[[IO[bytes]], Any]] = {
    "": lambda file: file,
    "gz": lambda file: io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 18),  # type: ignore[type-var]
    "zst": zstd_lines,
}


def pieces(
    source: Path | IO[bytes], packing: str, where: str, largest: int, part: Part, *, lists: bool = False
) -> Iterator[tuple[str, int, bytes | None]]:
    """("line", number from 1, its bytes) of a plain or packed file; None for one of more than `largest` bytes.

    With `lists`, a file that begins with a bracket is one JSON list: ("record", number from 1, its bytes).
    """
    word, number, place, end = "line", part.lines, 0, math.inf
    try:
        with _opened(source) as file:
            if part.pieces > 1:
                place, end = _first_line(file, part.number), (part.number + 1) * units.RANGE
            lines = PACKINGS[packing](file)
            if lists and lines.peek(1).removeprefix(BOM).lstrip().startswith(b"["):
                word = "record"
                for number, data in enumerate(elements(lines, largest, where), 1):
                    yield word, number, data
                return
            while place < end and (line := lines.readline(largest + 2)):
                place += len(line)
                if number == 0:
                    line = line.removeprefix(BOM)
                number += 1
                if len(line) <= largest or (len(line.rstrip(b"\r\n")) <= largest and line.endswith(b"\n")):
                    yield word, number, line
                    continue
                while line and not line.endswith(b"\n"):
                    line = lines.readline(1 << 20)
                    place += len(line)
                yield word, number, None
    except DAMAGE as error:
        raise AbovoError(f"cannot be read beyond {word} {number} ({error})", where, "replace the file") from None


def _first_line(file: IO[bytes], piece: int) -> int:
    """Go to the first line that begins in a range of bytes, and return its place."""
    if piece:
        file.seek(piece * units.RANGE - 1)
        while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass
    return file.tell()


def whole(source: Path | IO[bytes], packing: str, where: str, largest: int) -> bytes | None:
    """All bytes of a plain or packed file; None for one of more than `largest`, which is not read further."""
    data = bytearray()
    try:
        with _opened(source) as file:
            plain = PACKINGS[packing](file)
            while len(data) <= largest + len(BOM) and (chunk := plain.read(min(1 << 20, largest + len(BOM) + 1))):
                data += chunk
    except DAMAGE as error:
        lines = data.count(b"\n")
        raise AbovoError(f"cannot be read beyond line {lines} ({error})", where, "replace the file") from None
    text = bytes(data).removeprefix(BOM)
    return text if len(text) <= largest else None


def _opened(source: Path | IO[bytes]) -> IO[bytes]:
    return source.open("rb", 1 << 18) if isinstance(source, Path) else io.BufferedReader(source, 1 << 18)  # type: ignore[type-var,return-value]
