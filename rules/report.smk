# Draws what a corpus is made of.
rule draw_composition:
    input:
        corpus="results/corpora/{corpus}/manifest.json",
    output:
        report(
            "results/report/corpora/{corpus}/composition.svg",
            caption="../workflow/captions/composition.rst",
            category="1 Corpus",
            labels={"corpus": "{corpus}", "figure": "composition"},
        ),
    log:
        "results/logs/draw_composition/{corpus}.log",
    benchmark:
        "results/benchmarks/draw_composition/{corpus}.jsonl"
    conda:
        "../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime="5m",
    params:
        code=code("draw_composition"),
    shell:
        "exec python workflow/scripts/draw_composition.py --title 'corpus {wildcards.corpus}'"
        " --corpus {input.corpus} --output {output} --log {log}"


# Makes a page of a tokenizer's card.
rule show_tokenizer:
    input:
        tokenizer="results/tokenizers/{tokenizer}/tokenizer_config.json",
    output:
        report(
            "results/report/tokenizers/{tokenizer}/card.html",
            caption="../workflow/captions/tokenizer.rst",
            category="2 Tokenizer",
            labels={"tokenizer": "{tokenizer}", "page": "card"},
        ),
    log:
        "results/logs/show_tokenizer/{tokenizer}.log",
    benchmark:
        "results/benchmarks/show_tokenizer/{tokenizer}.jsonl"
    conda:
        "../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime="5m",
    params:
        code=code("show_tokenizer"),
    shell:
        "exec python workflow/scripts/show_tokenizer.py"
        " --tokenizer {input.tokenizer} --output {output} --log {log}"


# Draws the loss of pretraining or of fine-tuning.
rule draw_loss:
    input:
        model="results/{stage}/{run}/manifest.json",
    output:
        report(
            "results/report/{run}/{stage}/loss.svg",
            caption="../workflow/captions/loss.rst",
            category="3 Training",
            labels={"run": "{run}", "stage": "{stage}", "figure": "loss"},
        ),
    log:
        "results/logs/draw_loss/{run}/{stage}.log",
    benchmark:
        "results/benchmarks/draw_loss/{run}/{stage}.jsonl"
    conda:
        "../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime="5m",
    params:
        settings=settings_for("draw_loss"),
        code=code("draw_loss"),
    shell:
        "exec python workflow/scripts/draw_loss.py --settings {params.settings:q}"
        " --title '{wildcards.run}, {wildcards.stage}'"
        " --model {input.model} --output {output} --log {log}"


# Makes a page of the base model's metrics.
rule show_base_results:
    input:
        base="results/pretrain/{run}/evaluation.json",
    output:
        report(
            "results/report/{run}/pretrain/results.html",
            caption="../workflow/captions/results.rst",
            category="4 Results",
            labels={"run": "{run}", "page": "base model"},
        ),
    log:
        "results/logs/show_results/{run}/pretrain.log",
    benchmark:
        "results/benchmarks/show_results/{run}/pretrain.jsonl"
    conda:
        "../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime="5m",
    params:
        code=code("show_results"),
    shell:
        "exec python workflow/scripts/show_results.py --base {input.base} --output {output} --log {log}"


# Makes a page of the metrics before and after fine-tuning, side by side.
rule show_tuned_results:
    input:
        base="results/pretrain/{run}/evaluation.json",
        tuned="results/sft/{run}/evaluation.json",
    output:
        report(
            "results/report/{run}/sft/results.html",
            caption="../workflow/captions/results.rst",
            category="4 Results",
            labels={"run": "{run}", "page": "before and after fine-tuning"},
        ),
    log:
        "results/logs/show_results/{run}/sft.log",
    benchmark:
        "results/benchmarks/show_results/{run}/sft.jsonl"
    conda:
        "../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime="5m",
    params:
        code=code("show_results"),
    shell:
        "exec python workflow/scripts/show_results.py"
        " --base {input.base} --tuned {input.tuned} --output {output} --log {log}"
