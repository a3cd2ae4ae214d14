"""What a failed job told stands below all that Snakemake says of its failure."""

from abovo.console.last_words import last_words

SNAKEMAKE = """
Error in rule pack:
    message: None
    jobid: 3
    input: a, b
    output: results/packed/manifest.json
    log: {pack} (check log file(s) for error details)
    shell:
        exec python pack.py --log {pack}
[Thu Nov 26 17:49:06 2026]
Error in rule train:
    log: {train} (check log file(s) for error details)
Error in rule plan:
    log: {plan} (check log file(s) for error details)
Error in rule pack:
    log: {pack} (check log file(s) for error details)
"""


def test_each_failed_job_has_one_line(tmp_path):
    pack, train, plan = (tmp_path / f"{name} of mine.log" for name in ("pack", "train", "plan"))
    pack.write_text("12 documents\nerror: first\nerror: b.bin: too short; make it again\nafterwards\n")
    train.write_text("step 4 of 9\n")
    log = tmp_path / "snakemake.log"
    log.write_text(SNAKEMAKE.format(pack=pack, train=train, plan=plan))
    packed, trained, planned = last_words([log])
    assert packed == f"error: b.bin: too short; make it again (pack, {pack})"
    assert trained.startswith("error: train ended without an error of its own") and str(train) in trained
    assert planned.startswith("error: plan ended before it wrote a log")


def test_a_job_that_was_stopped_says_where_it_goes_on(tmp_path):
    file, log = tmp_path / "nano.log", tmp_path / "snakemake.log"
    line = "pretraining: stopped at step 51 of 300; the same command goes on from there"
    file.write_text(f"pretraining: steps 1 to 300\n{line}\n")
    log.write_text(f"Error in rule pretrain:\n    log: {file} (check log file(s) for error details)\n")
    assert last_words([log]) == [f"{line} (pretrain, {file})"]


def test_nothing_is_told_of_a_workflow_without_failures(tmp_path):
    (tmp_path / "log").write_text("Building DAG of jobs...\nNothing to be done\n")
    assert last_words([tmp_path / "log"]) == []
