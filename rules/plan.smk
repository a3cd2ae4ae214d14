# What a run will do and cost, from its settings alone: offline, in seconds, before anything is spent.
rule plan:
    input:
        request=asked("results/plan/{run}/plan.json", "plan", "plan"),
    output:
        "results/plan/{run}/plan.json",
    log:
        "results/logs/plan/{run}.log",
    benchmark:
        "results/benchmarks/plan/{run}.jsonl"
    localrule: True
    conda:
        environment("reporting")
    threads: 1
    resources:
        mem_mb=megabytes(500),
        runtime="5m",
    params:
        settings=settings_for("plan"),
        script=path_of("plan"),
    shell:
        "exec python {params.script:q} --settings {params.settings:q} --output {output} --log {log}"
