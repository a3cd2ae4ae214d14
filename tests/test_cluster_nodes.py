"""Processes on several machines, started by ssh, train as those of one do, and end together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ssh_hosts import NAMES, Hosts, why_not
from test_training_engines import PROGRAM, STEPS, outcome, run, same_to_the_bit, workers

from abovo.cluster import on_nodes
from abovo.cluster.on_nodes import HOSTS, hosts_of, met_at, remote_line, step
from abovo.config.engines import check_engine, gpus, gpus_of_node, launcher
from abovo.config.jobs import deciding_settings
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.settings.engine import Engine
from abovo.settings.training import Optimizer, Schedule, Training

RECIPE = Training(optimizer=Optimizer(kind="adamw"), schedule=Schedule(kind="constant"))
PLACE = "workflow/scripts/{}.py".format
SPREAD = Engine(kind="torch", strategy="ddp", processes=8, nodes=2)


def command(folder, strategy, *more, device="cpu"):
    engine = Engine(kind="torch", strategy="ddp", device=device, processes=2, nodes=2)
    return [*launcher(engine, 1, PLACE).split(), str(PROGRAM), str(folder), strategy, *map(str, more)]


def test_processes_that_no_nodes_share_equally_are_refused():
    check_engine(SPREAD, RECIPE)
    uneven = Engine(kind="torch", strategy="ddp", processes=8, nodes=3)
    with pytest.raises(AbovoError, match="8 processes are not the same number on each of 3 nodes; set processes to a"):
        check_engine(uneven, RECIPE)


def test_what_starts_an_engine_of_several_nodes_names_what_each_of_them_has():
    words = launcher(SPREAD, 3, PLACE)
    assert words.startswith("python workflow/scripts/on_nodes.py --nodes 2 --processors 12 --gpus 4 ")
    assert " python workflow/scripts/on_cards.py 4 torchrun --nnodes 2 --rdzv-backend c10d " in words
    assert " --rdzv-conf join_timeout=3600,read_timeout=3600 " in words  # GPUs of another node may not be free yet
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
    for number in (0, 11_999, 12_000, 2**31 - 1):  # below the ports that Linux gives to connections
        assert 20_000 <= int(met_at("here", number)["PET_RDZV_ENDPOINT"].removeprefix("here:")) < 32_000


@pytest.mark.parametrize("named", ["", "one", "one, ,"])
def test_fewer_machines_than_nodes_are_told_with_both_ways(named):
    with pytest.raises(AbovoError, match=f"{HOSTS}=first,second.*--profile slurm"):
        hosts_of({HOSTS: named}, 2)
    with pytest.raises(AbovoError, match="one is named twice"):
        hosts_of({HOSTS: "one,two,one"}, 2)
    with pytest.raises(AbovoError, match="-oProxyCommand=x is no name of a machine"):
        hosts_of({HOSTS: "-oProxyCommand=x,two"}, 2)


def test_a_shell_elsewhere_gets_folder_and_words_as_they_are_and_no_secret(tmp_path):
    folder = tmp_path / "it's [a] é ;x"
    folder.mkdir()
    secrets = {"HF_TOKEN": "hf_secret", "ABOVO_TOKEN": "hf_secret"}
    environment = {**secrets, "PATH": os.environ["PATH"], "NCCL_X": "a 'b' $HOME"}
    line = remote_line(environment, folder, ["sh", "-c", 'pwd; echo "$NCCL_X" "$1"', "-", "it's; *"])
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


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (["--nodes", "2"], {}, "wants a number of nodes and a command"),
        (["--nodes", "0", "true"], {}, "wants a number of nodes and a command"),
        (["--nodes", "2", "true"], {"SLURM_JOB_ID": "abc"}, "0 machines are named for 2 nodes"),
        (
            ["--nodes", "2", "true"],
            {"SLURM_JOB_ID": "7", "PATH": "/nowhere"},
            "error: srun: cannot be started (no such",
        ),
        (["--nodes", "2", "true"], {HOSTS: "one,two", "PATH": "/nowhere"}, "error: ssh: cannot be started (no such"),
    ],
)
def test_what_starts_nothing_is_told_in_one_line(words, environment, told):
    known = {key: value for key, value in os.environ.items() if key not in ("SLURM_JOB_ID", HOSTS)}
    words = [sys.executable, "workflow/scripts/on_nodes.py", "--processors", "1", "--gpus", "0", *words]
    done = subprocess.run(words, env={**known, **environment}, capture_output=True, text=True)
    assert done.returncode and told in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr


def test_the_log_of_a_job_ends_with_what_its_launcher_told(tmp_path):
    words = [*command(tmp_path, "ddp", 1), "--log", str(tmp_path / "logs/one.log")]
    environment = {key: value for key, value in os.environ.items() if key not in ("SLURM_JOB_ID", HOSTS)}
    assert subprocess.run(words, env=environment, capture_output=True).returncode == 1
    assert (tmp_path / "logs/one.log").read_text().startswith("error: engine.nodes and ABOVO_HOSTS: 0 machines are")


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
def test_the_failure_of_any_machine_is_told_and_ends_the_others(hosts, tmp_path):
    """One of them fails at once, while the other would work on for a minute."""
    script = 'mkdir "$0" 2> /dev/null && exec sleep 60; exit 7'
    place = tmp_path / "taken"
    begun = time.monotonic()
    started = [sys.executable, "workflow/scripts/on_nodes.py", "--nodes", "2", "--processors", "1", "--gpus", "0"]
    done = subprocess.run([*started, "sh", "-c", script, str(place)], env=hosts, capture_output=True, text=True)
    assert done.returncode == 7 and "ended with status 7" in done.stderr and time.monotonic() - begun < 30


@pytest.mark.slow
def test_a_failure_of_all_machines_at_once_is_told(hosts):
    started = [sys.executable, "workflow/scripts/on_nodes.py", "--nodes", "2", "--processors", "1", "--gpus", "0"]
    done = subprocess.run([*started, "sh", "-c", "kill -9 $$"], env=hosts, capture_output=True, text=True)
    told = [f"error: the processes on {name} ended with status {done.returncode}" for name in NAMES]
    assert done.returncode and any(line in done.stderr for line in told), done.stdout + done.stderr


def test_a_machine_that_says_nothing_is_named_and_no_longer_asked(monkeypatch):
    """As where a login hangs: ssh has its connection, and no word comes."""
    monkeypatch.setattr(
        on_nodes, "SSH", ("sh", "-c", 'case "$0" in one) echo "abovo runs on one";; *) exec sleep 77.5; esac')
    )
    monkeypatch.setattr(on_nodes, "ANSWER", 1.0)
    with pytest.raises(AbovoError, match=r"two: says nothing within 1\.0 s"):
        on_nodes._names_of(["one", "two"])
    assert subprocess.run(["pgrep", "-f", "sleep 77.5"], capture_output=True).returncode == 1


@pytest.mark.slow
def test_a_second_ctrl_c_reaches_all_machines(hosts, tmp_path):
    """What saves its work at the first one ends at once at the second."""
    script = 'trap \': > "$0/told$$"; trap "exit 9" INT\' INT; : > "$0/here$$"; while :; do sleep 0.1; done'
    started = [sys.executable, "workflow/scripts/on_nodes.py", "--nodes", "2", "--processors", "1", "--gpus", "0"]
    with subprocess.Popen([*started, "sh", "-c", script, str(tmp_path)], env=hosts, start_new_session=True) as launched:
        for mark in ("here", "told"):
            until(lambda mark=mark: len(list(tmp_path.glob(f"{mark}*"))) == 2, 60)
            launched.send_signal(signal.SIGINT)
        assert launched.wait(timeout=30) == 9


@pytest.mark.slow
def test_a_machine_that_does_not_answer_is_named_before_any_work(hosts):
    words = [sys.executable, "workflow/scripts/on_nodes.py", "--nodes", "2", "--processors", "1", "--gpus", "0", "true"]
    done = subprocess.run(words, env={**hosts, HOSTS: f"{NAMES[0]},127.0.0.9"}, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: 127.0.0.9: ssh says:")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["signal", "kill", "one dies", "Ctrl-C"])
def test_what_ends_on_one_machine_ends_on_all(hosts, tmp_path, end):
    words = command(tmp_path, "ddp", 100_000)
    shown = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, env=hosts, start_new_session=True, **shown) as launched:
        until(lambda: list((tmp_path / "ddp/state").glob("step-*")), 120)
        if end == "one dies":
            os.kill(next(number for number in map(int, workers(tmp_path)) if is_rank_1(number)), signal.SIGKILL)
        elif end == "Ctrl-C":  # as a terminal sends it, to all that it shows
            os.killpg(launched.pid, signal.SIGINT)
        else:
            launched.send_signal(signal.SIGTERM if end == "signal" else signal.SIGKILL)
        told, _ = launched.communicate(timeout=90)
        assert launched.returncode != 0, told
    until(lambda: not workers(tmp_path), 60)
    if end in ("signal", "Ctrl-C"):
        assert "stopped at step" in told and not workers(tmp_path)


def is_rank_1(process):
    return b"\0RANK=1\0" in Path(f"/proc/{process}/environ").read_bytes()


def until(ready, seconds):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.1)
