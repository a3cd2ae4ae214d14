# Turns the documents of a corpus into rows of token ids, training and validation apart.
rule pack:
    input:
        request=asked(
            "results/packed/{corpus}/{tokenizer}/{sequence_length}/manifest.json",
            "pack",
        ),
        corpus="results/corpora/{corpus}/manifest.json",
        tokenizer="results/tokenizers/{tokenizer}/tokenizer_config.json",
    output:
        manifest="results/packed/{corpus}/{tokenizer}/{sequence_length}/manifest.json",
        train="results/packed/{corpus}/{tokenizer}/{sequence_length}/train.bin",
        val="results/packed/{corpus}/{tokenizer}/{sequence_length}/val.bin",
        indexes=multiext(
            "results/packed/{corpus}/{tokenizer}/{sequence_length}/",
            "train.idx",
            "val.idx",
        ),
    log:
        "results/logs/packed/{corpus}/{tokenizer}/{sequence_length}.log",
    benchmark:
        "results/benchmarks/packed/{corpus}/{tokenizer}/{sequence_length}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime=hours(24),
    params:
        script=path_of("pack"),
    shell:
        "exec python {params.script:q} --corpus {input.corpus} --tokenizer {input.tokenizer}"
        " --sequence-length {wildcards.sequence_length} --output {output.manifest} --log {log}"
