# Trains a tokenizer on the training documents of its own corpus and measures it on the validation documents.
rule train_tokenizer:
    input:
        request=asked(
            "results/tokenizers/{tokenizer}/tokenizer_config.json",
            "train_tokenizer",
            "tokenizer",
        ),
        corpus=of(inputs.corpus_of_tokenizer),
    output:
        manifest="results/tokenizers/{tokenizer}/tokenizer_config.json",
        model="results/tokenizers/{tokenizer}/spm.model",
        vocabulary="results/tokenizers/{tokenizer}/spm.vocab",
        card="results/tokenizers/{tokenizer}/TOKENIZER_CARD.md",
    log:
        "results/logs/tokenizers/{tokenizer}.log",
    benchmark:
        "results/benchmarks/tokenizers/{tokenizer}.jsonl"
    wildcard_constraints:
        tokenizer=none_of(CONFIGURATION.adopted()),
    conda:
        environment("data")
    threads: 2
    resources:
        mem_mb=megabytes(3000),
        runtime="4h",
    params:
        settings=settings_for("tokenizer"),
        script=path_of("train_tokenizer"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --corpus {input.corpus} --output {output.manifest} --log {log}"


# Takes over the tokenizer of a model that was trained elsewhere, its files byte for byte.
rule adopt_tokenizer:
    input:
        request=asked(
            "results/tokenizers/{tokenizer}/tokenizer_config.json",
            "adopt_tokenizer",
            "tokenizer",
        ),
        files=files(inputs.files_of_tokenizer),
    output:
        manifest="results/tokenizers/{tokenizer}/tokenizer_config.json",
        opened="results/tokenizers/{tokenizer}/opened.json",
        card="results/tokenizers/{tokenizer}/TOKENIZER_CARD.md",
    log:
        "results/logs/tokenizers/{tokenizer}.log",
    benchmark:
        "results/benchmarks/tokenizers/{tokenizer}.jsonl"
    wildcard_constraints:
        tokenizer=one_of(CONFIGURATION.adopted()),
    conda:
        environment("training")
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime="30m",
    params:
        settings=settings_for("tokenizer"),
        script=path_of("adopt_tokenizer"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --output {output.manifest} --log {log}"
