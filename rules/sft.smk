# Fine-tunes the model of a run on conversations, and text among them: all weights, or adapters, which lie in adapter/ then.
rule fine_tune:
    input:
        request=asked("results/sft/{run}/manifest.json", "train", "sft"),
        base=of(inputs.base, stage="sft"),
        datasets=of(inputs.tuning, stage="sft"),
        tokenizer=of(inputs.tokenizer),
    output:
        manifest="results/sft/{run}/manifest.json",
        model="results/sft/{run}/model/model.safetensors",
        metrics="results/sft/{run}/metrics.jsonl",
        summary="results/sft/{run}/training_summary.json",
    log:
        "results/logs/sft/{run}.log",
    benchmark:
        "results/benchmarks/sft/{run}.jsonl"
    conda:
        environment("training")
    threads: threads_of_run
    resources:
        **placed("sft"),
    params:
        settings=settings_for("sft"),
        script=path_of("train"),
        launcher=launcher_of_run,
        sets=named_sets_of_stage("sft"),
        state=state_beside,
    shell:
        "exec {params.launcher} {params.script:q} --label fine-tuning --settings {params.settings:q}"
        " --start {input.base} --tokenizer {input.tokenizer} --sets {params.sets}"
        " --state {params.state:q} --output {output.manifest} --log {log}"
