"""A recipe of fine-tuning settles what is drawn, from which artifacts, and what that takes."""

import shutil
from pathlib import Path

import pytest

from abovo.config import inputs
from abovo.config.jobs import job_settings
from abovo.config.runs import Configuration
from abovo.config.tuning import text_of, weights_of
from abovo.errors import AbovoError
from abovo.planning.plan import describe, plan, plan_settings

CONFIG = Path("config")
NANO = {"run": "nano"}


def nano(*changes, folder=CONFIG):
    return Configuration(folder, ",".join(f"nano.sft.{change}" for change in changes))


def test_text_takes_its_share_of_the_rows_from_the_runs_corpora(tmp_path):
    copy = Path(shutil.copytree(CONFIG, tmp_path / "config"))
    shutil.copy(copy / "instruction/speech-facts.yaml", copy / "instruction/more-facts.yaml")
    found = nano("text={share: 0.2}", "datasets={speech-facts: 3, more-facts: 1}", folder=copy)
    assert weights_of(found.run("nano"), "sft") == {"speech-facts": 0.6, "more-facts": 0.2, "text/nano": 0.2}
    job = job_settings(found, "sft", NANO)
    assert job["phases"][0]["sets"] == weights_of(found.run("nano"), "sft")
    assert inputs.tuning(found, {**NANO, "stage": "sft"}) == [
        "results/instruction/speech-facts/nano-4k/manifest.json",
        "results/instruction/more-facts/nano-4k/manifest.json",
        "results/packed/nano/nano-4k/256/manifest.json",
    ]
    assert "text/nano" not in job_settings(nano("text=null"), "sft", NANO)["phases"][0]["sets"]


def test_text_of_phases_is_what_they_draw_of_each_corpus():
    found = Configuration(CONFIG, "nano-phases.sft=nano,nano-phases.sft.text={share: 0.5}")
    run = found.run("nano-phases")
    drawn = {"nano-speeches": 0.0, "nano-docstrings": 0.0}
    for phase in run.phases:
        for corpus, weight in phase.corpora.items():
            drawn[corpus] += phase.share * weight / sum(phase.corpora.values())
    assert text_of(run, "sft") == pytest.approx(drawn)


def test_other_corpora_are_parts_of_the_run_and_of_its_plan():
    found = nano("text={share: 0.25, corpora: {nano-speeches: 1, nano-docstrings: 3}}", "tokens=1_000_000")
    assert {"nano-speeches", "nano-docstrings"} <= set(found.used("nano")["corpora"])
    made = plan(plan_settings(job_settings(found, "plan", NANO)))
    text = made["sft"]["text"]
    assert {name: one["tokens"] for name, one in text.items()} == {"nano-speeches": 62_500, "nano-docstrings": 187_500}
    assert any("tokens of text: nano-speeches 62,500, nano-docstrings 187,500" in line for line in describe(made))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("text={share: 1.0}", "key nano.sft.text.share: 1.0 is greater than or equal to"),
        ("text={share: 0.1, corpora: {nope: 1}}", "there is no 'nope'"),
        ("text={corpora: {nano: 1}}", "'share' is a required property"),
        ("method=qlora", "key nano.sft.method: 'qlora' is not one of"),
        ("method=lora,nano.sft.lora.targets=[attention, query]", "no linear layers of this family are called 'query'"),
        ("lora.targets=[]", "key nano.sft.lora.targets: [] should be non-empty"),
    ],
)
def test_what_a_recipe_cannot_mean_is_told_by_its_key(change, said):
    with pytest.raises(AbovoError) as error:
        nano(change).run("nano")
    assert said in str(error.value)


def test_method_full_tells_a_job_of_no_adapters_and_plans_all_weights():
    full = nano("method=full")
    assert job_settings(full, "sft", NANO)["adapters"] is None
    made = plan(plan_settings(job_settings(full, "plan", NANO)))
    assert made["sft"]["trained_parameters"] == made["model"]["parameters"]
    assert made["sft"]["flops"] == made["flops_per_token"] * made["sft"]["tokens"]
    assert job_settings(nano("method=dora"), "sft", NANO)["adapters"]["method"] == "dora"
