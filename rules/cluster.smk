# What must hold before the first job starts: GPUs that a profile counts are here, nodes of SLURM can take what is asked;
# and what a job of SLURM does that a local one does not.
import difflib

from abovo.cluster.cards import check_counted, check_wanted
from abovo.cluster.driver import (
    refuse_before_submission,
    settle,
    wait_for_earlier,
)
from abovo.cluster.fitting import Request, refuse_contradiction
from abovo.cluster.on_nodes import hosts_of, number_of_job
from abovo.cluster.requeue import survive_warnings
from abovo.cluster.slurm import nodes
from abovo.config.engines import gpus_of_node
from abovo.planning.placement import AHEAD, SIGNAL

# What Snakemake, its plugin and the rules take under default-resources; a site may have others of its own
TAKEN = """
slurm_account slurm_partition slurm_extra slurm_cluster cluster clusters qos constraint reservation gres gpu gpu_model
gpu_partition gpu_type mem_mb mem_mb_per_cpu disk_mb tmpdir runtime nodes tasks tasks_per_node tasks_per_gpu
cpus_per_task cpus_per_gpu
""".split()
# Calls of Snakemake that submit no job
QUIET = (
    *("dryrun", "touch", "unlock", "dag", "rulegraph", "filegraph", "summary"),
    *("detailed_summary", "report", "cleanup_metadata", "delete_all_output"),
    *("list_rules", "list_target_rules", "lint", "conda_create_envs_only"),
    *("list_changes", "list_conda_envs", "d3dag", "print_compilation"),
)


def submits():
    """Whether this call of Snakemake will submit jobs to SLURM. It tells the workflow only after all its files are read;
    until then that stands in the call that reads them.
    """
    frame = sys._getframe()
    while frame is not None:
        words = frame.f_locals.get("args")
        if hasattr(words, "executor") and hasattr(words, "dryrun"):
            others = any(getattr(words, one, None) for one in QUIET)
            return words.executor == "slurm" and not others
        frame = frame.f_back
    return False


def request_of(job):
    """What a job will ask of a node, now that the nodes are known, as the plugin tells SLURM."""
    asked = job.rule.expand_resources(job.wildcards_dict, job.input, job.attempt)

    def number(name, least=0):
        value = asked.get(name)
        return value if isinstance(value, int) and value else least

    count = number("nodes", 1)
    return Request(
        job=f"rule {job.rule.name} ({', '.join(job.wildcards)})",
        partition=asked.get("slurm_partition"),
        nodes=count,
        processors=number("cpus_per_task", number("_cores", 1)),
        gpus=-(-number("gpu") // count),
        gpu_type=asked.get("gpu_model"),
        memory_mb=number("mem_mb"),
        minutes=number("runtime"),
    )


def trains(job):
    """Whether a job starts the processes of its run's engine."""
    return any(name == "launcher" for name, _ in job.rule.params.items())


def refuse_other_processes(job):
    """What a call asks for in place of the rule must be what the launcher starts, or SLURM refuses it in the middle."""
    asked = request_of(job)
    refuse_contradiction(asked, of_run(job.wildcards), job.threads)
    extra = str(job.resources.get("slurm_extra", ""))
    if "--signal" not in extra:
        tell(
            f"warning: {asked.job}: slurm_extra lacks --signal={SIGNAL}@{AHEAD}, so a time limit ends it without a"
            " checkpoint of its last step, as a failure"
        )
    own = ":".join(filter(None, (asked.gpu_type, str(asked.gpus))))
    if asked.nodes > 1 and asked.gpus and f"--gpus-per-node={own}" not in extra.split():
        sys.exit(
            f"error: {asked.job}: slurm_extra lacks --gpus-per-node={own}, without which GPUs could lie on its"
            " nodes in other numbers; say it where set-resources of the profile says slurm_extra or gpu_model"
        )


def warn_of_names():
    """Snakemake passes over what a profile says of rules that are none, and under names that only nearly mean something."""
    asked = workflow.resource_settings.overwrite_resources
    rules = {rule.name for rule in workflow.rules}
    for kind, said, names in (
        ("rule", asked, rules),
        ("resource", said_by_the_site(), TAKEN),
    ):
        for name in sorted({*said} - {*names}):
            meant = difflib.get_close_matches(name, names, 1)
            if meant or kind == "rule":
                mend = f"did you mean {meant[0]}?" if meant else "there is none"
                tell(f"warning: the profile names a {kind} {name}: {mend}")


def before_the_first_job():
    """Refuse what no node could take, and have the plugin ask what this SLURM answers."""
    warn_of_names()
    settle(workflow.executor_settings, tell)
    NODES.extend(nodes())
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    for job in filter(trains, jobs):
        refuse_other_processes(job)
    refuse_before_submission(map(request_of, jobs), NODES)


def before_the_first_job_here(jobs):
    """Refuse what lacks machines or GPUs: counted ones are of all machines where a training is spread over several, and
    each of those has its own."""
    spread = [job for job in jobs if (job.resources.get("nodes") or 1) > 1]
    if spread and number_of_job(os.environ) is None:
        hosts_of(os.environ, max(job.resources["nodes"] for job in spread))
    wanting = [job for job in jobs if gpus_of(job.resources)]
    counted = gpus_of(workflow.global_resources)
    if spread:
        wanting = [job for job in wanting if job not in spread]
        counted = max((gpus_of(job.resources) for job in wanting), default=0)
    if counted:
        check_counted(counted, len(wanting))
        own = [of_run(job.wildcards).engine for job in wanting if trains(job)]
        check_wanted(max(map(gpus_of_node, own), default=0))


if workflow.is_main_process and submits():
    clear(wait_for_earlier, Path.cwd(), tell)
if not workflow.is_main_process:
    # The warning ahead of a time limit reaches all of a job; its training alone acts on it.
    survive_warnings()


def gpus_of(resources):
    """GPUs in what a job asks for, or in what a profile counts; none where nothing is said of them."""
    number = resources.get("gpu")
    return getattr(number, "value", number) or 0


onstart:
    if workflow.is_main_process and workflow.executor_plugin.name == "slurm":
        clear(before_the_first_job)
    elif workflow.is_main_process:
        clear(before_the_first_job_here, list(workflow.dag.needrun_jobs()))
