# What the rules share: the configuration, and the helpers that turn wildcards into paths, settings and code hashes.
import atexit
import shlex

from snakemake.settings.types import DeploymentMethod

from abovo.cluster.fitting import bounds_of
from abovo.config import inputs
from abovo.config.compared import compared_models
from abovo.config.containers import (
    arguments_with,
    image_of,
    refuse_in_image,
)
from abovo.config.engines import launcher
from abovo.config.load import names
from abovo.config.overrides import known_keys, refuse_lost
from abovo.config.jobs import deciding_settings, job_settings, settings_of_code
from abovo.config.runs import Configuration
from abovo.config.starts import starting_point
from abovo.config.stages import (
    STAGES,
    folder_below,
    phase_of,
    titles,
    training_title,
)
from abovo.config.tuning import weights_of
from abovo.console.last_words import last_words
from abovo.planning.placement import (
    evaluation_placement,
    grown,
    training_placement,
)
from abovo.provenance.code import code_hash
from abovo.provenance.hashing import sha256_file
from abovo.provenance.requests import ask, hand_over, level_clocks
from abovo.provenance.standins import stand_in

# A project that imports the workflow has runs of its own in its config/; what it does not name is as shipped.
OVERRIDES = clear(
    known_keys,
    config,
    names("runs", Path("config"), CHECKOUT / "config"),
    workflow.modifier.is_main_snakefile(),
    SET_BY_FILES if workflow.modifier.is_main_snakefile() else {},
)
CONFIGURATION = clear(Configuration, Path("config"), OVERRIDES, CHECKOUT / "config")
if workflow.is_main_process:
    clear(refuse_lost, sys.argv)
    for wrong in clear(CONFIGURATION.check):
        print(f"warning: {wrong}", file=sys.stderr)


# --- environments


def environment(name):
    """The conda environment of a job, for `--software-deployment-method conda`. Snakemake formats the path, so braces in
    it are doubled."""
    path = str(CHECKOUT / f"envs/{name}.yaml")
    return path.replace("{", "{{").replace("}", "}}")


# The image of all jobs, for `--software-deployment-method apptainer`: what `container` in Snakemake's config names
CONTAINED = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
if CONTAINED:
    workflow.deployment_settings.apptainer_args = clear(
        arguments_with,
        workflow.deployment_settings.apptainer_args,
        Path.cwd(),
        (CHECKOUT, Path("results").resolve()),
    )


container: clear(image_of, config, CONTAINED, workflow.modifier.is_main_snakefile())


# --- wildcards


def one_of(names):
    """What a wildcard may be: one of these names alone."""
    return "|".join(names) or "(?!)"


def none_of(names):
    """What a wildcard may be: any name but these."""
    return rf"(?!(?:{one_of(names)})(?![A-Za-z0-9_-]))[A-Za-z0-9_-]+"


# --- params


def settings_for(job):
    """A params function: the file that tells a job its settings. Snakemake compares no params that may depend on inputs:
    what decides stands in the request, and what only watches reruns nothing.
    """

    def settings(wildcards, input, output):
        values = clear(job_settings, CONFIGURATION, job, dict(wildcards))
        return str(clear(hand_over, Path(output[0]), values))

    return settings


def place_of(script):
    """The path of a script from where Snakemake runs."""
    path, here = CHECKOUT / "workflow/scripts" / f"{script}.py", Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def path_of(script):
    """The same as a params function: Snakemake compares nothing that a function of `input` gives, so a checkout that
    moves reruns nothing."""
    return lambda wildcards, input: place_of(script)


def state_beside(wildcards, output):
    """The folder of the live state of a training, beside the manifest that it ends with."""
    return str(Path(output.manifest).parent / "state")


def code(script, job=None):
    """The hash of all code that a script can reach with the settings of its job; a param of what has no manifest, so
    that Snakemake reruns what other code would make."""

    def hashed(wildcards):
        return hash_for(script, job, dict(wildcards))

    return hashed


def hash_for(script, job, names):
    values = clear(settings_of_code, CONFIGURATION, job, names) if job else {}
    return code_hash(CHECKOUT / "workflow/scripts" / f"{script}.py", values)


# --- inputs


def of(function, **known):
    """An input function: what a function of `abovo.config.inputs` says to the wildcards, and to what else is `known`."""

    def paths(wildcards):
        return clear(function, CONFIGURATION, {**known, **dict(wildcards)})

    return paths


def files(function):
    """As `of`, for files of the project's own, which lie where they are whatever the prefix of artifacts."""

    def paths(wildcards):
        return [local(stand_in(path)) for path in of(function)(wildcards)]

    return paths


ASKED = {}
clear(level_clocks)


def tell(line):
    print(line, file=sys.stderr)


def tell_last_words(logs):
    for line in last_words(map(Path, logs)):
        atexit.register(tell, line)


def asked(manifest, script, job=None):
    """An input function: the request for an artifact, its settings and the hash of its code. It is written anew when
    either changes, or when something is gone that the artifact's manifest names."""

    def request(wildcards):
        names = dict(wildcards)
        names["below"] = folder_below(names)
        output = Path(manifest.format(**names))
        if output not in ASKED:
            if CONTAINED and script == "train":
                clear(refuse_in_image, of_run(wildcards))
            values = clear(deciding_settings, CONFIGURATION, job, names) if job else {}
            hashed = hash_for(script, job, names)
            ASKED[output] = str(clear(ask, output, values, hashed, tell))
        return local(ASKED[output])

    return request


# --- words of command lines that follow the inputs


def named(names, paths):
    """NAME=PATH for each, where a script cannot tell from a file which one of several it is."""
    return [f"{name}={path}" for name, path in zip(names, paths, strict=True)]


def named_sets(wildcards, input):
    """Of a task that asks about corpora; nothing for another one."""
    return named(of(inputs.measured)(wildcards) if input.sets else [], input.sets)


def named_packed_of_task(wildcards, input):
    return named(of(inputs.measured)(wildcards) if input.packed else [], input.packed)


def named_conversations(wildcards, input):
    """Of the task that asks about instruction sets; nothing for another one."""
    return (
        named(of_run(wildcards).sft.datasets, input.conversations)
        if input.conversations
        else []
    )


def option_of_items(wildcards, input):
    return f"--items {input.prepared}" if input.prepared else ""


def folder_of_parts(wildcards, input):
    """The folder of the parts of all sources, in place of the path of each."""
    return str(Path(input.sources[0]).parents[2])


def named_packed(wildcards, input):
    return named(of(inputs.corpora)(wildcards), input.packed)


def named_sets_of_stage(stage):
    def sets(wildcards, input):
        return named(weights_of(of_run(wildcards), stage), input.datasets)

    return sets


def named_models(wildcards, input):
    """The name of a model is that of its stage, with its phase where it is that of one."""
    stages = of(inputs.stages)(wildcards)
    return named([f"{stage.name}{wildcards.below}" for stage in stages], input.models)


def named_evaluations(wildcards, input):
    models = clear(compared_models, CONFIGURATION, wildcards.models)
    return named([one.name for one in models], input.evaluations)


def option_of_start(wildcards, input):
    """Where training starts: at the end of the phase before, at another model, or at fresh weights."""
    if input.before:
        return f"--before {input.before}"
    return f"--start {shlex.quote(starting_point(input.start))}" if input.start else ""


def option_of_results(wildcards, input):
    return f"--results {input.results}" if input.results else ""


def option_of_model(wildcards, input):
    return f"--model {input.model}" if input.model else ""


def option_of_corpus(wildcards, input):
    return f"--corpus {input.corpus}" if input.corpus else ""


def titles_of_models(wildcards):
    """What the models of a stage are called in a page."""
    return titles(
        wildcards.stage, clear(CONFIGURATION.stages, wildcards.run), wildcards
    )


def title_of_training(wildcards):
    return f"{wildcards.run}, {training_title(wildcards.stage, phase_of(wildcards))}"


# --- resources


def of_run(wildcards):
    return clear(CONFIGURATION.any_run, wildcards.run)


def threads_of_run(wildcards):
    """What training takes on each node: the run's threads for each process of its engine there."""
    run = of_run(wildcards)
    return run.threads * run.engine.processes // run.engine.nodes


def threads_of_process(wildcards):
    return clear(CONFIGURATION.scored, wildcards.run).threads


def launcher_of_run(wildcards, input):
    run = of_run(wildcards)
    return launcher(run.engine, run.threads, place_of)


# The nodes of SLURM, once they are asked for
NODES = []


def said_by_the_site():
    """What a profile says of the site's own under default-resources."""
    known = workflow.resource_settings.default_resources
    return dict(one.split("=", 1) for one in known.args) if known else {}


def site(name):
    """One of these; None where it says nothing."""
    value = str(said_by_the_site().get(name, "")).strip("'\"")
    return None if value in ("", "None", "null") else value


def placed(stage):
    """What jobs that may take GPUs ask for: the training of `stage`, or an evaluation (None). GPUs are counted where a
    profile says how many there are, or where it hands jobs to SLURM. A job of several nodes starts its processes there
    itself, and the plugin is told by `mpi` to start the job alone.
    """

    def asked(wildcards, attempt):
        found = (
            clear(training_placement, CONFIGURATION, wildcards.run, stage)
            if stage
            else clear(evaluation_placement, CONFIGURATION, wildcards.run)
        )
        return found.grown(attempt, *bounds_of(partition_for(found), NODES))

    def partition_for(found):
        return (site("gpu_partition") if found.gpus else None) or site(
            "slurm_partition"
        )

    def of_several(value):
        """What is asked for with several nodes, each of them a task, and with one is not there."""

        def told(wildcards, attempt):
            nodes = asked(wildcards, attempt).nodes
            return value(nodes) if nodes > 1 else None

        return told

    return {
        "nodes": lambda wildcards, attempt: asked(wildcards, attempt).nodes,
        "mpi": of_several(lambda nodes: "srun"),
        "tasks": of_several(lambda nodes: nodes),
        "tasks_per_gpu": of_several(lambda nodes: 0),
        "gpu": lambda wildcards, attempt: asked(wildcards, attempt).gpus,
        "mem_mb": lambda wildcards, attempt: asked(wildcards, attempt).memory_mb,
        "runtime": lambda wildcards, attempt: asked(wildcards, attempt).minutes,
        "slurm_partition": lambda wildcards, attempt: partition_for(
            asked(wildcards, attempt)
        ),
        "gpu_model": lambda wildcards, attempt: (
            site("gpu_type") if asked(wildcards, attempt).gpus else None
        ),
        "slurm_extra": lambda wildcards, attempt: asked(wildcards, attempt).options(
            site("slurm_extra"), site("gpu_type")
        ),
    }


def hours(number):
    """The longest that a job may take, where the partition allows it; what a partition cuts off fails there."""

    def minutes(wildcards, attempt):
        _, longest = bounds_of(site("slurm_partition"), NODES)
        found = grown(60 * number, attempt, longest)
        return min(found, longest or found)

    return minutes


def megabytes(number):
    """Memory that a job is given at first; `number` may be a function of its wildcards."""

    def memory(wildcards, attempt):
        most, _ = bounds_of(site("slurm_partition"), NODES)
        least = number(wildcards) if callable(number) else number
        return grown(least, attempt, most)

    return memory


def memory_of_deduplication(wildcards):
    """What comparing documents may take, and the libraries and shards of the job (MB)."""
    corpus = clear(CONFIGURATION.shared, "corpora", wildcards.corpus)
    return int(corpus.deduplication.memory_mb) + 500
