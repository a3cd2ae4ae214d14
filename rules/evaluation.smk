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
        mem_mb=1000,
        runtime="1h",
    params:
        settings=settings_for("evaluation_sets"),
        script=path_of("prepare_evaluation"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q}"
        " --corpus {input.corpus} --output {output.manifest} --log {log}"


# Measures the model of a stage, or that of one of its phases, on the sets of all corpora that it was trained on.
rule evaluate:
    input:
        request=asked(
            "results/{stage}/{run}{phase_folder}/evaluation.json",
            "evaluate",
            "evaluation",
        ),
        model="results/{stage}/{run}{phase_folder}/manifest.json",
        sets=of(inputs.evaluation_sets),
        packed=of(inputs.packed),
    output:
        evaluation="results/{stage}/{run}{phase_folder}/evaluation.json",
        scores="results/{stage}/{run}{phase_folder}/evaluation_scores.json",
    log:
        "results/logs/{stage}/{run}{phase_folder}.evaluation.log",
    benchmark:
        "results/benchmarks/{stage}/{run}{phase_folder}.evaluation.jsonl"
    conda:
        environment("evaluation")
    threads: threads_of_process
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        sets=named_sets,
        packed=named_packed,
        settings=settings_for("evaluation"),
        script=path_of("evaluate"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --model {input.model}"
        " --sets {params.sets} --packed {params.packed} --output {output.evaluation} --log {log}"


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
        mem_mb=2000,
        runtime="12h",
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
            "results/{stage}/{run}{phase_folder}/results.json",
            "assemble_results",
            "results",
        ),
        models=of(inputs.models),
        evaluations=of(inputs.evaluations),
        data=of(inputs.data),
        figures=of(inputs.figures),
        drawings=of(inputs.drawings),
    output:
        "results/{stage}/{run}{phase_folder}/results.json",
    log:
        "results/logs/{stage}/{run}{phase_folder}.results.log",
    benchmark:
        "results/benchmarks/{stage}/{run}{phase_folder}.results.jsonl"
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        models=named_models,
        layout=sha256_file(CHECKOUT / "config/schemas/results.schema.yaml"),
        settings=settings_for("results"),
        script=path_of("assemble_results"),
    shell:
        "exec python {params.script:q}"
        " --settings {params.settings:q} --models {params.models} --evaluations {input.evaluations}"
        " --figures {input.drawings} --output {output} --log {log}"
