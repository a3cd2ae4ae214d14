# Makes the evaluation sets of a corpus from its validation documents: whole documents, yes/no and choice questions.
rule prepare_evaluation:
    input:
        request=asked(
            "results/evaluation/{corpus}/{evaluation}/manifest.json",
            "prepare_evaluation",
            "evaluation_sets",
        ),
        corpus="results/corpora/{corpus}/manifest.json",
    output:
        manifest="results/evaluation/{corpus}/{evaluation}/manifest.json",
        validation="results/evaluation/{corpus}/{evaluation}/validation.jsonl",
    log:
        "results/logs/evaluation/{corpus}/{evaluation}.log",
    benchmark:
        "results/benchmarks/evaluation/{corpus}/{evaluation}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="1h",
    params:
        settings=settings_for("evaluation_sets"),
        script=path_of("prepare_evaluation"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --corpus {input.corpus} --output {output.manifest} --log {log}"


# Reads the rows of a task and words them: the items that every model is asked.
rule prepare_task:
    input:
        request=asked("results/tasks/{task}/manifest.json", "prepare_task", "task"),
        files=files(inputs.files_of_task),
    output:
        manifest="results/tasks/{task}/manifest.json",
    log:
        "results/logs/tasks/{task}.log",
    benchmark:
        "results/benchmarks/tasks/{task}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="1h",
    params:
        settings=settings_for("task"),
        script=path_of("prepare_task"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --output {output.manifest} --log {log}"


# Describes a model that was trained elsewhere, or in another run, whose files stay where they are.
rule describe_model:
    input:
        request=asked("results/given/{run}/manifest.json", "describe_model", "given"),
        files=files(inputs.given_files),
        model=of(inputs.given_model),
    output:
        manifest="results/given/{run}/manifest.json",
    log:
        "results/logs/given/{run}.log",
    benchmark:
        "results/benchmarks/given/{run}.jsonl"
    localrule: True
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="1h",
    params:
        model=option_of_model,
        settings=settings_for("given"),
        script=path_of("describe_model"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} {params.model}"
        " --output {output.manifest} --log {log}"


# Scores the model of a stage, or that of one of its phases, on one task: a line of evidence for each row.
rule evaluate:
    input:
        request=asked(
            "results/{stage}/{run}{below}/evaluation/{task}.json",
            "score",
            "evaluate",
        ),
        model="results/{stage}/{run}{below}/manifest.json",
        prepared=of(inputs.items_of_task),
        sets=of(inputs.sets_of_task),
        packed=of(inputs.packed_of_task),
        conversations=of(inputs.conversations_of_task),
    output:
        scored="results/{stage}/{run}{below}/evaluation/{task}.json",
        rows="results/{stage}/{run}{below}/evaluation/{task}.rows.jsonl.zst",
    log:
        "results/logs/{stage}/{run}{below}.evaluation/{task}.log",
    benchmark:
        "results/benchmarks/{stage}/{run}{below}.evaluation/{task}.jsonl"
    conda:
        environment("evaluation")
    threads: threads_of_process
    resources:
        **placed(None),
    params:
        prepared=option_of_items,
        sets=named_sets,
        packed=named_packed_of_task,
        conversations=named_conversations,
        settings=settings_for("evaluate"),
        script=path_of("score"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --model {input.model} {params.prepared}"
        " --sets {params.sets} --packed {params.packed} --conversations {params.conversations}"
        " --output {output.scored} --log {log}"


# Puts together what a model was scored on: each metric with its interval, baselines and protocol.
rule assemble_evaluation:
    input:
        request=asked(
            "results/{stage}/{run}{below}/evaluation.json",
            "assemble_evaluation",
        ),
        tasks=of(inputs.scored_tasks),
        overlaps=of(inputs.overlaps),
    output:
        "results/{stage}/{run}{below}/evaluation.json",
    log:
        "results/logs/{stage}/{run}{below}.evaluation.log",
    benchmark:
        "results/benchmarks/{stage}/{run}{below}.evaluation.jsonl"
    localrule: True
    conda:
        environment("evaluation")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="1h",
    params:
        script=path_of("assemble_evaluation"),
    shell:
        "exec python {params.script:q} --tasks {input.tasks} --overlaps {input.overlaps}"
        " --output {output} --log {log}"


# Looks for the rows of an evaluation's tasks in the training documents of a corpus.
rule measure_overlap:
    input:
        request=asked(
            "results/corpora/{corpus}/overlap/{evaluation}.json",
            "measure_overlap",
            "overlap",
        ),
        corpus="results/corpora/{corpus}/manifest.json",
        files=files(inputs.files_of_overlap),
    output:
        "results/corpora/{corpus}/overlap/{evaluation}.json",
    log:
        "results/logs/overlap/{corpus}/{evaluation}.log",
    benchmark:
        "results/benchmarks/overlap/{corpus}/{evaluation}.jsonl"
    conda:
        environment("data")
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=hours(12),
    params:
        settings=settings_for("overlap"),
        script=path_of("measure_overlap"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --corpus {input.corpus} --output {output} --log {log}"


# Puts the evaluations of a run's models side by side, with the sha256 of all that they stand on. Figures and pages are
# inputs, so that `snakemake --report` on results.json holds them.
rule assemble_results:
    input:
        request=asked(
            "results/{stage}/{run}{below}/results.json",
            "assemble_results",
            "results",
        ),
        models=of(inputs.models),
        evaluations=of(inputs.evaluations),
        data=of(inputs.data),
        figures=of(inputs.figures),
        drawings=of(inputs.drawings),
    output:
        results="results/{stage}/{run}{below}/results.json",
        page="results/{stage}/{run}{below}/results.md",
        config="results/{stage}/{run}{below}/pipeline_config.json",
    log:
        "results/logs/{stage}/{run}{below}.results.log",
    benchmark:
        "results/benchmarks/{stage}/{run}{below}.results.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="10m",
    params:
        models=named_models,
        layout=sha256_file(CHECKOUT / "config/schemas/results.schema.yaml"),
        settings=settings_for("results"),
        script=path_of("assemble_results"),
    shell:
        "exec python {params.script:q}"
        " --settings {params.settings:q} --models {params.models} --evaluations {input.evaluations}"
        " --figures {input.drawings} --output {output.results} --log {log}"
