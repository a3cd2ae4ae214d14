# Compares models, each RUN (its last stage) or RUN.STAGE, with the first one on the same rows.
rule compare:
    input:
        evaluations=of(inputs.compared),
    output:
        manifest="results/compare/{models}.json",
        page="results/compare/{models}.md",
        table="results/compare/{models}.csv",
        latex="results/compare/{models}.tex",
        figure=report(
            "results/compare/{models}.svg",
            caption="../workflow/captions/compare.rst",
            category="5 Comparisons",
            labels={"models": "{models}"},
        ),
    log:
        "results/logs/compare/{models}.log",
    benchmark:
        "results/benchmarks/compare/{models}.jsonl"
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(1000),
        runtime="10m",
    params:
        evaluations=named_evaluations,
        script=path_of("compare"),
        code=code("compare"),
    shell:
        "exec python {params.script:q} --evaluations {params.evaluations}"
        " --output {output.manifest} --log {log}"
