# Turns the last model of a run into what other programs open: a Hugging Face folder, GGUF files, a card.
rule export_model:
    input:
        request=asked("results/export/{run}/manifest.json", "export_model", "export"),
        model=of(inputs.exported_model),
        results=of(inputs.exported_results),
    output:
        manifest="results/export/{run}/manifest.json",
        card="results/export/{run}/MODEL_CARD.md",
        config="results/export/{run}/hf/config.json",
    log:
        "results/logs/export/{run}.log",
    benchmark:
        "results/benchmarks/export/{run}.jsonl"
    conda:
        environment("export")
    threads: 1
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        results=option_of_results,
        settings=settings_for("export"),
        script=path_of("export_model"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --model {input.model}"
        " {params.results} --output {output.manifest} --log {log}"
