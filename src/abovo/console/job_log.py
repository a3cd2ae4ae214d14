"""Turn a job's log lines into its log file, from when the job has its artifact to itself.

Another call may start the same job a second time; Snakemake removes a job's old log before it does. Until this process
is asked to flush (it has the artifact's lock, failed, or ends) its lines wait in memory, so the log of a job at work is
left alone; and a job at work whose log was removed puts it back.
"""

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

# Clocks of file systems move in steps of some milliseconds: what was written now may bear a time before now (s)
COARSE = 0.05


class JobLog(logging.FileHandler):
    """The handler of a job's log file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="a+", encoding="utf-8", delay=True)
        self.path, self.began = path, time.time()
        self.waiting: list[logging.LogRecord] | None = []

    def emit(self, record: logging.LogRecord) -> None:
        if self.waiting is None:
            self._restore()
            super().emit(record)
            return
        self.waiting.append(record)
        if record.levelno >= logging.ERROR:
            self.flush()

    def flush(self) -> None:
        self.acquire()
        try:
            if self.waiting is not None:
                records, self.waiting = self.waiting, None
                self._open_file()
                for record in records:
                    super().emit(record)
            super().flush()
        finally:
            self.release()

    def close(self) -> None:
        self.flush()
        self._restore()
        super().close()

    def _open_file(self) -> None:
        """Open the file, empty where it is an older job's; that of one at work, or that just ended, goes on."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = self._open()
        with suppress(OSError):
            fcntl.flock(self.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self.stream.fileno()).st_mtime < self.began - COARSE:
                self.stream.truncate(0)

    def _restore(self) -> None:
        """Write all of the log again where its file is no longer there under its name."""
        if self.stream is None:
            return
        with suppress(OSError):
            if os.path.samestat(self.path.stat(), os.fstat(self.stream.fileno())):
                return
        self.stream.seek(0)
        text = self.stream.read()
        self.stream.close()
        self._open_file()
        self.stream.write(text)
        self.stream.flush()
