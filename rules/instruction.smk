# Packs an instruction data set into rows of conversations with a label mask. Facts come from a corpus, others from a source.
rule prepare_instruction:
    input:
        request=asked(
            "results/instruction/{dataset}/{tokenizer}/manifest.json",
            "prepare_instruction",
            "instruction",
        ),
        corpus=of(inputs.corpus_of_dataset),
        files=files(inputs.files_of_dataset),
        tokenizer="results/tokenizers/{tokenizer}/tokenizer_config.json",
    output:
        manifest="results/instruction/{dataset}/{tokenizer}/manifest.json",
        train="results/instruction/{dataset}/{tokenizer}/train.bin",
    log:
        "results/logs/instruction/{dataset}/{tokenizer}.log",
    benchmark:
        "results/benchmarks/instruction/{dataset}/{tokenizer}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="2h",
    params:
        corpus=option_of_corpus,
        settings=settings_for("instruction"),
        script=path_of("prepare_instruction"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " {params.corpus} --tokenizer {input.tokenizer} --output {output.manifest} --log {log}"
