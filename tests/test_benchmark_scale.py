"""The benchmark of scale names the jobs that a dry run counts, and its simulated nodes run them as nodes would."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import scale
from scale_cluster import Cluster, Job, longest_path, simulate, ways_to_go

SIZE = scale.Size(tokens=1e9, parts=12, duplicate_jobs=2)
WIDE = Cluster(nodes=1, cores=8, memory_mb=8000, disk=1e9, at_once=100, per_second=1e9)


def parts(number, seconds, read=0.0, memory=1000.0):
    """Equal jobs, and one after all of them."""
    jobs = {f"part {one}": Job("read", (), seconds, read, 0.0, memory) for one in range(number)}
    return jobs | {"all": Job("join", tuple(jobs), 5.0, 0.0, 0.0, memory)}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale") / "project"
    scale.write_project(folder, SIZE)
    return folder


@pytest.mark.slow
def test_the_jobs_are_those_of_the_dry_run(project):
    made = scale.jobs_of(project, SIZE, scale.Here(start=5.0, hashed=1e9))
    rules = [job.rule for job in made.values() if job.rule not in ("pack", "pretrain")]
    said = scale.dry_run(project).said
    assert scale.counted(said) == {rule: rules.count(rule) for rule in rules} and len(rules) == 1 + 12 + 2 + 1
    # a part is made from the plan: were each file an input of each part, a thousand would be a million
    plan = said[said.index("rule plan_corpus:") :].partition("\n\n")[0]
    part = said[said.index("rule read_source:") :].partition("\n\n")[0]
    assert plan.count("texts/") == 12 and "texts/" not in part


def test_rates_and_sizes_reach_the_jobs(project):
    made = scale.jobs_of(project, SIZE, scale.Here(start=5.0, hashed=1e9))
    one = {job.rule: job for job in made.values()}
    assert one["pack"].seconds == pytest.approx(5 + 1e9 * 4.4 / 36e6) and one["pack"].written == 2e9
    assert one["pretrain"].seconds == pytest.approx(1e9 / 412e3) and one["pretrain"].gpus == 1
    text = sum(job.read for job in made.values() if job.rule == "read_source")
    assert text == pytest.approx(SIZE.read * 19.1 / 52.1) and text == pytest.approx(one["plan_corpus"].read)
    assert [made[name].rule for name in longest_path(made)] == [
        "plan_corpus", "read_source", "find_duplicates", "assemble_corpus", "pack", "pretrain",
    ]  # fmt: skip


def test_cores_memory_and_the_queue_bound_what_runs_at_once():
    jobs = parts(16, 10.0)
    assert simulate(jobs, WIDE).seconds == pytest.approx(25)
    assert simulate(jobs, WIDE._replace(nodes=2)).seconds == pytest.approx(15)
    assert simulate(jobs, WIDE._replace(nodes=2, at_once=4)).seconds == pytest.approx(45)
    assert simulate(parts(16, 10.0, memory=4000.0), WIDE._replace(nodes=2)).seconds == pytest.approx(45)
    slow = simulate(jobs, WIDE._replace(nodes=2, per_second=1.0))
    assert slow.seconds == pytest.approx(15 + 10 + 5) and slow.alone >= 5
    with pytest.raises(ValueError, match="more memory than a node has"):
        simulate(parts(1, 1.0, memory=9000.0), WIDE)


def test_a_disk_that_all_share_slows_all_alike():
    jobs = parts(8, 10.0, read=5e9)  # 0.5 GB/s each
    fast, shared = simulate(jobs, WIDE._replace(disk=4e9)), simulate(jobs, WIDE)
    assert fast.seconds == pytest.approx(15) and shared.seconds == pytest.approx(45)
    assert shared.disk_at_work == pytest.approx(40 / 45)
    assert simulate(jobs, WIDE._replace(nodes=8)).seconds == pytest.approx(45)


def test_the_longest_way_is_begun_first():
    chain = {"a": Job("a", (), 1.0, 0, 0, 1), "b": Job("b", ("a",), 9.0, 0, 0, 1), "c": Job("c", (), 2.0, 0, 0, 1)}
    assert ways_to_go(chain) == {"a": 10.0, "b": 9.0, "c": 2.0}
    assert simulate(chain, WIDE._replace(cores=1)).seconds == pytest.approx(12)
    assert simulate(chain, WIDE._replace(cores=2)).seconds == pytest.approx(10)
