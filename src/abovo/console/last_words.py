"""Turn Snakemake's own log into the line that matters of each job that did not end well: what its script told last."""

from collections.abc import Iterable, Iterator
from pathlib import Path

FAILED = "Error in rule "
# How the line of an error begins, and what that of a job which was stopped has in it
ERROR, STOPPED = "error: ", "; the same command "
LOG, HINT = "    log: ", " (check log file(s) for error details)"


def last_words(logs: Iterable[Path]) -> list[str]:
    """One line for each failed job that Snakemake's `logs` tell of, in their order."""
    failed = (job for log in logs for job in _failed(log.read_text("utf-8", "replace")))
    return [_told(rule, Path(file)) for rule, file in dict.fromkeys(failed)]


def _failed(text: str) -> Iterator[tuple[str, str]]:
    """(rule, log file) of the jobs that failed."""
    rule = None
    for line in text.splitlines():
        if line.startswith(FAILED):
            rule = line.removeprefix(FAILED).rstrip(":")
        elif rule is not None and line.startswith(LOG):
            yield rule, line.removeprefix(LOG).removesuffix(HINT)
            rule = None


def _told(rule: str, file: Path) -> str:
    """The last error in a job's log, or where it was stopped; a job that was killed has told neither."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    if not lines:
        return f"error: {rule} ended before it wrote a log; what Snakemake says above has the reason"
    told = [line for line in lines if line.startswith(ERROR) or STOPPED in line]
    if told:
        return f"{told[-1]} ({rule}, {file})"
    end = "it was stopped from outside, or used more memory than there is"
    return f"error: {rule} ended without an error of its own: {end}; its log is {file}"
