# abovo: small language models from raw text to an evaluated, instruction-tuned model.
# The stages stand in reading order; each rule maps one artifact to the script that makes it.
from snakemake.utils import min_version

min_version("9.0")


include: "rules/library.smk"


configfile: "config/config.yaml"


# What a report opens with: the headline metrics of each page of results in it.
report: "workflow/captions/workflow.rst"


include: "rules/common.smk"


wildcard_constraints:
    run="[A-Za-z0-9_-]+",
    phase="[a-z0-9-]+",
    corpus="[A-Za-z0-9_-]+",
    source="[a-z0-9_]+",
    decontamination="[A-Za-z0-9_-]+",
    tokenizer="[A-Za-z0-9_-]+",
    dataset="[A-Za-z0-9_-]+",
    evaluation="[A-Za-z0-9_-]+",
    task="[A-Za-z0-9_-]+",
    part=r"\d+",
    job=r"\d+",
    sequence_length=r"\d+",
    stage="|".join(STAGES),
    checkpoint="chck_[0-9]+[MK]?",
    # the model of a phase, or one kept on the way, lies in a folder of its own below the run's, the run's own in none
    below="(/phase-[a-z0-9-]+|/chck_[0-9]+[MK]?)?",
    models=r"[A-Za-z0-9_.-]+",


include: "rules/plan.smk"
include: "rules/decontamination.smk"
include: "rules/corpus.smk"
include: "rules/tokenizer.smk"
include: "rules/packing.smk"
include: "rules/pretraining.smk"
include: "rules/instruction.smk"
include: "rules/cpt.smk"
include: "rules/sft.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
include: "rules/compare.smk"
include: "rules/export.smk"


# The demo: everything, from raw text to an evaluated chat model, in minutes.
rule all:
    default_target: True
    input:
        "results/sft/nano/results.json",


# A job's one clear line, below all that Snakemake has to say of its failure.
onerror:
    tell_last_words(log)


include: "rules/targets.smk"
include: "rules/cluster.smk"
