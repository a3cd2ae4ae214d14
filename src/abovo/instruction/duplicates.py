"""Tell conversations that stood before, in memory that does not grow with their number."""

import sqlite3

import xxhash

from abovo.instruction.fields import Found

# What is held in memory of the table; the rest lies in a file that SQLite makes and removes (KiB).
CACHE = 32_768


class Seen:
    """The conversations that were shown to it, by a hash of who says what, blanks aside."""

    def __init__(self) -> None:
        # no name: a temporary database that goes to the disk when it outgrows its cache
        self.table = sqlite3.connect("", isolation_level=None)
        self.table.execute(f"PRAGMA cache_size = -{CACHE}")
        self.table.execute("CREATE TABLE seen (hash BLOB PRIMARY KEY, source TEXT) WITHOUT ROWID")
        self.table.execute("BEGIN")

    def before(self, found: Found, source: str) -> str | None:
        """The source of an equal conversation that was shown before; None where there is none."""
        key = _hash(found)
        if self.table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, source)).rowcount:
            return None
        return str(self.table.execute("SELECT source FROM seen WHERE hash = ?", (key,)).fetchone()[0])

    def close(self) -> None:
        self.table.close()


def _hash(found: Found) -> bytes:
    words = (f"{one['role']}\x1e{' '.join(one['content'].split())}" for one in found.messages)
    return xxhash.xxh3_128_digest("\x1f".join(words).encode())
