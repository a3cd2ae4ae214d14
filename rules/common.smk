# What the rules share: the configuration, and the helpers that turn wildcards into paths, settings and code hashes.
import os
from pathlib import Path

from abovo.config.runs import Configuration, corpora_of
from abovo.config.stages import stage_settings
from abovo.errors import AbovoError
from abovo.provenance.code import code_hash
from abovo.provenance.hashing import canonical_json
from snakemake.exceptions import WorkflowError

# conda environments and SLURM jobs find the library here; an installed copy is not needed
os.environ["PYTHONPATH"] = str(Path("src").resolve())


def clear(function, *arguments):
    """Call a function of the library; its error becomes Snakemake's, one line."""
    try:
        return function(*arguments)
    except AbovoError as error:
        raise WorkflowError(str(error)) from None


CONFIGURATION = clear(Configuration, Path("config"), str(config.get("set", "")))
clear(CONFIGURATION.check)


def settings_for(stage):
    """A params function: the resolved settings of a stage as one line of JSON."""

    def settings(wildcards):
        return clear(lambda: canonical_json(stage_settings(CONFIGURATION, stage, dict(wildcards))).decode())

    return settings


def code(script):
    """The hash of all code that a script can reach; a param, so that Snakemake reruns what other code would make."""
    return code_hash(Path("workflow/scripts") / f"{script}.py")


def of_run(name):
    return clear(CONFIGURATION.run, name)


def tokenizer_of_run(wildcards):
    return f"results/tokenizers/{of_run(wildcards.run)['tokenizer']['name']}/tokenizer_config.json"


def packed_of_run(wildcards):
    run = of_run(wildcards.run)
    return [
        f"results/packed/{corpus}/{run['tokenizer']['name']}/{run['sequence_length']}/manifest.json"
        for corpus in corpora_of(run)
    ]


def instruction_of_run(wildcards):
    run = of_run(wildcards.run)
    if run["sft"] is None:
        raise WorkflowError(f"config/runs/{run['name']}.yaml, key sft: the run has no fine-tuning; name a recipe of config/sft")
    return [f"results/instruction/{name}/{run['tokenizer']['name']}/manifest.json" for name in run["sft"]["datasets"]]


def threads_of_run(wildcards):
    return of_run(wildcards.run)["threads"]
