"""Ctrl-C, a session's end and an allocation's end let the step under way end; a second Ctrl-C lets nothing."""

import signal
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import signal, sys, time
    from abovo.training.stopping import StopRequest
    if "ignored" in sys.argv:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopRequest(silent="silent" in sys.argv) as stop:
        print("begun", flush=True)
        while not stop.signal or "stubborn" in sys.argv:
            time.sleep(0.01)
            if "ignored" in sys.argv and sys.stdin.readline():
                break
        print(stop.signal, flush=True)
        if "noticed" in sys.argv:
            raise SystemExit(128 + stop.signal)
    print("the block's end", flush=True)
"""


@pytest.fixture
def start():
    started = []

    def begin(*words):
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM), *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        assert started[-1].stdout.readline() == "begun\n"
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_remembered_until_the_step_ends(start, number):
    process = start("noticed")
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (output, process.returncode) == (f"{int(number)}\n", 128 + number)
    assert ("Ctrl-C once more ends at once" in errors) == (number == signal.SIGINT)


def test_one_of_several_processes_speaks(start):
    process = start("noticed", "silent")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == ""


def test_a_second_ctrl_c_ends_at_once(start):
    process = start("stubborn")
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() + process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_last_step_counts_when_the_steps_are_over(start, number):
    process = start()
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert output == f"{int(number)}\n" and process.returncode == -number


def test_what_is_started_to_ignore_ctrl_c_goes_on(start):
    process = start("ignored")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate("go on\n", timeout=30)
    assert output == "0\nthe block's end\n" and process.returncode == 0
