"""Read a zstd file as plain bytes, in bounded memory, and notice when its end is missing.

The library's own stream reader takes a file that was cut short for one that ends there, so the compressed bytes pass a
small reader of the format (RFC 8878) on their way, which knows whether a frame is complete.
"""

import io
from collections.abc import Generator
from typing import IO, Any

import zstandard

CHUNK = 1 << 17
FRAME, SKIPPABLE = 0xFD2FB528, range(0x184D2A50, 0x184D2A60)
DICTIONARY_BYTES = (0, 1, 2, 4)
# What is wanted of the next bytes: the first ones of a frame, ones to be looked at, or none of them.
START, LOOK, SKIP = "start", "look", "skip"


def _frames() -> Generator[tuple[int, str], bytes, None]:
    """Ask for the next bytes of a zstd file, (number, why); those that are looked at are sent back in."""
    while True:
        magic = int.from_bytes((yield 4, START), "little")
        if magic in SKIPPABLE:
            yield int.from_bytes((yield 4, LOOK), "little"), SKIP
            continue
        if magic != FRAME:
            raise zstandard.ZstdError("not a zstd frame")
        described = (yield 1, LOOK)[0]
        single, size_flag = bool(described & 0x20), described >> 6
        size_bytes = int(single) if size_flag == 0 else 1 << size_flag
        yield (not single) + DICTIONARY_BYTES[described & 3] + size_bytes, SKIP
        last = False
        while not last:
            block = int.from_bytes((yield 3, LOOK), "little")
            last, kind = bool(block & 1), block >> 1 & 3
            # A block of kind 1 is one byte, repeated.
            yield (1 if kind == 1 else block >> 3), SKIP
        yield (4 if described & 4 else 0), SKIP


class _Whole:
    """A compressed file on its way to the decompressor. Raises EOFError where the file ends inside a frame."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.frames, self.held = file, _frames(), b""
        self.wanted, self.why = next(self.frames)

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        if not data and (self.why != START or self.held):
            raise EOFError("the end of the file is missing")
        place = 0
        while place < len(data):
            passed = min(self.wanted - len(self.held), len(data) - place)
            if self.why == SKIP:
                self.wanted -= passed
            else:
                self.held += data[place : place + passed]
            place += passed
            while self.wanted == len(self.held):
                header, self.held = self.held, b""
                self.wanted, self.why = self.frames.send(header)
        return data


def zstd_lines(file: IO[bytes]) -> io.BufferedReader:
    """A buffered reader over the plain bytes of one frame or several, to be read line by line."""
    whole: Any = _Whole(file)
    reader = zstandard.ZstdDecompressor().stream_reader(whole, read_size=CHUNK, read_across_frames=True)
    return io.BufferedReader(reader, 1 << 18)  # type: ignore[type-var]
