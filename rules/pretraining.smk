# Trains the base model of a run, or its last phase from the end of the phase before. The live state (checkpoints) is no
# declared output: Snakemake would delete it.
rule pretrain:
    input:
        request=asked(
            "results/pretrain/{run}{below}/manifest.json", "train", "pretrain"
        ),
        packed=of(inputs.packed),
        tokenizer=of(inputs.tokenizer),
        before=of(inputs.phase_before),
        start=of(inputs.start),
    output:
        manifest="results/pretrain/{run}/manifest.json",
        model="results/pretrain/{run}/model/model.safetensors",
        metrics="results/pretrain/{run}/metrics.jsonl",
    log:
        "results/logs/pretrain/{run}.log",
    benchmark:
        "results/benchmarks/pretrain/{run}.jsonl"
    conda:
        environment("training")
    threads: threads_of_run
    resources:
        **placed("pretrain"),
    params:
        settings=settings_for("pretrain"),
        script=path_of("train"),
        launcher=launcher_of_run,
        sets=named_packed,
        start=option_of_start,
        state=state_beside,
    shell:
        "exec {params.launcher} {params.script:q} --label pretraining --settings {params.settings:q}"
        " --tokenizer {input.tokenizer} --sets {params.sets} {params.start}"
        " --state {params.state:q} --output {output.manifest} --log {log}"


# Trains a phase that another one follows: its model as it is at the boundary, and the state that the next goes on from.
use rule pretrain as pretrain_phase with:
    output:
        manifest="results/pretrain/{run}/phase-{phase}/manifest.json",
        model=directory("results/pretrain/{run}/phase-{phase}/model"),
        metrics="results/pretrain/{run}/phase-{phase}/metrics.jsonl",
    log:
        "results/logs/pretrain/{run}/phase-{phase}.log",
    benchmark:
        "results/benchmarks/pretrain/{run}/phase-{phase}.jsonl"


# Sets a model that a run keeps on the way beside its finished one, as a model like any other.
rule show_kept:
    input:
        request=asked(
            "results/pretrain/{run}/{checkpoint}/manifest.json",
            "show_kept",
            "checkpoint",
        ),
        trained="results/pretrain/{run}/manifest.json",
    output:
        manifest="results/pretrain/{run}/{checkpoint}/manifest.json",
        model="results/pretrain/{run}/{checkpoint}/model/model.safetensors",
    log:
        "results/logs/pretrain/{run}/{checkpoint}.log",
    benchmark:
        "results/benchmarks/pretrain/{run}/{checkpoint}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="10m",
    params:
        settings=settings_for("checkpoint"),
        script=path_of("show_kept"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --trained {input.trained} --output {output.manifest} --log {log}"


# Lists the models that a run keeps on the way, with their scores.
rule list_kept:
    input:
        trained="results/pretrain/{run}/manifest.json",
        evaluations=of(inputs.checkpoints),
    output:
        manifest="results/pretrain/{run}/checkpoints.json",
        table="results/pretrain/{run}/checkpoints.md",
    log:
        "results/logs/pretrain/{run}.checkpoints.log",
    benchmark:
        "results/benchmarks/pretrain/{run}.checkpoints.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="10m",
    params:
        script=path_of("list_kept"),
        code=code("list_kept"),
    shell:
        "exec python {params.script:q} --trained {input.trained} --evaluations {input.evaluations}"
        " --output {output.manifest} --log {log}"
