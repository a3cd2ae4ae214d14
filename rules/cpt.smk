# Shows what a model is about to be trained on, and refuses what is empty or suspicious.
rule inspect_data:
    input:
        request=asked("results/cpt/{run}/inspection.json", "inspect_data", "inspection"),
        datasets=of(inputs.tuning, stage="cpt"),
        tokenizer=of(inputs.tokenizer),
    output:
        "results/cpt/{run}/inspection.json",
    log:
        "results/logs/cpt/{run}.inspection.log",
    benchmark:
        "results/benchmarks/cpt/{run}.inspection.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="1h",
    params:
        settings=settings_for("inspection"),
        script=path_of("inspect_data"),
        sets=named_sets_of_stage("cpt"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --tokenizer {input.tokenizer}"
        " --sets {params.sets} --output {output} --log {log}"


# Continues the pretraining of a model on other text: all weights, or adapters, which lie in adapter/ then.
rule continue_pretraining:
    input:
        request=asked("results/cpt/{run}/manifest.json", "train", "cpt"),
        base=of(inputs.base, stage="cpt"),
        datasets=of(inputs.tuning, stage="cpt"),
        inspection="results/cpt/{run}/inspection.json",
        tokenizer=of(inputs.tokenizer),
    output:
        manifest="results/cpt/{run}/manifest.json",
        model="results/cpt/{run}/model/model.safetensors",
        metrics="results/cpt/{run}/metrics.jsonl",
        summary="results/cpt/{run}/training_summary.json",
    log:
        "results/logs/cpt/{run}.log",
    benchmark:
        "results/benchmarks/cpt/{run}.jsonl"
    conda:
        environment("training")
    threads: threads_of_run
    resources:
        **placed("cpt"),
    params:
        settings=settings_for("cpt"),
        script=path_of("train"),
        launcher=launcher_of_run,
        sets=named_sets_of_stage("cpt"),
        state=state_beside,
    shell:
        "exec {params.launcher} {params.script:q} --label 'continued pretraining' --settings {params.settings:q}"
        " --start {input.base} --tokenizer {input.tokenizer} --sets {params.sets}"
        " --state {params.state:q} --output {output.manifest} --log {log}"
