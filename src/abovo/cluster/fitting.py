"""Turn what a job asks for and the nodes there are into the reason why it would wait for ever."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from abovo.cluster.slurm import Node
from abovo.errors import AbovoError

PROFILE = "profiles/slurm/config.yaml"


@dataclass(frozen=True)
class Request:
    """What a job asks of each of its `nodes`: processors, GPUs (of a type, or any), memory (MB), and time (minutes).

    `job` is what it is called, `partition` none where the cluster's own is meant.
    """

    job: str
    partition: str | None = None
    nodes: int = 1
    processors: int = 1
    gpus: int = 0
    gpu_type: str | None = None
    memory_mb: int = 0
    minutes: int = 0


def partition_of(name: str | None, nodes: Sequence[Node]) -> list[Node]:
    """The nodes of a partition, of the default one where none is named."""
    return [node for node in nodes if (node.partition in name.split(",") if name else node.default)]


def bounds_of(name: str | None, nodes: Sequence[Node]) -> tuple[int | None, int | None]:
    """The most memory of a node of a partition (MB) and the longest time of a job there (minutes); None where neither
    bounds anything, or nothing is known."""
    own = partition_of(name, nodes)
    limits = [node.minutes for node in own]
    longest = None if None in limits else max(filter(None, limits), default=None)
    return max((node.memory_mb for node in own), default=None), longest


def refuse_unplaceable(request: Request, nodes: Sequence[Node]) -> None:
    """Raise AbovoError where no nodes of the partition could ever do what is asked for, or only in more time than it
    allows."""
    names = sorted({node.partition for node in nodes})
    own = partition_of(request.partition, nodes)
    if not own:
        if request.partition is None:
            raise AbovoError(
                "this SLURM has no default partition", request.job,
                f"set slurm_partition in {PROFILE} to one of {', '.join(names)}",
            )  # fmt: skip
        mend = f"there are {', '.join(names)}; name one of them in {PROFILE}"
        raise AbovoError(f"there is no partition {request.partition}", request.job, mend)
    where = f"of partition {own[0].partition}"
    needs = (
        (
            "GPUs",
            request.gpus,
            lambda node: _gpus(node, request.gpu_type),
            "use more nodes in the run's engine",
        ),
        ("processors", request.processors, lambda node: node.processors, "set the run's threads lower"),
        ("MB of memory", request.memory_mb, lambda node: node.memory_mb, "set mem_mb of the rule lower"),
    )
    for what, asked, has, mend in needs:
        most = max(map(has, own))
        if asked > most:
            kind = f"{request.gpu_type} " if request.gpu_type and what == "GPUs" else ""
            told = f"asks for {asked:,} {kind}{what} on one node, and no node {where} has more than {most:,}"
            raise AbovoError(told, request.job, f"{mend}, or name a partition with larger nodes in {PROFILE}")
    able = [node for node in own if all(asked <= has(node) for _, asked, has, _ in needs)]
    if len(able) < request.nodes:
        told = f"asks for {request.nodes} nodes with {_words(request)} each, and {where} there are {len(able)}"
        raise AbovoError(told, request.job, f"ask for less, or name another partition in {PROFILE}")
    _, longest = bounds_of(request.partition, nodes)
    if longest is not None and request.minutes > longest:
        told = f"asks for {request.minutes:,} minutes, and a job {where} may take {longest:,}"
        raise AbovoError(told, request.job, f"set runtime of the rule under set-resources in {PROFILE}")


def refuse_contradiction(request: Request, run: Any, threads: int) -> None:
    """Raise AbovoError where a training asks for other nodes, GPUs or threads than the processes of its run need, as
    set-resources and set-threads can have it."""
    engine = run.engine
    own = engine.processes // engine.nodes
    gpus = 0 if engine.device == "cpu" else own
    for what, asked, needed, key in (
        ("nodes", request.nodes, engine.nodes, "engine.nodes"),
        ("GPUs a node", request.gpus, gpus, "engine.processes, or engine.device to cpu,"),
    ):
        if asked != needed:
            told = f"asks for {asked} {what}, and its engine starts processes for {needed}"
            raise AbovoError(told, request.job, f"set {key} of the run in place of set-resources")
    if threads < own * run.threads:
        told = f"has {threads} threads, and its processes take {own * run.threads} on each node"
        raise AbovoError(told, request.job, "set threads of the run in place of set-threads")


def _gpus(node: Node, kind: str | None) -> int:
    return node.gpus.get(kind, 0) if kind else sum(node.gpus.values())


def _words(request: Request) -> str:
    return f"{request.gpus} GPUs, {request.processors} processors and {request.memory_mb:,} MB"
