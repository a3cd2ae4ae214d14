# What the rules share: the configuration, and the helpers that turn wildcards into paths, settings and code hashes.
import shlex
import sys
from pathlib import Path

# This workflow's own folder, wherever Snakemake runs and whichever project imports it. Its library comes first, whatever
# is installed; scripts find it beside themselves (workflow/scripts/abovo), in conda environments and SLURM jobs too.
CHECKOUT = Path(str(workflow.current_basedir)).resolve().parent
sys.path.insert(0, str(CHECKOUT / "src"))

from abovo.config.engines import gpus, launcher
from abovo.config.jobs import job_settings
from abovo.config.runs import Configuration, phases_up_to, starting_point
from abovo.config.stages import STAGES, phase_of, stages_up_to
from abovo.corpus.local import find_files
from abovo.errors import AbovoError
from abovo.provenance.code import code_hash
from abovo.provenance.hashing import canonical_json, sha256_file
from abovo.settings.run import corpora_of


def clear(function, *arguments):
    """Call a function of the library; its error ends Snakemake with one line and status 1, without a traceback."""
    try:
        return function(*arguments)
    except AbovoError as error:
        sys.exit(f"error: {error}")


# A project that imports the workflow has runs of its own in its config/; what it does not name is as shipped.
CONFIGURATION = clear(
    Configuration, Path("config"), str(config.get("set", "")), CHECKOUT / "config"
)
clear(CONFIGURATION.check)


# --- params


def settings_for(job):
    """A params function: the resolved settings of a job as one line of JSON."""

    def settings(wildcards):
        values = clear(job_settings, CONFIGURATION, job, dict(wildcards))
        return canonical_json(values).decode()

    return settings


def path_of(script):
    """A params function: the path of a script from where Snakemake runs. Snakemake compares nothing that a function of
    `input` gives, so a checkout that moves reruns nothing."""
    path = CHECKOUT / "workflow/scripts" / f"{script}.py"

    def place(wildcards, input):
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)

    return place


def state_beside(wildcards, output):
    """The folder of the live state of a training, beside the manifest that it ends with."""
    return str(Path(output.manifest).parent / "state")


def code(script, job=None):
    """The hash of all code that a script can reach with the settings of its job; a param, so that Snakemake reruns
    what other code would make."""

    def hashed(wildcards):
        values = clear(job_settings, CONFIGURATION, job, dict(wildcards)) if job else {}
        return code_hash(CHECKOUT / "workflow/scripts" / f"{script}.py", values)

    return hashed


def named(names, paths):
    """NAME=PATH for each, where a script cannot tell from a file which one of several it is."""
    return [f"{name}={path}" for name, path in zip(names, paths, strict=True)]


def named_sets(wildcards, input):
    return named(corpora_of_model(wildcards), input.sets)


def named_packed(wildcards, input):
    return named(corpora_of_model(wildcards), input.packed)


# --- a run's parts


def of_run(wildcards):
    return clear(CONFIGURATION.run, wildcards.run)


def threads_of_run(wildcards):
    """What training takes: the run's threads for each process of its engine."""
    run = of_run(wildcards)
    return run.threads * run.engine.processes


def threads_of_process(wildcards):
    return of_run(wildcards).threads


def launcher_of_run(wildcards):
    return launcher(of_run(wildcards).engine)


def gpus_of_run(wildcards):
    """A request: counted where a profile says how many GPUs there are, or where it hands jobs to SLURM."""
    return gpus(of_run(wildcards).engine)


def tokenizer_of_run(wildcards):
    return (
        f"results/tokenizers/{of_run(wildcards).parts.tokenizer}/tokenizer_config.json"
    )


def packed_of_run(wildcards):
    """The bins of the run's phases; of those up to the one whose model it is, where it is that of a phase."""
    run = of_run(wildcards)
    return expand(
        "results/packed/{corpus}/{tokenizer}/{length}/manifest.json",
        corpus=corpora_of_model(wildcards),
        tokenizer=run.parts.tokenizer,
        length=run.sequence_length,
    )


def phases_of(wildcards):
    return clear(phases_up_to, of_run(wildcards), phase_of(wildcards))


def corpora_of_model(wildcards):
    return corpora_of(phases_of(wildcards))


def phase_before(wildcards):
    """The manifest of the phase before the last of those that are trained; nothing for the first phase."""
    names = [phase.name for phase in phases_of(wildcards)]
    return expand(
        "results/pretrain/{run}/phase-{phase}/manifest.json",
        run=wildcards.run,
        phase=names[-2:-1],
    )


def start_of_run(wildcards):
    """The finished model of another run that a run goes on from, or the files of a folder; nothing for fresh weights."""
    return clear(CONFIGURATION.start_of, wildcards.run)


def option_of_start(wildcards, input):
    """Where training starts: at the end of the phase before, at another model, or at fresh weights."""
    if input.before:
        return f"--before {input.before}"
    return f"--start {shlex.quote(starting_point(input.start))}" if input.start else ""


def sets_of_run(wildcards, input):
    """NAME=PATH of each packed corpus, as the run's phases call them."""
    names = corpora_of_model(wildcards)
    return shlex.join(map("=".join, zip(names, input.packed, strict=True)))


def datasets_of_run(wildcards, input):
    """NAME=PATH of each instruction set, as the run's recipe calls them."""
    names = of_run(wildcards).sft.datasets
    return shlex.join(map("=".join, zip(names, input.datasets, strict=True)))


def instruction_of_run(wildcards):
    run = of_run(wildcards)
    if run.sft is None:
        sys.exit(
            f"error: config/runs/{run.name}.yaml, key sft: is null; name a recipe of config/sft"
        )
    return expand(
        "results/instruction/{dataset}/{tokenizer}/manifest.json",
        dataset=run.sft.datasets,
        tokenizer=run.parts.tokenizer,
    )


def evaluation_sets_of_run(wildcards):
    run = of_run(wildcards)
    return expand(
        "results/evaluation/{corpus}/{evaluation}/manifest.json",
        corpus=corpora_of_model(wildcards),
        evaluation=run.parts.evaluation,
    )


def data_of_run(wildcards):
    corpora = expand(
        "results/corpora/{corpus}/manifest.json", corpus=corpora_of_model(wildcards)
    )
    return [*corpora, tokenizer_of_run(wildcards), *packed_of_run(wildcards)]


# --- a stage's models: its own, and before it those that it came from; of a phase its own alone


def stages_of(wildcards):
    return clear(stages_up_to, wildcards.stage, phase_of(wildcards))


def models_of_stage(wildcards):
    return expand(
        "results/{stage}/{run}{phase}/manifest.json",
        stage=[stage.name for stage in stages_of(wildcards)],
        run=wildcards.run,
        phase=wildcards.phase_folder,
    )


def named_models(wildcards, input):
    """NAME=PATH for each model; the name is that of its stage, with its phase where it is that of one."""
    return [
        f"{stage.name}{wildcards.phase_folder}={path}"
        for stage, path in zip(stages_of(wildcards), input.models, strict=True)
    ]


def evaluations_of_stage(wildcards):
    return [
        path.replace("/manifest.json", "/evaluation.json")
        for path in models_of_stage(wildcards)
    ]


def titles_of_stage(wildcards):
    """What the models of `models_of_stage` are called in a page."""
    phase = phase_of(wildcards)
    return (
        [f"after phase {phase}"]
        if phase
        else [stage.model for stage in stages_of(wildcards)]
    )


def title_of_training(wildcards):
    phase = phase_of(wildcards)
    stage = stages_of(wildcards)[-1]
    return ", ".join(
        [wildcards.run, stage.training, *([f"phase {phase}"] if phase else [])]
    )


def figures_of_stage(wildcards):
    run = of_run(wildcards)
    return [
        *expand(
            "results/report/corpora/{corpus}/composition.svg",
            corpus=corpora_of_model(wildcards),
        ),
        f"results/report/tokenizers/{run.parts.tokenizer}/card.html",
        *expand(
            "results/report/{run}/{stage}{phase}/{name}",
            run=wildcards.run,
            stage=[stage.name for stage in stages_of(wildcards)],
            phase=wildcards.phase_folder,
            name=["loss.svg", "loss_by_source.svg", "loss_by_source.html"],
        ),
        f"results/report/{wildcards.run}/{wildcards.stage}{wildcards.phase_folder}/results.html",
    ]


# --- corpora, tokenizers and instruction sets


def corpus(wildcards):
    return clear(CONFIGURATION.shared, "corpora", wildcards.corpus)


def counting_tokenizer_of_corpus(wildcards):
    name = corpus(wildcards).count_with
    return f"results/tokenizers/{name}/tokenizer_config.json" if name else []


def files_of(source):
    """The files of a local source, so that an edited one is read again."""
    if source.type != "local":
        return []
    return [local(str(path)) for path in clear(find_files, source.paths).values()]


def files_of_corpus(wildcards):
    return [
        path
        for source in corpus(wildcards).sources.values()
        for path in files_of(source)
    ]


def files_of_source(wildcards):
    sources = corpus(wildcards).sources
    if wildcards.source not in sources:
        known = ", ".join(sources)
        sys.exit(
            f"error: config/corpora/{wildcards.corpus}.yaml: no source {wildcards.source!r}; known: {known}"
        )
    return files_of(sources[wildcards.source])


def sources_of_corpus(wildcards):
    """The manifests of all parts of all sources, in the configuration's order."""
    return [
        f"results/corpora/{wildcards.corpus}/sources/{name}/{part}/manifest.json"
        for name, source in corpus(wildcards).sources.items()
        for part in range(source.parts)
    ]


def duplicates_of_corpus(wildcards):
    return expand(
        "results/corpora/{corpus}/duplicates/{job}/manifest.json",
        corpus=wildcards.corpus,
        job=range(corpus(wildcards).deduplication.jobs),
    )


def memory_of_deduplication(wildcards):
    """What comparing documents may take, and the libraries and shards of the job (MB)."""
    return int(corpus(wildcards).deduplication.memory_mb) + 500


def decontamination_of_corpus(wildcards):
    name = corpus(wildcards).decontaminate.against
    return f"results/decontamination/{name}/manifest.json" if name else []


def files_of_decontamination(wildcards):
    name = wildcards.decontamination
    sets = clear(CONFIGURATION.shared, "decontamination", name).sets
    return [path for one in sets.values() for path in files_of(one)]


def corpus_of_tokenizer(wildcards):
    name = clear(CONFIGURATION.shared, "tokenizers", wildcards.tokenizer).corpus
    return f"results/corpora/{name}/manifest.json"


def corpus_of_dataset(wildcards):
    name = clear(CONFIGURATION.shared, "instruction", wildcards.dataset).corpus
    return f"results/corpora/{name}/manifest.json" if name else []


def files_of_dataset(wildcards):
    source = clear(CONFIGURATION.shared, "instruction", wildcards.dataset).source
    return files_of(source) if source else []


def option_of_corpus(wildcards, input):
    return f"--corpus {input.corpus}" if input.corpus else ""
