"""Run the jobs of a graph on simulated nodes that share one disk: hours, and what stood idle meanwhile.

A list scheduler: of the jobs that are ready those with the longest way still to go are submitted first, and start on
the node with most free cores. A job moves its bytes evenly over its time; where all that run would move more than the
disk can, all become slower by the same factor.
"""

import heapq
from collections.abc import Mapping
from typing import NamedTuple


class Job(NamedTuple):
    """A job of one core: those before it, its seconds with the disk to itself, bytes read and written, memory."""

    rule: str
    after: tuple[str, ...]
    seconds: float
    read: float
    written: float
    memory_mb: float
    gpus: int = 0

    @property
    def flow(self) -> float:
        """Bytes per second."""
        return (self.read + self.written) / self.seconds


class Cluster(NamedTuple):
    """Nodes of so many cores and so much memory (MB), a disk (bytes/s), the jobs in the queue at once, and those that
    are submitted in a second."""

    nodes: int
    cores: int
    memory_mb: float
    disk: float
    at_once: int
    per_second: float


class Ran(NamedTuple):
    """Seconds in all; shares of cores and of the disk that were at work; seconds in which one job ran alone."""

    seconds: float
    cores_at_work: float
    disk_at_work: float
    alone: float


def ways_to_go(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Seconds from the begin of each job to the end of all that needs it; jobs stand after those that they need."""
    found = {name: job.seconds for name, job in jobs.items()}
    for name in reversed(list(jobs)):
        for other in jobs[name].after:
            found[other] = max(found[other], jobs[other].seconds + found[name])
    return found


def longest_path(jobs: Mapping[str, Job]) -> list[str]:
    """The jobs, one after the other, that no number of nodes makes shorter."""
    left = ways_to_go(jobs)
    path = [max((name for name in jobs if not jobs[name].after), key=left.__getitem__)]
    while after := [name for name in jobs if path[-1] in jobs[name].after]:
        path.append(max(after, key=left.__getitem__))
    return path


def simulate(jobs: Mapping[str, Job], cluster: Cluster) -> Ran:
    """Raises ValueError for a job that no node can hold."""
    if any(job.memory_mb > cluster.memory_mb for job in jobs.values()):
        raise ValueError("a job needs more memory than a node has")
    waits = {name: len(job.after) for name, job in jobs.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for other in job.after:
            needed_by[other].append(name)
    left = ways_to_go(jobs)
    ready = [(-left[name], name) for name, number in waits.items() if not number]
    heapq.heapify(ready)
    queued: list[str] = []
    free = [[cluster.cores, cluster.memory_mb] for _ in range(cluster.nodes)]
    running: dict[str, tuple[int, float]] = {}
    now = submitted_at = busy = moved = alone = 0.0
    while ready or queued or running:
        while ready and len(queued) + len(running) < cluster.at_once and submitted_at <= now:
            queued.append(heapq.heappop(ready)[1])
            submitted_at = max(now, submitted_at) + 1 / cluster.per_second
        for name in list(queued):
            node = max(range(len(free)), key=lambda one: free[one][0])
            if not free[node][0]:
                break
            fitting = [one for one in range(len(free)) if free[one][0] and free[one][1] >= jobs[name].memory_mb]
            if fitting:
                node = max(fitting, key=lambda one: free[one][0])
                free[node][0] -= 1
                free[node][1] -= jobs[name].memory_mb
                running[name] = (node, jobs[name].seconds)
                queued.remove(name)
        flow = sum(jobs[name].flow for name in running)
        speed = min(1.0, cluster.disk / flow) if flow else 1.0
        step = min((seconds / speed for _, seconds in running.values()), default=submitted_at - now)
        if ready and len(queued) + len(running) < cluster.at_once:
            step = min(step, max(submitted_at - now, 0.0))
        now += step
        busy += step * len(running)
        moved += step * flow * speed
        alone += step * (len(running) == 1)
        for name, (node, seconds) in list(running.items()):
            running[name] = (node, seconds - step * speed)
            if running[name][1] <= 1e-9 * jobs[name].seconds:
                del running[name]
                free[node][0] += 1
                free[node][1] += jobs[name].memory_mb
                for other in needed_by[name]:
                    waits[other] -= 1
                    if not waits[other]:
                        heapq.heappush(ready, (-left[other], other))
    return Ran(now, busy / now / cluster.nodes / cluster.cores, moved / now / cluster.disk, alone)
