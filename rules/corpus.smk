# Fixes the revision of each source, samples it, and says what reading it all will take.
rule plan_corpus:
    input:
        request=asked("results/corpora/{corpus}/plan.json", "plan_corpus", "corpus"),
        tokenizer=of(inputs.counting_tokenizer),
        files=files(inputs.files_of_corpus),
    output:
        plan="results/corpora/{corpus}/plan.json",
    log:
        "results/logs/corpora/{corpus}/plan.log",
    benchmark:
        "results/benchmarks/corpora/{corpus}/plan.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime="1h",
    params:
        settings=settings_for("corpus"),
        script=path_of("plan_corpus"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --tokenizer {input.tokenizer} --output {output.plan} --log {log}"


# Reads one part of a source at its planned revision: cleaned, filtered, counted documents with their hashes.
rule read_source:
    input:
        request=asked(
            "results/corpora/{corpus}/sources/{source}/{part}/manifest.json",
            "read_source",
            "corpus",
        ),
        plan=of(inputs.plan_of_source),
        tokenizer=of(inputs.counting_tokenizer),
        decontamination=of(inputs.decontamination),
    output:
        manifest="results/corpora/{corpus}/sources/{source}/{part}/manifest.json",
    log:
        "results/logs/corpora/{corpus}/sources/{source}/{part}.log",
    benchmark:
        "results/benchmarks/corpora/{corpus}/sources/{source}/{part}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=hours(24),
    params:
        settings=settings_for("corpus"),
        script=path_of("read_source"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --source {wildcards.source} --part {wildcards.part} --plan {input.plan}"
        " --tokenizer {input.tokenizer} --decontamination {input.decontamination}"
        " --output {output.manifest} --log {log}"


# Finds the documents of all sources that are equal or alike, for one range of their hashes.
rule find_duplicates:
    input:
        request=asked(
            "results/corpora/{corpus}/duplicates/{job}/manifest.json",
            "find_duplicates",
            "corpus",
        ),
        plan="results/corpora/{corpus}/plan.json",
        sources=of(inputs.parts),
    output:
        manifest="results/corpora/{corpus}/duplicates/{job}/manifest.json",
    log:
        "results/logs/corpora/{corpus}/duplicates/{job}.log",
    benchmark:
        "results/benchmarks/corpora/{corpus}/duplicates/{job}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(memory_of_deduplication),
        runtime=hours(12),
    params:
        settings=settings_for("corpus"),
        sources=folder_of_parts,
        script=path_of("find_duplicates"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --job {wildcards.job}"
        " --plan {input.plan} --sources {params.sources:q} --output {output.manifest} --log {log}"


# Makes one corpus of all sources: duplicates out, budgets kept, order fixed, shards written.
rule assemble_corpus:
    input:
        request=asked(
            "results/corpora/{corpus}/manifest.json", "assemble_corpus", "corpus"
        ),
        plan="results/corpora/{corpus}/plan.json",
        tokenizer=of(inputs.counting_tokenizer),
        decontamination=of(inputs.decontamination),
        sources=of(inputs.parts),
        duplicates=of(inputs.duplicates),
    output:
        manifest="results/corpora/{corpus}/manifest.json",
    log:
        "results/logs/corpora/{corpus}/assemble.log",
    benchmark:
        "results/benchmarks/corpora/{corpus}/assemble.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(memory_of_deduplication),
        runtime=hours(12),
    params:
        settings=settings_for("corpus"),
        sources=folder_of_parts,
        script=path_of("assemble_corpus"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --plan {input.plan} --tokenizer {input.tokenizer} --decontamination {input.decontamination}"
        " --sources {params.sources:q} --duplicates {input.duplicates} --output {output.manifest} --log {log}"


# Writes the training and the held-out documents of a corpus as plain text, for other programs.
rule write_text:
    input:
        request=asked("results/corpora/{corpus}/text/manifest.json", "write_text"),
        corpus="results/corpora/{corpus}/manifest.json",
    output:
        manifest="results/corpora/{corpus}/text/manifest.json",
        train="results/corpora/{corpus}/text/train.txt",
        val="results/corpora/{corpus}/text/val.txt",
    log:
        "results/logs/corpora/{corpus}/text.log",
    benchmark:
        "results/benchmarks/corpora/{corpus}/text.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="2h",
    params:
        script=path_of("write_text"),
    shell:
        "exec python {params.script:q} --corpus {input.corpus} --output {output.manifest} --log {log}"
