# Trains the base model of a run. The live state (checkpoints) is no declared output: Snakemake would delete it.
rule pretrain:
    input:
        packed=packed_of_run,
        tokenizer=tokenizer_of_run,
    output:
        manifest="results/pretrain/{run}/manifest.json",
        model="results/pretrain/{run}/model/model.safetensors",
        metrics="results/pretrain/{run}/metrics.jsonl",
    log:
        "results/logs/pretrain/{run}.log",
    benchmark:
        "results/benchmarks/pretrain/{run}.jsonl"
    conda:
        "../envs/training.yaml"
    threads: threads_of_run
    resources:
        gpu=gpus_of_run,
        mem_mb=4000,
        runtime="24h",
    params:
        settings=settings_for("pretrain"),
        code=code("pretrain"),
        launcher=launcher_of_run,
        state="results/pretrain/{run}/state",
    shell:
        "exec {params.launcher} workflow/scripts/pretrain.py --settings {params.settings:q}"
        " --tokenizer {input.tokenizer} --packed {input.packed}"
        " --state {params.state} --output {output.manifest} --log {log}"
