"""The summary says what was made, from the manifests alone."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from abovo.errors import AbovoError
from abovo.evaluation.assemble import SCHEMA
from abovo.provenance.manifest import digest_of
from abovo.reporting.summary import measured, print_summary

ENTRY = {"value": 2.5, "n": 30, "unit": "documents", "interval": [2.4, 2.6], "baseline": {"uniform": 8.0, "zstd": 2.2}}
PHASES = [
    {"name": "a", "sets": {"nano": {"epochs": 3.5}, "books": {"epochs": 0.25}}},
    {"name": "b", "sets": {"nano": {"epochs": 0.75}}},
]
# In the order in which they are made: what each says besides the keys of every manifest, and its inputs by role.
FILES = {
    "corpora/nano/manifest.json": (
        "abovo/corpus/1",
        {
            "counts": {"documents": 8000, "bytes": 12_000_000, "sources": {"speeches": {}, "docstrings": {}}},
            "sources": {"speeches": {"unread": {".html": {"files": 1, "bytes": 60_000}}}, "docstrings": {"unread": {}}},
        },
        {},
    ),
    "tokenizers/nano-4k/tokenizer_config.json": ("abovo/tokenizer/1", {"vocabulary_size": 4096}, {}),
    "packed/nano/nano-4k/256/manifest.json": (
        "abovo/packed/1",
        {"counts": {"train": {"tokens": 3_900_000}, "val": {"tokens": 120_000}}},
        {"corpus": "corpora/nano/manifest.json"},
    ),
    "pretrain/nano/manifest.json": (
        "abovo/model/1",
        {
            "counts": {"parameters": 1_312_128, "steps": 782, "tokens": 1_601_536, "phases": PHASES},
            "train_loss_first": 8.34, "train_loss_last": 4.5, "validation_loss_first": 8.33, "validation_loss": 4.6,
        },
        {
            "packed/nano": "packed/nano/nano-4k/256/manifest.json",
            "tokenizer": "tokenizers/nano-4k/tokenizer_config.json",
        },
    ),
    "sft/nano/manifest.json": (
        "abovo/model/1",
        {"train_loss_first": 4.0, "train_loss_last": 1.5, "validation_loss_first": 4.25, "validation_loss": 1.75},
        {},
    ),
    "pretrain/nano/evaluation.json": (
        SCHEMA, {"metrics": {"validation.bits_per_byte": ENTRY, "yesno.accuracy": ENTRY}}, {},
    ),
    "sft/nano/evaluation.json": (
        SCHEMA, {"metrics": {"validation.bits_per_byte": ENTRY | {"value": 2.25}}}, {},
    ),
}  # fmt: skip


def change(value, verdict, **more):
    return {"value": value, "interval": [value - 0.1, value + 0.1], "interval_method": "t", "verdict": verdict, **more}


def finished_run(folder, run="nano", tuned=2.25):
    """Write the manifests of a finished run under `folder`/results; `tuned` are its bits per byte after fine-tuning."""
    made = {}
    worse = tuned > ENTRY["value"]
    judged = change(tuned - ENTRY["value"], "higher" if worse else "lower", better=not worse)
    results = {
        "validation.bits_per_byte": {"difference": judged},
        "yesno.accuracy": {"difference": change(0.1, "within noise")},
    }
    for name, (schema, fields, inputs) in FILES.items():
        name = name.replace("/nano/", f"/{run}/") if name.startswith(("pretrain", "sft")) else name
        if name == f"sft/{run}/evaluation.json":
            fields = {"metrics": {"validation.bits_per_byte": ENTRY | {"value": tuned}}}
        path = folder / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        behind = {role: {"path": f"results/{place}", "digest": made[place]} for role, place in inputs.items()}
        data = {"schema": schema, "created_by": {"path": f"results/{name}"}, "inputs": behind, **fields}
        made[name] = digest_of(data)
        path.write_text(json.dumps({**data, "digest": made[name]}))
        if name == f"sft/{run}/evaluation.json":
            told = {"metrics": results, "schema": "abovo/results/1", "inputs": {},
                    "created_by": {"path": f"results/sft/{run}/results.json"}}  # fmt: skip
            path.with_name("results.json").write_text(json.dumps({**told, "digest": digest_of(told)}))
    return folder / "results"


@pytest.fixture
def results(tmp_path):
    return finished_run(tmp_path)


def printed(results, report=None, run="nano"):
    console = Console(file=io.StringIO(), width=120)
    print_summary(run, results, report, console)
    return console.file.getvalue()


def test_summary_shows_what_was_made_losses_metrics_and_the_next_commands(results):
    text = printed(results, Path("results/report/nano.html"))
    for part in (
        "8,000 documents, 12 MB of text (speeches, docstrings)", "4,096 pieces", "3.9 M tokens",
        "of speeches: 1 file (0.1 MB): 1 .html (0.1 MB)",
        "1.31 M parameters", "nano 4.25 times, books 0.25 times; beyond 4 times repeated text teaches less",
        "8.34 -> 4.50 nats per token", "8.33 -> 4.60 nats", "4.00 -> 1.50", "4.25 -> 1.75 nats per answer token",
        "bits per byte", "2.5 (95 % 2.4 to 2.6) -> 2.25 (95 % 2.4 to 2.6): lower, better; zstd: 2.2", "lower is better",
        "accuracy on yesno", "results/report/nano.html", "snakemake --profile gpu results/sft/tiny/results.json",
    ):  # fmt: skip
        assert part in text, f"{part!r} is not in\n{text}"


def test_summary_after_a_run_of_ones_own_offers_its_report_and_its_model(tmp_path):
    results = finished_run(tmp_path, "mine")
    text = printed(results, run="mine")
    assert f"snakemake --report {results}/report/mine.html {results}/sft/mine/results.json" in text
    assert f'pipeline("text-generation", "{results}/sft/mine/model")("Hello", max_new_tokens=64)' in text
    assert f"make chat RUN=mine 'OPTIONS=--results {results}'" in text
    assert "tiny" not in text and "Worse on plain text" not in text
    model = results / "sft/mine/model"
    model.mkdir()
    (model / "chat_template.jinja").write_text("x")
    assert '([{"role": "user", "content": "Hello"}], max_new_tokens=64)' in printed(results, run="mine")


def test_summary_says_why_plain_text_gets_worse_in_fine_tuning(tmp_path):
    text = printed(finished_run(tmp_path, tuned=3.0))
    assert "2.5 (95 % 2.4 to 2.6) -> 3 " in text and "Worse on plain text than before" in text


def test_summary_refuses_files_that_were_altered(results):
    path = results / "sft/nano/evaluation.json"
    path.write_text(path.read_text().replace("2.25", "1.25"))
    with pytest.raises(AbovoError, match=r"sft/nano/evaluation\.json: the manifest was altered"):
        printed(results)


def test_summary_refuses_results_that_are_of_another_evaluation(results):
    told = {"path": "results/sft/nano/evaluation.json", "digest": "0" * 64}
    data = {"schema": "abovo/results/1", "created_by": {"path": "results/sft/nano/results.json"}, "inputs": {"e": told}}
    path = results / "sft/nano/results.json"
    path.write_text(json.dumps({**data, "digest": digest_of(data)}))
    with pytest.raises(AbovoError, match=r"results\.json: was made from another state of its input e"):
        printed(results)


def test_summary_of_a_base_model_alone(results):
    (results / "sft/nano/manifest.json").unlink()
    (results / "sft/nano/evaluation.json").unlink()
    (results / "sft/nano/results.json").unlink()
    rows = dict(measured("nano", results))
    assert "fine-tuning, loss" not in rows
    assert rows["bits per byte"].startswith("2.5 ")


def test_summary_of_an_unfinished_run_names_the_missing_file(results):
    (results / "pretrain/nano/manifest.json").unlink()
    with pytest.raises(AbovoError, match=r"pretrain/nano/manifest\.json: the file does not exist"):
        printed(results)


def test_summary_of_a_run_that_continues_a_given_model_names_its_own_stages(results):
    with pytest.raises(AbovoError, match=r"cpt/quebec-nano/manifest\.json: the file does not exist"):
        printed(results, run="quebec-nano")
    base = json.loads((results / "pretrain/nano/manifest.json").read_text())
    folder = "results/pretrain/nano/model"
    for stage, fields in (("given", {"model_type": "qwen3", "folder": folder, "inputs": {}}), ("cpt", base)):
        path = results / stage / "quebec-nano/manifest.json"
        path.parent.mkdir(parents=True)
        own = {"schema": "abovo/model/1", "created_by": {"path": f"results/{stage}/quebec-nano/manifest.json"}}
        data = {key: value for key, value in fields.items() if key not in ("digest", "schema")} | own
        path.write_text(json.dumps({**data, "digest": digest_of(data)}))
    text = printed(results, run="quebec-nano")
    for part in (
        "given model", f"qwen3, in {folder}", "8,000 documents", "after continued pretraining", "1.31 M parameters",
        "continued pretraining, loss", "8.34 -> 4.50 nats per token", "results/cpt/quebec-nano/results.json",
    ):  # fmt: skip
        assert part in text, f"{part!r} is not in\n{text}"
    (results / "given/quebec-nano/manifest.json").unlink()
    with pytest.raises(AbovoError, match=r"given/quebec-nano/manifest\.json: the file does not exist"):
        printed(results, run="quebec-nano")


def test_summary_script_is_quick_and_imports_nothing_heavy(results):
    command = [sys.executable, "-X", "importtime", "workflow/tools/summary.py", "--run", "nano", "--results"]
    done = subprocess.run([*command, str(results)], capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {"torch", "numpy", "matplotlib", "snakemake"} & imported
    assert "2.5 (95 % 2.4 to 2.6) -> 2.25" in done.stdout
