# Indexes the n-grams of evaluation sets, which corpora are then cleaned of while they are read.
rule index_evaluation_sets:
    input:
        request=asked(
            "results/decontamination/{decontamination}/manifest.json",
            "index_evaluation_sets",
            "decontamination",
        ),
        files=files(inputs.files_of_decontamination),
    output:
        manifest="results/decontamination/{decontamination}/manifest.json",
    log:
        "results/logs/decontamination/{decontamination}.log",
    benchmark:
        "results/benchmarks/decontamination/{decontamination}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="1h",
    params:
        settings=settings_for("decontamination"),
        script=path_of("index_evaluation_sets"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --output {output.manifest} --log {log}"
