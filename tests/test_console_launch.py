"""A script ends in one line whatever happens around it: readers that leave, full disks, terminals that are gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from pathlib import Path
from abovo.console.launch import run, script_parser

def main(options):
    %s

parser = script_parser("a script")
parser.add_argument("--output", type=Path)
run(main, parser)
"""
TALK = "print('a line\\n' * 100_000)"


def piped(body, *words, reader="head -1"):
    """Status of the script and what its reader and stderr show, as of `script | reader`."""
    shell = f'"$0" -c "$1" "${{@:2}}" | {reader}; echo "status ${{PIPESTATUS[0]}}"'
    command = ["bash", "-c", shell, sys.executable, SCRIPT % body, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_reader_that_leaves_early_is_no_error(reader):
    done = piped(TALK, reader=reader)
    assert done.stderr == ""
    assert done.stdout.split("\n")[-2] == "status 141"
    done = piped(TALK, "--help", reader=reader)
    assert done.stderr == "" and done.stdout.endswith("status 0\n")


def test_a_broken_pipe_that_is_not_the_readers_is_an_error():
    done = piped("a, b = os.pipe(); os.close(a); os.write(b, b'x')".replace("os.", "__import__('os')."), reader="cat")
    assert "error: unexpected BrokenPipeError" in done.stderr and done.stdout.endswith("status 1\n")


def test_output_without_a_reader_at_all_is_whole():
    done = piped(TALK, reader="wc -l")
    assert done.stdout.split() == ["100001", "status", "0"]
    command = ["bash", "-c", '"$0" -c "$1" >&-', sys.executable, SCRIPT % "pass"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_with_the_folder_and_what_is_free(tmp_path):
    place = tmp_path / "results of mine"
    place.mkdir()
    body = "open('/dev/full', 'wb', buffering=0).write(b'x')"
    done = piped(body, "--output", str(place / "manifest.json"), reader="cat")
    assert done.stdout == "status 1\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "no space left on the device" in line and " MB are free" in line
    assert str(place) in line or os.environ.get("TMPDIR", "/tmp") in line


PROGRESS = """
import sys
from abovo.console.progress import Progress
progress = Progress("training", 0)
assert progress.terminal
progress.update("step 1")
sys.stdin.readline()
progress.update("step 2"), progress.close("done")
open(sys.argv[1], "w").write("whole")
"""
LOG = (
    SCRIPT
    % """import logging
    logging.getLogger("abovo").info("step 1")
    input()
    logging.getLogger("abovo").info("step 2")
    options.output.write_text("whole")
"""
)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("program", "words"), [(PROGRESS, ()), (LOG, ("--output",))], ids=["progress", "log"])
def test_a_terminal_that_is_gone_stops_no_work(tmp_path, program, words, unbuffered):
    """As when a connection to the machine is lost."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", program, *words, str(tmp_path / "end")]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        assert b"step 1" in os.read(ours, 1000)
        os.close(ours)
        process.communicate(b"go on\n", timeout=60)
    assert process.returncode == 0 and (tmp_path / "end").read_text() == "whole"
