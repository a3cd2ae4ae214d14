# Trains the base model of a run, or its last phase from the end of the phase before. The live state (checkpoints) is no
# declared output: Snakemake would delete it.
rule pretrain:
    input:
        request=asked(
            "results/pretrain/{run}{phase_folder}/manifest.json", "train", "pretrain"
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
        gpu=gpus_of_run,
        mem_mb=4000,
        runtime="24h",
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
