"""Run the demonstration: the whole chain of the run nano, its report, and a summary.

    python workflow/tools/demo.py --cores all

A kill at any moment is harmless: the same command goes on. A Snakemake lock that a killed run left behind is removed,
but only when nothing here is at work: every Snakemake that this script starts inherits the script's own file lock,
which the kernel drops with its last holder, and Snakemakes started by hand are looked for by their working directory.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from abovo.console.launch import run, script_parser
from abovo.errors import AbovoError
from abovo.provenance.locks import exclusive

log = logging.getLogger("abovo")
STATE = Path(".snakemake")


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--cores", default="all", help="processor cores to use (a number, or all)")
    parser.add_argument("--run", default="nano", help="name of the run")
    return parser


def main(options: argparse.Namespace) -> None:
    results = Path(f"results/sft/{options.run}/results.json")
    report = Path(f"results/report/{options.run}.html")
    with exclusive(STATE / "demo.lock", "another make demo") as lock:
        if any(STATE.glob("locks/*")):
            remove_stale_lock(lock.fileno())
        before = newest_log()
        snakemake(lock.fileno(), "--cores", options.cores, "--rerun-incomplete", str(results))
        idle = newest_log() == before
        if not report.is_file() or report.stat().st_mtime < newest_log():
            report.parent.mkdir(parents=True, exist_ok=True)
            snakemake(lock.fileno(), "--report", str(report), str(results))
        else:
            log.info(
                "Nothing to do: results and report are as new as everything that they come from.\n" if idle else ""
            )
    from abovo.reporting.summary import print_summary

    print_summary(options.run, Path("results"), report)


def newest_log() -> float:
    """When a job last wrote its log. Artifacts are hard links to kept products, so their times do not say it."""
    return max((path.stat().st_mtime for path in Path("results/logs").rglob("*.log")), default=0.0)


def remove_stale_lock(lock: int) -> None:
    import psutil

    here = str(Path.cwd())
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if process.info["cwd"] == here and any(Path(word).name == "snakemake" for word in command[:2]):
            raise AbovoError(f"process {process.pid} runs Snakemake here", here, "wait for it or stop it")
    log.info("Removing the lock of a run that was killed; its work goes on from where it was.")
    snakemake(lock, "--unlock")


def snakemake(lock: int, *words: str) -> None:
    """Run Snakemake and its jobs as a group of their own. Ctrl-C, SIGTERM or a closed terminal interrupt all of them:
    Snakemake alone would wait for its jobs, and a trainer that is told writes a checkpoint first. A second Ctrl-C ends
    all at once."""
    child = subprocess.Popen([sys.executable, "-m", "snakemake", *words], pass_fds=(lock,), process_group=0)
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        again = number == signal.SIGINT and signal.SIGINT in received
        received.append(number)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL if again else signal.SIGINT)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    child.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    if received:
        log.error("make demo was interrupted; started again, it goes on from where it was")
        raise SystemExit(128 + signal.SIGINT)
    if child.returncode:
        raise AbovoError(
            f"Snakemake ended with status {child.returncode}",
            "make demo",
            "mend what it says above and start again",
        )


if __name__ == "__main__":
    run(main, arguments())
