# Under SLURM: what must hold before the first job is submitted, and what a job there does that a local one does not.
from abovo.cluster.driver import (
    refuse_before_submission,
    settle,
    wait_for_earlier,
)
from abovo.cluster.fitting import Request
from abovo.cluster.requeue import survive_warnings


def call_under_way():
    """The variables of Snakemake's call that reads these files, which has its executor; nothing for another call."""
    frame = sys._getframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), DAGApi):
            return frame.f_locals
        frame = frame.f_back
    return {}


def request_of(job):
    """What a job asks of a node, as the plugin will tell SLURM."""
    asked, nodes = job.resources, job.resources.get("nodes") or 1
    return Request(
        job=f"rule {job.rule.name} ({', '.join(job.wildcards)})",
        partition=asked.get("slurm_partition"),
        nodes=nodes,
        processors=asked.get("cpus_per_task") or job.threads,
        gpus=(asked.get("gpu") or 0) // nodes,
        gpu_type=asked.get("gpu_model"),
        memory_mb=asked.get("mem_mb") or 0,
        minutes=asked.get("runtime") or 0,
    )


def before_the_first_job():
    """Refuse what no node could take, and have the plugin ask what this SLURM answers."""
    settle(workflow.executor_settings, tell)
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    refuse_before_submission(request_of(job) for job in jobs)


UNDER_WAY = call_under_way()
ON_SLURM = UNDER_WAY.get("executor") == "slurm"
if workflow.is_main_process and ON_SLURM and not UNDER_WAY.get("pseudo_executor"):
    clear(wait_for_earlier, Path.cwd(), tell)
if not workflow.is_main_process:
    # The warning ahead of a time limit reaches all of a job; its training alone acts on it.
    survive_warnings()


onstart:
    if ON_SLURM:
        clear(before_the_first_job)
