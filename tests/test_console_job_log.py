"""A second start of a job that is at work spoils nothing: not its log, not its outputs."""

import subprocess
import sys
import textwrap
import time

import pytest

PROGRAM = """
    import logging, sys
    from pathlib import Path
    from abovo.console.launch import run, script_parser
    from abovo.errors import AbovoError
    from abovo.provenance.products import Job, Made, produce

    def make(folder):
        logging.getLogger("abovo").info("begun")
        for line in sys.stdin:
            logging.getLogger("abovo").info("%s", line.strip())
        (folder / "data.txt").write_text("made")
        return Made(counts={})

    def main(options):
        logging.getLogger("abovo").info("before the lock")
        if options.fail:
            raise AbovoError("broken", "input", "mend it")
        here = Path(options.folder)
        produce(Job(here / "manifest.json", "abovo/test/1", {}, {}, here / "script.py"), make)

    parser = script_parser("")
    parser.add_argument("folder")
    parser.add_argument("--fail", action="store_true")
    run(main, parser)
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "script.py").write_text("x = 1\n")
    started = []

    def begin(*words):
        command = [
            sys.executable,
            "-c",
            textwrap.dedent(PROGRAM),
            str(tmp_path),
            "--log",
            str(tmp_path / "log"),
            *words,
        ]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_told(path, word):
    return path.exists() and word in path.read_text()


@pytest.mark.parametrize("removed", [False, True], ids=["log there", "log removed, as Snakemake does before a job"])
def test_a_second_start_waits_and_has_nothing_to_compute(start, tmp_path, removed):
    first, path = start(), tmp_path / "log"
    wait_for(lambda: is_told(path, "begun"))
    before = path.read_text()
    if removed:
        path.unlink()
    second = start()
    line = [second.stderr.readline() for _ in range(2)][1]
    assert f"waiting for the job that makes {tmp_path}/manifest.json (process {first.pid} on " in line
    assert path.exists() != removed and (removed or path.read_text() == before)
    first.stdin.write("halfway\n")
    wait_for(lambda: is_told(path, "halfway"))
    assert path.read_text().startswith(before)
    first.communicate()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0 and "put in place, nothing computed" in errors
    log = path.read_text()
    assert log.startswith(f"{before}halfway\n") and log.count("begun") == 1
    assert log.rstrip().endswith("put in place, nothing computed")
    assert (tmp_path / "data.txt").read_text() == "made"


def test_a_start_that_fails_early_leaves_the_log_of_the_job_at_work(start, tmp_path):
    first, path = start(), tmp_path / "log"
    wait_for(lambda: is_told(path, "begun"))
    before = path.read_text()
    failed = start("--fail")
    _, errors = failed.communicate(timeout=60)
    assert failed.returncode == 1 and errors.endswith("error: input: broken; mend it\n")
    assert path.read_text() == f"{before}before the lock\nerror: input: broken; mend it\n"
    first.communicate()
    assert is_told(path, before)


def test_the_log_of_an_earlier_job_is_replaced(start, tmp_path):
    (tmp_path / "log").write_text("long ago\n")
    time.sleep(0.05)
    start().communicate()
    assert (tmp_path / "log").read_text().startswith("before the lock\n")


def test_who_waits_for_a_job_that_is_killed_does_its_work(start, tmp_path):
    first = start()
    wait_for(lambda: is_told(tmp_path / "log", "begun"))
    second = start()
    assert "before" in second.stderr.readline() and "waiting" in second.stderr.readline()
    first.kill()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0 and "made for the first time" in errors
    assert (tmp_path / "data.txt").read_text() == "made"
