"""The demonstration goes on after a kill, does nothing the second time, and leaves others' work alone."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time

import psutil
import pytest
from test_reporting_summary import finished_run

from abovo.provenance.files import write_json
from abovo.provenance.manifest import digest_of

# A workflow that writes what the demonstration expects; `wait` makes a job that can be killed.
SNAKEFILE = """
rule results:
    output: "results/sft/nano/results.json"
    log: "results/logs/results.log"
    shell: "date > {log}; sleep $(cat wait); cp finished.json {output}"
"""


@pytest.fixture
def checkout(tmp_path):
    folder = finished_run(tmp_path).parent
    (folder / "results/sft/nano/results.json").unlink()  # what the workflow is to make
    (folder / "Snakefile").write_text(SNAKEFILE)
    results = {"schema": "abovo/results/1", "inputs": {}, "outputs": {}, "metrics": {}}
    write_json(folder / "finished.json", results | {"digest": digest_of(results)})
    (folder / "wait").write_text("0")
    return folder


def demo(folder, root, **options):
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    command = [sys.executable, str(root / "workflow/tools/demo.py"), "--cores", "1"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def kill_all(driver):
    """SIGKILL for the driver, its Snakemake and the job, as the end of a session or of memory would."""
    kill([*psutil.Process(driver.pid).children(recursive=True), driver])
    driver.wait()


def kill(processes):
    """SIGKILL for each that has not ended since they were listed."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_second_demo_does_nothing_and_says_so(checkout, root):
    first = demo(checkout, root)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert "What to type next" in output
    report = checkout / "results/report/nano.html"
    made = report.stat().st_mtime_ns
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = demo(checkout, root)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0
    assert "Nothing to do" in output
    assert report.stat().st_mtime_ns == made
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_demo_after_a_kill_removes_the_stale_lock_and_goes_on(checkout, root):
    (checkout / "wait").write_text("60")
    killed = demo(checkout, root)
    wait_for(lambda: (checkout / "results/logs/results.log").exists())
    kill_all(killed)
    assert list((checkout / ".snakemake/locks").iterdir())
    (checkout / "wait").write_text("0")
    output, _ = demo(checkout, root).communicate(timeout=120)
    assert "Removing the lock" in output
    assert (checkout / "results/sft/nano/results.json").read_bytes() == (checkout / "finished.json").read_bytes()


def test_stopped_demo_stops_its_jobs(checkout, root):
    (checkout / "wait").write_text("60")
    stopped = demo(checkout, root)
    wait_for(lambda: (checkout / "results/logs/results.log").exists())
    stopped.terminate()
    output, _ = stopped.communicate(timeout=30)
    assert stopped.returncode == 130, output
    assert output.splitlines()[-1] == "make demo was interrupted; started again, it goes on from where it was"
    assert not list((checkout / ".snakemake/locks").glob("*"))


@pytest.mark.slow
def test_a_second_ctrl_c_ends_the_demo_and_its_jobs_at_once(checkout, root):
    (checkout / "Snakefile").write_text(SNAKEFILE.replace('"date', "\"trap '' INT; date"))
    (checkout / "wait").write_text("60")
    demonstration = demo(checkout, root, start_new_session=True)
    wait_for(lambda: (checkout / "results/logs/results.log").exists())
    jobs = psutil.Process(demonstration.pid).children(recursive=True)
    os.killpg(demonstration.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        demonstration.wait(timeout=2)
    os.killpg(demonstration.pid, signal.SIGINT)
    output, _ = demonstration.communicate(timeout=20)
    assert output.splitlines()[-1] == "make demo was interrupted; started again, it goes on from where it was"
    assert demonstration.returncode == 130
    assert not psutil.wait_procs(jobs, timeout=20)[1]


def test_demo_leaves_a_living_snakemake_alone(checkout, root):
    """The driver is killed, its Snakemake lives on and still holds the inherited lock."""
    (checkout / "wait").write_text("60")
    driver = demo(checkout, root)
    wait_for(lambda: (checkout / "results/logs/results.log").exists())
    orphans = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    output, _ = demo(checkout, root).communicate(timeout=60)
    try:
        assert "at work here" in output
        assert list((checkout / ".snakemake/locks").iterdir())
        with (checkout / ".snakemake/demo.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        kill(orphans)


def test_failure_of_the_workflow_is_the_status_of_the_demo(checkout, root):
    (checkout / "wait").write_text("no-number")
    failed = demo(checkout, root)
    output, _ = failed.communicate(timeout=120)
    assert failed.returncode == 1
    assert "Snakemake ended with status 1" in output
    assert not (checkout / "results/report/nano.html").exists()
