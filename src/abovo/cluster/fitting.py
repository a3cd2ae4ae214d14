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

    `job` is what it is called, `partition` none where the cluster's own is meant; several are parted by commas.
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
    """The nodes of a partition, or of all that are named; of the default one where none is."""
    return [node for node in nodes if (node.partition in name.split(",") if name else node.default)]


def partitions_of(name: str | None, nodes: Sequence[Node]) -> list[list[Node]]:
    """The nodes of each partition that `name` lists, in its order, without those that are not there; SLURM takes a list
    as alternatives, and starts a job in one of them alone."""
    found: dict[str, list[Node]] = {one: [] for one in name.split(",")} if name else {}
    for node in partition_of(name, nodes):
        found.setdefault(node.partition, []).append(node)
    return [own for own in found.values() if own]


def bounds_of(name: str | None, nodes: Sequence[Node]) -> tuple[int | None, int | None]:
    """The most memory of a node of a partition (MB) and the longest time of a job there (minutes); None where neither
    bounds anything, or nothing is known.

    Of several partitions what each of them has: a job that fits into one of them still does once it has grown so far.
    """
    each = partitions_of(name, nodes)
    longest = [minutes for own in each if (minutes := _longest(own)) is not None]
    return min((max(node.memory_mb for node in own) for own in each), default=None), min(longest, default=None)


def refuse_unplaceable(request: Request, nodes: Sequence[Node]) -> None:
    """Raise AbovoError where no nodes of the partition could ever do what is asked for, or only in more time than it
    allows; of several partitions, where none of them could."""
    each = partitions_of(request.partition, nodes)
    if not each:
        names = sorted({node.partition for node in nodes})
        if request.partition is None:
            raise AbovoError(
                "this SLURM has no default partition", request.job,
                f"set slurm_partition in {PROFILE} to one of {', '.join(names)}",
            )  # fmt: skip
        mend = f"there are {', '.join(names)}; name one of them in {PROFILE}"
        raise AbovoError(f"there is no partition {request.partition}", request.job, mend)
    reasons = []
    for own in each:
        if (reason := _why_never(request, own)) is None:
            return
        reasons.append(reason)
    raise AbovoError("; it ".join(what for what, _ in reasons), request.job, reasons[0][1])


def _why_never(request: Request, own: Sequence[Node]) -> tuple[str, str] | None:
    """Why the nodes of one partition could never do what is asked for, and what mends it; None where they could."""
    where = f"of partition {own[0].partition}"
    kinds = sorted({kind for node in own for kind in node.gpus if kind})
    if request.gpus and request.gpu_type and request.gpu_type not in kinds:
        there = ", ".join(kinds) or "no types"
        told = f"asks for GPUs of type {request.gpu_type}, and partition {own[0].partition} has {there}"
        return told, f"set gpu_type in {PROFILE}, or leave it out"
    spread = "use more nodes in the run's engine"
    needs = (
        ("GPUs", request.gpus, lambda node: _gpus(node, request.gpu_type), spread),
        ("processors", request.processors, lambda node: node.processors, "set the run's threads lower"),
        ("MB of memory", request.memory_mb, lambda node: node.memory_mb, "set mem_mb of the rule lower"),
    )
    for what, asked, has, mend in needs:
        most = max(map(has, own))
        if asked > most:
            kind = f"{request.gpu_type} " if request.gpu_type and what == "GPUs" else ""
            told = f"asks for {asked:,} {kind}{what} on one node, and no node {where} has more than {most:,}"
            return told, f"{mend}, or name a partition with larger nodes in {PROFILE}"
    able = [node for node in own if all(asked <= has(node) for _, asked, has, _ in needs)]
    if len(able) < request.nodes:
        told = f"asks for {request.nodes} nodes with {_words(request)} each, and {where} there are {len(able)}"
        return told, f"ask for less, or name another partition in {PROFILE}"
    longest = _longest(own)
    if longest is not None and request.minutes > longest:
        told = f"asks for {request.minutes:,} minutes, and a job {where} may take {longest:,}"
        return told, f"set runtime of the rule under set-resources in {PROFILE}"
    return None


def _longest(own: Sequence[Node]) -> int | None:
    """The longest time of a job in one partition (minutes); None without a limit."""
    limits = [node.minutes for node in own]
    return None if None in limits else max(filter(None, limits), default=None)


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
