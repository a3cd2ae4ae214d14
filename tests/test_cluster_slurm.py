"""What SLURM prints is read as it is meant, and what no node could do is refused."""

import os
from pathlib import Path

import pytest

from abovo.cluster import check
from abovo.cluster.fitting import Request, bounds_of, refuse_contradiction, refuse_unplaceable
from abovo.cluster.slurm import read_gpus, read_jobs, read_limit, read_nodes
from abovo.config.runs import Configuration
from abovo.errors import AbovoError

# Two partitions as sinfo -N -o "%P|%N|%c|%m|%G|%l|%T" tells them
NODES = read_nodes(
    "cpu*|n1|64|256000|(null)|1-00:00:00|mixed\n"
    "cpu*|n2|64|512000|(null)|1-00:00:00|down*\n"
    "gpu|g1|32|128000|gpu:a100:4(S:0-1)|12:00:00|idle\n"
    "gpu|g2|128+|1024000+|gpu:h100:8,shard:16|12:00:00|idle\n"
)


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", {}), ("gpu:2", {"": 2}), ("gpu", {"": 1}), ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:a100:4(S:0,2),gpu:v100:2,shard:8", {"a100": 4, "v100": 2}),
    ],
)  # fmt: skip
def test_gpus_are_counted_by_type(gres, gpus):
    assert read_gpus(gres) == gpus


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("infinite", None), ("1-00:00:00", 1440), ("12:00:00", 720), ("30:00", 30), ("0:30", 1), ("2-06:30:00", 3270)],
)
def test_limits_are_read_in_minutes(text, minutes):
    assert read_limit(text) == minutes


def test_nodes_know_whether_they_work():
    assert [node.works for node in NODES] == [True, False, True, True]
    assert NODES[3].processors == 128 and NODES[3].memory_mb == 1_024_000


@pytest.mark.parametrize(
    "request_",
    [
        Request("job", processors=64, memory_mb=512_000, minutes=1440),
        Request("job", "gpu", gpus=8, processors=32, memory_mb=200_000, minutes=720),
        Request("job", "gpu", nodes=2, gpus=4, minutes=60),
        Request("job", "cpu,gpu", gpus=4),
        Request("job", "gpu", gpus=4, gpu_type="a100"),
    ],
)
def test_what_a_node_has_is_let_through(request_):
    refuse_unplaceable(request_, NODES)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (Request("job", "fast"), "no partition fast; there are cpu, gpu"),
        (Request("job", gpus=1), "asks for 1 GPUs on one node, and no node of partition cpu has more than 0"),
        (Request("job", "gpu", gpus=16), "asks for 16 GPUs on one node, and no node of partition gpu has more than 8"),
        (Request("job", "gpu", gpus=8, gpu_type="a100"), "asks for 8 a100 GPUs on one node"),
        (Request("job", "gpu", gpus=1, gpu_type="A100"), "GPUs of type A100, and partition gpu has a100, h100"),
        (Request("job", memory_mb=600_000), "asks for 600,000 MB of memory on one node"),
        (Request("job", processors=65), "asks for 65 processors on one node"),
        (Request("job", "gpu", nodes=2, gpus=8), "asks for 2 nodes with 8 GPUs"),
        (Request("job", "gpu", minutes=721), "asks for 721 minutes, and a job of partition gpu may take 720"),
    ],
)
def test_what_no_node_could_do_is_told_in_one_line(request_, told):
    with pytest.raises(AbovoError, match="job") as caught:
        refuse_unplaceable(request_, NODES)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "threads", "told"),
    [
        ({"nodes": 4, "gpus": 4}, 8, "asks for 4 nodes, and its engine starts processes for 2; set engine.nodes"),
        ({"nodes": 2, "gpus": 1}, 8, "asks for 1 GPUs a node, and its engine starts processes for 4; set engine.proc"),
        ({"nodes": 2, "gpus": 4}, 1, "has 1 threads, and its processes take 8 on each node; set threads of the run"),
    ],
)
def test_what_a_call_asks_for_instead_must_be_what_the_launcher_starts(root, asked, threads, told):
    settings = "small.engine=ddp,small.engine.processes=8,small.engine.nodes=2,small.threads=2"
    run = Configuration(root / "config", settings).run("small")
    refuse_contradiction(Request("pretrain", nodes=2, gpus=4), run, 8)
    with pytest.raises(AbovoError, match=told):
        refuse_contradiction(Request("pretrain", **asked), run, threads)


# n1 is in both, n3 in one: what neither partition has by itself is not there
LISTED = read_nodes(
    "small*|n1|4|8000|(null)|1-00:00:00|idle\nsmall*|n3|4|8000|(null)|1-00:00:00|idle\n"
    "fast|n1|4|16000|gpu:2|1:00:00|idle\n"
)


@pytest.mark.parametrize(
    "request_",
    [
        Request("job", "small,fast", nodes=2, minutes=1440),
        Request("job", "small,fast", gpus=2, memory_mb=16_000, minutes=60),
        Request("job", "gone,fast", gpus=2),
    ],
)
def test_of_several_partitions_one_that_could_is_enough(request_):
    refuse_unplaceable(request_, LISTED)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (
            Request("job", "small,fast", nodes=3),
            "asks for 3 nodes with 0 GPUs, 1 processors and 0 MB each, and of partition small there are 2; it asks for"
            " 3 nodes with 0 GPUs, 1 processors and 0 MB each, and of partition fast there are 1",
        ),
        (
            Request("job", "fast,small", gpus=2, minutes=61),
            "asks for 61 minutes, and a job of partition fast may take 60; it asks for 2 GPUs on one node, and no node"
            " of partition small has more than 0",
        ),
        (Request("job", "gone,away"), "there is no partition gone,away; there are fast, small"),
    ],
)
def test_what_none_of_several_partitions_could_do_is_told_in_one_line(request_, told):
    with pytest.raises(AbovoError, match="job") as caught:
        refuse_unplaceable(request_, LISTED)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_growth_is_bounded_by_what_each_of_several_partitions_has():
    assert bounds_of("small,fast", LISTED) == (8000, 60)
    assert bounds_of("gone", LISTED) == (None, None)


def test_growth_is_bounded_by_what_a_partition_has():
    assert bounds_of("gpu", NODES) == (1_024_000, 720)
    assert bounds_of(None, NODES) == (512_000, 1440)
    assert bounds_of("gpu", []) == (None, None)


def test_a_cluster_without_a_default_partition_wants_one_named():
    with pytest.raises(AbovoError, match="no default partition"):
        refuse_unplaceable(Request("job"), [node for node in NODES if not node.default])


def test_jobs_of_a_folder_are_those_that_snakemake_submitted_from_it():
    here = Path.cwd()
    lines = [
        f"7|RUNNING|n1|rule_pretrain_wildcards_nano|{here}",
        f"8|PENDING|(Resources)|rule_read_source_wildcards_nano_speeches_0|{here}",
        f"9|RUNNING|n2|mine|{here}",
        f"10|RUNNING|n2|rule_pretrain_wildcards_nano|{here.parent}",
    ]
    assert [str(job) for job in read_jobs(lines, here)] == [
        "SLURM job 7 (pretrain nano, on n1)",
        "SLURM job 8 (read_source nano_speeches_0, waiting: Resources)",
    ]


def test_jobs_of_a_folder_with_a_bar_in_its_name_are_seen(tmp_path):
    lines = [f"7|RUNNING|n1|rule_pretrain_wildcards_nano|{tmp_path}/a|b", f"8|RUNNING|n1|rule_pack|{tmp_path}/a"]
    assert [job.number for job in read_jobs(lines, tmp_path / "a|b")] == ["7"]


def test_probe_that_no_node_answers_ends_and_leaves_no_job(tmp_path, monkeypatch):
    """An srun that waits for ever, as one does whose job pends behind a node that does not answer."""
    (tmp_path / "srun").write_text("#!/bin/bash\ntrap 'touch \"${0%/*}/cancelled\"; exit 1' TERM\nsleep 60 & wait\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(check, "ALL", 1)
    (row,) = check._seen_from("CPU", "cpu", {}, tmp_path)
    assert (row.found, row.good) == ("no node answered within 1 s", False)
    assert (tmp_path / "cancelled").exists()
