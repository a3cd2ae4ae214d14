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
        mem_mb=megabytes(4000),
        runtime="4h",
    params:
        results=option_of_results,
        settings=settings_for("export"),
        script=path_of("export_model"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --model {input.model}"
        " {params.results} --output {output.manifest} --log {log}"


# Pushes an export to the repository of the hub that the run names.
rule push_export:
    input:
        request=asked("results/export/{run}/pushed.json", "push_export", "push"),
        export="results/export/{run}/manifest.json",
    output:
        "results/export/{run}/pushed.json",
    log:
        "results/logs/export/{run}.push.log",
    benchmark:
        "results/benchmarks/export/{run}.push.jsonl"
    conda:
        environment("export")
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=hours(12),
    params:
        settings=settings_for("push"),
        script=path_of("push_export"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --export {input.export}"
        " --output {output} --log {log}"
