"""Tell libraries of a file that is read from elsewhere that it can be read, and from any place."""

import io


class SeekableFile(io.RawIOBase):
    """A file to be read from `place` on; who derives from it brings the bytes and moves it."""

    place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place
