# What the rules share: the configuration, and the helpers that turn wildcards into paths, settings and code hashes.
import sys
from pathlib import Path

# the library beside this workflow, whatever is installed; scripts find it in conda environments and SLURM jobs too
SOURCE = Path("src").resolve()
sys.path.insert(0, str(SOURCE))
shell.prefix(f"export PYTHONPATH='{SOURCE}'; ")

from abovo.config.engines import gpus, launcher
from abovo.config.runs import Configuration, corpora_of, phases_up_to
from abovo.config.stages import stage_settings
from abovo.corpus.local import find_files
from abovo.errors import AbovoError
from abovo.provenance.code import code_hash
from abovo.provenance.hashing import canonical_json


def clear(function, *arguments):
    """Call a function of the library; its error ends Snakemake with one line and status 1, without a traceback."""
    try:
        return function(*arguments)
    except AbovoError as error:
        sys.exit(f"error: {error}")


CONFIGURATION = clear(Configuration, Path("config"), str(config.get("set", "")))
clear(CONFIGURATION.check)


# --- params


def settings_for(stage):
    """A params function: the resolved settings of a stage as one line of JSON."""

    def settings(wildcards):
        values = clear(stage_settings, CONFIGURATION, stage, dict(wildcards))
        return canonical_json(values).decode()

    return settings


def code(script, stage=None):
    """The hash of all code that a script can reach with the settings of its stage; a param, so that Snakemake reruns
    what other code would make."""

    def hashed(wildcards):
        values = (
            clear(stage_settings, CONFIGURATION, stage, dict(wildcards))
            if stage
            else {}
        )
        return code_hash(Path("workflow/scripts") / f"{script}.py", values)

    return hashed


# --- a run's parts


def of_run(wildcards):
    return clear(CONFIGURATION.run, wildcards.run)


def threads_of_run(wildcards):
    """What training takes: the run's threads for each process of its engine."""
    run = of_run(wildcards)
    return run["threads"] * run["engine"]["processes"]


def threads_of_process(wildcards):
    return of_run(wildcards)["threads"]


def launcher_of_run(wildcards):
    return launcher(of_run(wildcards)["engine"])


def gpus_of_run(wildcards):
    """A request: counted where a profile says how many GPUs there are, or where it hands jobs to SLURM."""
    return gpus(of_run(wildcards)["engine"])


def tokenizer_of_run(wildcards):
    return f"results/tokenizers/{of_run(wildcards)['tokenizer']['name']}/tokenizer_config.json"


def packed_of_run(wildcards):
    """The bins of the run's phases; of those up to {phase}, where there is such a wildcard."""
    run = of_run(wildcards)
    return expand(
        "results/packed/{corpus}/{tokenizer}/{length}/manifest.json",
        corpus=corpora_of({"phases": phases_of(wildcards)}),
        tokenizer=run["tokenizer"]["name"],
        length=run["sequence_length"],
    )


def phases_of(wildcards):
    return clear(phases_up_to, of_run(wildcards), wildcards.get("phase"))


def phase_before(wildcards):
    """The manifest of the phase before the last of those that are trained; nothing for the first phase."""
    names = [phase["name"] for phase in phases_of(wildcards)]
    return expand(
        "results/pretrain/{run}/phase-{phase}/manifest.json",
        run=wildcards.run,
        phase=names[-2:-1],
    )


def option_of_phase(wildcards, input):
    return f"--before {input.before}" if input.before else ""


def instruction_of_run(wildcards):
    run = of_run(wildcards)
    if run["sft"] is None:
        sys.exit(
            f"error: config/runs/{run['name']}.yaml, key sft: is null; name a recipe of config/sft"
        )
    return expand(
        "results/instruction/{dataset}/{tokenizer}/manifest.json",
        dataset=run["sft"]["datasets"],
        tokenizer=run["tokenizer"]["name"],
    )


def evaluation_sets_of_run(wildcards):
    run = of_run(wildcards)
    return expand(
        "results/evaluation/{corpus}/{evaluation}/manifest.json",
        corpus=corpora_of(run),
        evaluation=run["evaluation"]["name"],
    )


def data_of_run(wildcards):
    corpora = expand(
        "results/corpora/{corpus}/manifest.json", corpus=corpora_of(of_run(wildcards))
    )
    return [*corpora, tokenizer_of_run(wildcards), *packed_of_run(wildcards)]


# --- a stage's models: the base model, and after fine-tuning the tuned one beside it


def stages_up_to(stage):
    return ["pretrain"] if stage == "pretrain" else ["pretrain", "sft"]


def models_of_stage(wildcards):
    return expand(
        "results/{stage}/{run}/manifest.json",
        stage=stages_up_to(wildcards.stage),
        run=wildcards.run,
    )


def evaluations_of_stage(wildcards):
    return expand(
        "results/{stage}/{run}/evaluation.json",
        stage=stages_up_to(wildcards.stage),
        run=wildcards.run,
    )


def figures_of_stage(wildcards):
    run = of_run(wildcards)
    return [
        *expand(
            "results/report/corpora/{corpus}/composition.svg", corpus=corpora_of(run)
        ),
        f"results/report/tokenizers/{run['tokenizer']['name']}/card.html",
        *expand(
            "results/report/{run}/{stage}/{name}",
            run=wildcards.run,
            stage=stages_up_to(wildcards.stage),
            name=["loss.svg", "loss_by_source.svg", "loss_by_source.html"],
        ),
        f"results/report/{wildcards.run}/{wildcards.stage}/results.html",
    ]


# --- corpora, tokenizers and instruction sets


def corpus(wildcards):
    return clear(CONFIGURATION.shared, "corpora", wildcards.corpus)


def counting_tokenizer_of_corpus(wildcards):
    name = corpus(wildcards)["count_with"]
    return f"results/tokenizers/{name}/tokenizer_config.json" if name else []


def files_of(source):
    """The files of a local source, so that an edited one is read again."""
    if source["type"] != "local":
        return []
    return [str(path) for path in clear(find_files, source["paths"]).values()]


def files_of_corpus(wildcards):
    return [
        path
        for source in corpus(wildcards)["sources"].values()
        for path in files_of(source)
    ]


def files_of_source(wildcards):
    sources = corpus(wildcards)["sources"]
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
        for name, source in corpus(wildcards)["sources"].items()
        for part in range(source["parts"])
    ]


def duplicates_of_corpus(wildcards):
    return expand(
        "results/corpora/{corpus}/duplicates/{job}/manifest.json",
        corpus=wildcards.corpus,
        job=range(corpus(wildcards)["deduplication"]["jobs"]),
    )


def memory_of_deduplication(wildcards):
    """What comparing documents may take, and the libraries and shards of the job (MB)."""
    return int(corpus(wildcards)["deduplication"]["memory_mb"]) + 500


def decontamination_of_corpus(wildcards):
    name = corpus(wildcards)["decontaminate"]["against"]
    return f"results/decontamination/{name}/manifest.json" if name else []


def files_of_decontamination(wildcards):
    name = wildcards.decontamination
    sets = clear(CONFIGURATION.shared, "decontamination", name)["sets"]
    return [path for one in sets.values() for path in files_of(one)]


def corpus_of_tokenizer(wildcards):
    name = clear(CONFIGURATION.shared, "tokenizers", wildcards.tokenizer)["corpus"]
    return f"results/corpora/{name}/manifest.json"


def corpus_of_dataset(wildcards):
    name = clear(CONFIGURATION.shared, "instruction", wildcards.dataset)["corpus"]
    return f"results/corpora/{name}/manifest.json" if name else []


def files_of_dataset(wildcards):
    source = clear(CONFIGURATION.shared, "instruction", wildcards.dataset)["source"]
    return files_of(source) if source else []


def option_of_corpus(wildcards, input):
    return f"--corpus {input.corpus}" if input.corpus else ""
