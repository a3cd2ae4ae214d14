# Draws what a corpus is made of.
rule draw_composition:
    input:
        corpus="results/corpora/{corpus}/manifest.json",
    output:
        manifest="results/report/corpora/{corpus}/composition.json",
        figure=report(
            "results/report/corpora/{corpus}/composition.svg",
            caption="../workflow/captions/composition.rst",
            category="1 Corpus",
            labels={"corpus": "{corpus}", "figure": "composition"},
        ),
    log:
        "results/logs/draw_composition/{corpus}.log",
    benchmark:
        "results/benchmarks/draw_composition/{corpus}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="5m",
    params:
        script=path_of("draw_composition"),
        code=code("draw_composition"),
    shell:
        "exec python {params.script:q} --title 'corpus {wildcards.corpus}'"
        " --corpus {input.corpus} --output {output.manifest} --log {log}"


# Makes a page of a tokenizer's card.
rule show_tokenizer:
    input:
        tokenizer="results/tokenizers/{tokenizer}/tokenizer_config.json",
    output:
        manifest="results/report/tokenizers/{tokenizer}/card.json",
        page=report(
            "results/report/tokenizers/{tokenizer}/card.html",
            caption="../workflow/captions/tokenizer.rst",
            category="2 Tokenizer",
            labels={"tokenizer": "{tokenizer}", "page": "card"},
        ),
    log:
        "results/logs/show_tokenizer/{tokenizer}.log",
    benchmark:
        "results/benchmarks/show_tokenizer/{tokenizer}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="5m",
    params:
        script=path_of("show_tokenizer"),
        code=code("show_tokenizer"),
    shell:
        "exec python {params.script:q} --title 'Tokenizer {wildcards.tokenizer}'"
        " --tokenizer {input.tokenizer} --output {output.manifest} --log {log}"


# Makes a page of what an instruction set took and left out.
rule show_instruction:
    input:
        instruction="results/instruction/{dataset}/{tokenizer}/manifest.json",
    output:
        manifest="results/report/instruction/{dataset}/{tokenizer}/set.json",
        page=report(
            "results/report/instruction/{dataset}/{tokenizer}/set.html",
            caption="../workflow/captions/instruction.rst",
            category="3 Training",
            labels={"set": "{dataset}", "page": "conversations"},
        ),
    log:
        "results/logs/show_instruction/{dataset}/{tokenizer}.log",
    benchmark:
        "results/benchmarks/show_instruction/{dataset}/{tokenizer}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="5m",
    params:
        script=path_of("show_instruction"),
        code=code("show_instruction"),
    shell:
        "exec python {params.script:q} --title 'Instruction set {wildcards.dataset}'"
        " --instruction {input.instruction} --output {output.manifest} --log {log}"


# Draws the loss of a stage or of one of its phases, and the validation loss of each source as a figure and as a table.
rule draw_loss:
    input:
        model="results/{stage}/{run}{below}/manifest.json",
    output:
        manifest="results/report/{run}/{stage}{below}/loss.json",
        loss=report(
            "results/report/{run}/{stage}{below}/loss.svg",
            caption="../workflow/captions/loss.rst",
            category="3 Training",
            labels={
                "run": "{run}",
                "stage": "{stage}{below}",
                "figure": "loss",
            },
        ),
        by_source=report(
            "results/report/{run}/{stage}{below}/loss_by_source.svg",
            caption="../workflow/captions/loss_by_source.rst",
            category="3 Training",
            labels={
                "run": "{run}",
                "stage": "{stage}{below}",
                "figure": "loss by source",
            },
        ),
        table=report(
            "results/report/{run}/{stage}{below}/loss_by_source.html",
            caption="../workflow/captions/loss_by_source.rst",
            category="3 Training",
            labels={
                "run": "{run}",
                "stage": "{stage}{below}",
                "figure": "table by source",
            },
        ),
    log:
        "results/logs/draw_loss/{run}/{stage}{below}.log",
    benchmark:
        "results/benchmarks/draw_loss/{run}/{stage}{below}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="5m",
    params:
        title=title_of_training,
        settings=settings_for("draw_loss"),
        script=path_of("draw_loss"),
        code=code("draw_loss", "draw_loss"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --title {params.title:q} --model {input.model} --output {output.manifest}"
        " --log {log}"


# Draws the scores of the models that a run keeps on the way over what they have seen, as a figure and as a table.
rule draw_learning:
    input:
        kept="results/pretrain/{run}/checkpoints.json",
    output:
        manifest="results/report/{run}/pretrain/learning_curve.json",
        figure=report(
            "results/report/{run}/pretrain/learning_curve.svg",
            caption="../workflow/captions/learning_curve.rst",
            category="4 Results",
            labels={"run": "{run}", "figure": "learning curve"},
        ),
        table=report(
            "results/report/{run}/pretrain/learning_curve.html",
            caption="../workflow/captions/learning_curve.rst",
            category="4 Results",
            labels={"run": "{run}", "page": "learning curve"},
        ),
    log:
        "results/logs/draw_learning/{run}.log",
    benchmark:
        "results/benchmarks/draw_learning/{run}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="5m",
    params:
        script=path_of("draw_learning"),
        code=code("draw_learning"),
    shell:
        "exec python {params.script:q} --title '{wildcards.run}, learning curve'"
        " --kept {input.kept} --output {output.manifest} --log {log}"


# Makes a page of a model's metrics, beside those of the models that it came from.
rule show_results:
    input:
        evaluations=of(inputs.evaluations),
    output:
        manifest="results/report/{run}/{stage}{below}/page.json",
        page=report(
            "results/report/{run}/{stage}{below}/results.html",
            caption="../workflow/captions/results.rst",
            category="4 Results",
            labels={"run": "{run}", "page": "{stage}{below}"},
        ),
        headline="results/report/{run}/{stage}{below}/headline.html",
    log:
        "results/logs/show_results/{run}/{stage}{below}.log",
    benchmark:
        "results/benchmarks/show_results/{run}/{stage}{below}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="5m",
    params:
        titles=titles_of_models,
        script=path_of("show_results"),
        code=code("show_results"),
    shell:
        "exec python {params.script:q} --titles {params.titles:q}"
        " --evaluations {input.evaluations} --output {output.manifest} --log {log}"
