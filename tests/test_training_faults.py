"""Whatever befalls a training job, it goes on to the same bytes or ends with one line that says what to do."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from small_disk import enlarge, may_mount, small_disk
from training_lives import Data, Kill, Run, nano_like, random_kills


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def undisturbed(request, data, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("undisturbed"), data, nano_like(request.param))
    status, log = run.live()
    assert status == 0, log
    return run


def test_a_run_killed_at_ten_random_steps_ends_with_the_same_bytes(undisturbed, data, tmp_path):
    """SIGKILL to a trainer, or to one of two or their launcher; after each, no process of the run lives on."""
    processes = undisturbed.settings["engine"]["processes"]
    run = Run(tmp_path / "killed", data, undisturbed.settings)
    for kill in random_kills(10, processes, seed=2026):
        status, log = run.live(kill)
        assert status != 0, log
        assert not run.model.exists()
    status, log = run.live()
    assert status == 0 and "going on from the checkpoint of step" in log, log
    assert run.product() == undisturbed.product()
    assert not run.state.exists()


def test_a_run_killed_while_a_checkpoint_is_written_in_the_background_ends_with_the_same_bytes(
    undisturbed, data, tmp_path
):
    run = Run(tmp_path / "run", data, undisturbed.settings)
    status, log = run.live(Kill(17, laid=run.state / "step-000000014.partial"), slow=14)
    assert status != 0, log
    assert sorted(path.name for path in run.state.glob("step-*")) == ["step-000000007", "step-000000014.partial"]
    status, log = run.live()
    assert status == 0 and "going on from the checkpoint of step 7" in log, log
    assert run.product() == undisturbed.product()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_any_process_stops_all_of_them_with_a_checkpoint(undisturbed, data, tmp_path, number):
    run = Run(tmp_path / "run", data, undisturbed.settings)
    last = str(run.settings["engine"]["processes"] - 1)
    status, log = run.live(Kill(17, victim=last, signal=number))
    assert status in (128 + number, 128 + signal.SIGTERM) and "stopped at step" in log, log
    assert "the same command goes on from there" in log
    stopped = int(log.partition("stopped at step ")[2].split()[0])
    assert (run.state / f"step-{stopped:09d}").is_dir()
    status, log = run.live()
    assert status == 0 and f"going on from the checkpoint of step {stopped}" in log, log
    assert run.product() == undisturbed.product()


def error_in(log):
    """What the first process to fail says; the others then tell that they lost it."""
    return next(line for line in log.splitlines() if line.startswith("error: "))


def stop_at(run, step):
    """Kill the run in a step, when the checkpoint before it lies on the disk; those that lie there."""
    status, log = run.live(Kill(step, laid=run.state / f"step-{(step - 1) // 7 * 7:09d}"))
    assert status != 0, log
    return sorted(run.state.glob("step-*"))


# Of the two ways not to let a checkpoint be written, every user may have the kernel limit the length of files.
LIMITS = {"file too large": 20} | ({"no space left on device": 0} if may_mount() else {})


@pytest.mark.parametrize("reason", LIMITS)
def test_a_full_disk_while_saving_is_told_and_the_run_goes_on_after_space_is_made(tmp_path, data, undisturbed, reason):
    """A disk has room for two checkpoints of this model and no third."""
    disk, full = tmp_path / "disk", LIMITS[reason]
    with contextlib.nullcontext() if full else small_disk(disk, 3300):
        run = Run(disk / "run", data, undisturbed.settings)
        status, log = run.live(full=full)
        assert status == 1
        assert f"step 20 cannot be written: {reason}; the newest kept is of step 14" in error_in(log)
        assert error_in(log).endswith("make space and start again")
        assert [path.name for path in sorted(run.state.glob("step-*"))] == ["step-000000007", "step-000000014"]
        if not full:
            enlarge(disk, 30_000)
        status, log = run.live()
        assert status == 0 and "going on from the checkpoint" in log, log
        assert run.product() == undisturbed.product()


def test_a_file_that_may_grow_no_further_is_told_like_a_full_disk(tmp_path):
    """The same failure where no small disk can be mounted: the kernel refuses to let the checkpoint grow."""
    program = (
        "import resource, signal, sys, pathlib, torch\n"
        "from abovo.training.state import open_state\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with open_state(pathlib.Path(sys.argv[1]), {}, 0) as state:\n"
        "    state.save(1, {'w': torch.zeros(10)})\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "    state.save(2, {'w': torch.zeros(100_000)})\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "AbovoError" in done.stderr.strip().splitlines()[-1], done.stderr
    assert "step 2 cannot be written: file too large; the newest kept is of step 1" in done.stderr
    assert [path.name for path in (tmp_path / "state").glob("step-*")] == ["step-000000001"]


def test_a_truncated_newest_checkpoint_is_passed_over_and_the_bytes_are_the_same(undisturbed, data, tmp_path):
    run = Run(tmp_path / "run", data, undisturbed.settings)
    older, newest = stop_at(run, 17)
    os.truncate(newest / "state.pt", 1000)
    status, log = run.live()
    assert status == 0, log
    assert "checkpoint passed over" in log and str(newest / "state.pt") in log
    assert f"going on from the checkpoint of step {int(older.name[5:])}" in log
    assert run.product() == undisturbed.product()


@pytest.mark.slow
def test_a_first_loss_that_was_changed_under_a_resume_reaches_no_manifest(undisturbed, data, tmp_path):
    run = Run(tmp_path / "run", data, undisturbed.settings)
    kept = stop_at(run, 17)
    metrics = run.state / "metrics.jsonl"
    true = metrics.read_bytes()
    metrics.write_bytes(true.replace(b'"loss":6.', b'"loss":5.', 1))
    assert metrics.read_bytes() != true
    status, log = run.live()
    assert status == 1 and "Traceback" not in log, log
    assert f"{metrics}: is not what was written, and no older checkpoint fits; put it back as it was" in error_in(log)
    assert sorted(run.state.glob("step-*")) == kept and not run.model.exists()
    metrics.write_bytes(true)
    status, log = run.live()
    assert status == 0 and "going on from the checkpoint of step" in log, log
    assert run.product() == undisturbed.product()


def test_a_checkpoint_of_another_config_is_refused_and_the_value_named(data, tmp_path):
    run = Run(tmp_path / "run", data)
    kept = stop_at(run, 9)
    settings = {**run.settings, "seed": 7}
    status, log = Run(run.folder, data, settings).live()
    assert status == 1
    assert "had settings.seed = 42, this one has 7" in error_in(log) and "put the value back" in error_in(log)
    assert sorted(run.state.glob("step-*")) == kept


def test_a_second_trainer_on_a_state_folder_is_refused_and_the_first_one_ends_well(undisturbed, data, tmp_path):
    """The second one has a product folder of its own, so that the state's own lock is what it meets."""
    run = Run(tmp_path / "run", data, undisturbed.settings)
    second = Run(tmp_path / "second", data, undisturbed.settings)
    (tmp_path / "run").mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "second/state").symlink_to(run.state)
    found = []

    def start_second():
        deadline = time.monotonic() + 60
        while not list(run.state.glob("step-*")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        found.append(second.live())

    helper = threading.Thread(target=start_second)
    helper.start()
    status, log = run.live(pause=1.0)
    helper.join()
    assert status == 0, log
    (status, log) = found[0]
    assert status == 1 and "another trainer (process" in error_in(log) and "is at work here" in error_in(log), log
    assert "Traceback" not in log
    assert run.product() == undisturbed.product()


@pytest.mark.parametrize("manifest", ["kept", "replaced too"])
def test_a_bin_replaced_under_a_resume_is_refused_with_its_name(tmp_path, manifest):
    data = Data(tmp_path / "data")
    run = Run(tmp_path / "run", data)
    kept = stop_at(run, 9)
    if manifest == "kept":
        path = data.packed.parent / "train.bin"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.unlink()
        path.write_bytes(content)
        says = f"{path}: its bytes are not those that"
    else:
        data.pack(share=0.4)
        says = "had inputs.set/small = "
    status, log = run.live()
    assert status == 1 and says in error_in(log), log
    assert sorted(run.state.glob("step-*")) == kept


def test_a_training_that_diverges_leaves_its_last_good_checkpoint_and_names_it(data, tmp_path):
    run = Run(tmp_path / "run", data)
    status, log = run.live(poison=17)
    assert status == 1
    assert "the training diverged; the last good checkpoint is of step 14" in error_in(log)
    assert (run.state / "step-000000014").is_dir()
