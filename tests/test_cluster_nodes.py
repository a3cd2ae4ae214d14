"""Processes on several machines, started by ssh, train as those of one do, and end together."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ssh_hosts import NAMES, Hosts, why_not
from test_training_engines import PROGRAM, STEPS, outcome, run, same_to_the_bit, workers

from abovo.cluster.on_nodes import HOSTS, hosts_of, met_at, remote_line, step
from abovo.config.engines import check_engine, gpus, gpus_of_node, launcher
from abovo.config.jobs import deciding_settings
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.settings.engine import Engine
from abovo.settings.training import Optimizer, Schedule, Training

RECIPE = Training(optimizer=Optimizer(kind="adamw"), schedule=Schedule(kind="constant"))
SPREAD = Engine(kind="torch", strategy="ddp", processes=8, nodes=2)


def command(folder, strategy, *more, device="cpu"):
    engine = Engine(kind="torch", strategy="ddp", device=device, processes=2, nodes=2)
    return [*launcher(engine, 1).split(), str(PROGRAM), str(folder), strategy, *map(str, more)]


def test_processes_that_no_nodes_share_equally_are_refused():
    check_engine(SPREAD, RECIPE)
    uneven = Engine(kind="torch", strategy="ddp", processes=8, nodes=3)
    with pytest.raises(AbovoError, match="8 processes are not the same number on each of 3 nodes; set processes to a"):
        check_engine(uneven, RECIPE)


def test_what_starts_an_engine_of_several_nodes_names_what_each_of_them_has():
    words = launcher(SPREAD, 3)
    assert words.startswith("python -m abovo.cluster.on_nodes --nodes 2 --processors 12 --gpus 4 ")
    assert " python -m abovo.cluster.on_cards 4 torchrun --nnodes 2 --rdzv-backend c10d " in words
    assert words.endswith(" --nproc-per-node 4 --")
    assert (gpus(SPREAD), gpus_of_node(SPREAD)) == (8, 4)


def test_where_processes_run_decides_nothing_of_what_is_made(root):
    one, two = (Configuration(root / "config", f"small.engine=ddp,small.engine.nodes={nodes}") for nodes in (1, 2))
    asked = [deciding_settings(configuration, "pretrain", {"run": "small"}) for configuration in (one, two)]
    assert asked[0] == asked[1] and two.run("small").engine.nodes == 2


def test_a_step_of_slurm_starts_one_launcher_on_each_node_with_all_that_is_the_jobs_there():
    words = step("17", nodes=2, processors=12, gpus=4)
    assert words[0] == "srun" and {"--nodes=2", "--ntasks=2", "--gpus-per-node=4", "--cpus-per-task=12"} < set(words)
    assert not any("gpus" in word for word in step("17", 2, 12, 0))


def test_rendezvous_of_two_jobs_of_a_machine_do_not_meet():
    assert met_at("here", 7) != met_at("here", 8)
    assert met_at("here", 2**31 - 1)["PET_RDZV_ENDPOINT"].startswith("here:2")


@pytest.mark.parametrize("named", ["", "one", "one,one", "one, ,"])
def test_fewer_machines_than_nodes_are_told_with_both_ways(named):
    with pytest.raises(AbovoError, match=f"{HOSTS}=first,second.*--profile slurm"):
        hosts_of({HOSTS: named}, 2)
    with pytest.raises(AbovoError, match="-oProxyCommand=x is no name of a machine"):
        hosts_of({HOSTS: "-oProxyCommand=x,two"}, 2)


def test_a_shell_elsewhere_gets_folder_and_words_as_they_are_and_no_secret(tmp_path):
    folder = tmp_path / "it's [a] é ;x"
    folder.mkdir()
    environment = {"HF_TOKEN": "hf_secret", "PATH": os.environ["PATH"], "ABOVO_X": "a 'b' $HOME"}
    line = remote_line(environment, folder, ["sh", "-c", 'pwd; echo "$ABOVO_X" "$1"', "-", "it's; *"])
    assert "hf_secret" not in line
    told = subprocess.run(
        ["sh", "-c", line.replace("stty", ": ", 1)], capture_output=True, text=True, check=True
    ).stdout
    assert told.splitlines() == [str(folder), "a 'b' $HOME it's; *"]


def test_a_machine_that_ssh_does_not_reach_ends_with_one_line(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}
    environment[HOSTS] = "nowhere.invalid,elsewhere.invalid"
    done = subprocess.run(command(tmp_path, "ddp", 1), env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: nowhere.invalid: ssh says:")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("ssh")
    running = Hosts(folder)
    try:
        running.start()
        yield {**{key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}, HOSTS: ",".join(NAMES)}
    finally:
        running.stop()


@pytest.mark.slow
def test_two_machines_train_as_two_processes_of_one(hosts, tmp_path):
    strategy = "fsdp"
    done = subprocess.run(command(tmp_path / "two", strategy, STEPS), env=hosts, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(2, tmp_path / "one", strategy, STEPS).returncode == 0
    same_to_the_bit(outcome(tmp_path / "two", strategy), outcome(tmp_path / "one", strategy))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["signal", "kill", "one dies"])
def test_what_ends_on_one_machine_ends_on_all(hosts, tmp_path, end):
    words = command(tmp_path, "ddp", 100_000)
    with subprocess.Popen(words, env=hosts, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as launched:
        until(lambda: list((tmp_path / "ddp/state").glob("step-*")), 120)
        if end == "one dies":
            os.kill(next(number for number in map(int, workers(tmp_path)) if is_rank_1(number)), signal.SIGKILL)
        else:
            launched.send_signal(signal.SIGTERM if end == "signal" else signal.SIGKILL)
        told, _ = launched.communicate(timeout=90)
        assert launched.returncode != 0, told
    until(lambda: not workers(tmp_path), 60)
    if end == "signal":
        assert "stopped at step" in told


def is_rank_1(process):
    return b"\0RANK=1\0" in Path(f"/proc/{process}/environ").read_bytes()


def until(ready, seconds):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.1)
