"""Read a zstd file as plain bytes, and notice when its end is missing.

The library's own stream reader takes a file that was cut short for one that ends there.
"""

import io
from typing import IO

import zstandard

CHUNK = 1 << 17


class ZstdReader(io.RawIOBase):
    """The bytes inside a zstd file of one frame or several. Raises EOFError where the last frame is not complete."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.decompressor = file, zstandard.ZstdDecompressor()
        self.frame = self.decompressor.decompressobj()
        self.begun, self.ready, self.rest = False, memoryview(b""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self.ready and self._more():
            pass
        size = min(len(buffer), len(self.ready))
        buffer[:size], self.ready = self.ready[:size], self.ready[size:]
        return size

    def _more(self) -> bool:
        """Decompress the next piece; False at the end of the file."""
        data = self.rest or self.file.read(CHUNK)
        if not data:
            if self.begun:
                raise EOFError("the end of the file is missing")
            return False
        self.begun = True
        self.ready, self.rest = memoryview(self.frame.decompress(data)), b""
        if self.frame.eof:
            self.rest, self.begun = self.frame.unused_data, False
            self.frame = self.decompressor.decompressobj()
        return True


def zstd_lines(file: IO[bytes]) -> io.BufferedReader:
    """A buffered reader over the plain bytes, to be iterated line by line."""
    return io.BufferedReader(ZstdReader(file), 1 << 18)
