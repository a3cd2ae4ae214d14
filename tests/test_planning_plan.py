"""The plan of a run follows from its settings alone."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from abovo.config.budget import budget
from abovo.config.load import load, names
from abovo.errors import AbovoError
from abovo.modeling.cost import adapter_flops_per_token, count_parameters, training_flops_per_token
from abovo.planning.compute import costs, hours
from abovo.planning.plan import describe, plan, plan_settings
from abovo.settings.checkpoints import Checkpoints, Limits
from abovo.settings.hardware import Hardware, Peak
from abovo.settings.keys import plain
from abovo.settings.run import Phase

CONFIG = Path("config")
MACHINE = {"utilization": (0.1, 0.5), "memory_bytes": 1}


@pytest.fixture
def settings():
    corpus = {"bytes_per_token": 3.0, "sources": {"a": {"type": "package", "licence": "MIT", "language": "en"}}}
    parts = {"model": "nano", "tokenizer": "t", "training": "nano", "sft": "nano", "evaluation": "text"}
    run = {
        "name": "small-run",
        "parts": parts,
        "model": plain(load("models", "nano", CONFIG)),
        "tokenizer": {"corpus": "web", "vocabulary_size": 4000},
        "tokens": 1_000_000,
        "sequence_length": 256,
        "training": plain(load("training", "nano", CONFIG)),
        "engine": plain(load("engines", "torch", CONFIG)),
        "evaluation": plain(load("evaluation", "text", CONFIG)),
        "phases": [
            {"name": "a", "corpora": {"web": 3.0, "books": 1.0}, "share": 0.7},
            {"name": "b", "corpora": {"books": 1.0}, "share": 0.3},
        ],
        "sft": {
            **plain(load("sft", "nano", CONFIG)),
            "tokens": 50_000,
            "method": "lora",
            "text": None,
            "lora": {"rank": 8, "alpha": 16},
            "training": plain(load("training", "full-nano", CONFIG)),
        },
    }
    return plan_settings(
        {
            "run": run,
            "corpora": {"web": corpus | {"tokens": 1_000_000}, "books": corpus | {"tokens": 100_000}},
            "hardware": {name: plain(load("hardware", name, CONFIG)) for name in names("hardware", CONFIG)},
            "overrides": {"tokens": 1_000_000},
        }
    )


def changed(settings, **values):
    """The same with other values of the run."""
    return replace(settings, run=replace(settings.run, **values))


def test_steps_derive_from_tokens(settings):
    made = plan(settings)
    assert made["steps"] == 489  # 1,000,000 / 2,048, rounded up
    assert made["tokens"] == made["steps"] * made["tokens_per_step"] >= settings.run.tokens
    assert made["tokens"] - settings.run.tokens < made["tokens_per_step"]


def test_phases_cover_all_steps_without_a_gap(settings):
    phases = plan(settings)["phases"]
    assert [phase["first_step"] for phase in phases] == [1, phases[0]["last_step"] + 1]
    assert phases[-1]["last_step"] == 489
    assert phases[0]["last_step"] == round(0.7 * 489)
    assert [phase["model"].removeprefix("results/pretrain/small-run/") for phase in phases] == [
        "phase-a/model",
        "model",
    ]
    drawn = phases[0]["corpora"]
    assert drawn["web"]["tokens"] == pytest.approx(3 * drawn["books"]["tokens"], abs=3)
    assert drawn["books"]["epochs"] == round(drawn["books"]["tokens"] / 100_000, 3)


def test_many_phases_do_not_add_up_rounding(settings):
    phases = tuple(Phase(name=f"p{number}", corpora={"web": 1.0}, share=1 / 7) for number in range(7))
    steps = budget(replace(settings.run, phases=phases))
    assert sum(steps.phases) == steps.steps
    assert max(steps.phases) - min(steps.phases) <= 1


def test_steps_of_a_phase_do_not_depend_on_the_phases_after_it(settings):
    whole = budget(settings.run)
    first = budget(replace(settings.run, phases=settings.run.phases[:1]))
    assert first.steps == whole.steps
    assert first.phases == whole.phases[:1]


def test_parameters_use_the_padded_vocabulary(settings):
    assert plan(settings)["model"]["vocabulary_rows"] == 4096
    assert plan(settings)["model"]["parameters"] == count_parameters(load("models", "nano", Path("config")), 4096).total


def test_operations_are_6n_and_attention(settings):
    model = load("models", "nano", Path("config"))
    multiplied = count_parameters(model, 4096).total  # the tied table is multiplied with
    width = model.heads * model.head_dim
    expected = 6 * multiplied + 12 * model.layers * width * 256
    assert training_flops_per_token(model, 4096, 256) == expected
    assert adapter_flops_per_token(model, 4096, 256) == expected - 2 * multiplied
    made = plan(settings)
    assert made["flops"] == expected * made["tokens"] + (expected - 2 * multiplied) * 50_000
    assert sum(phase["flops"] for phase in made["phases"]) == expected * made["tokens"]


def test_hours_are_an_interval_short_to_long():
    peak = Peak(bf16=1e12, fp16=2e12)
    machine = Hardware(peak_flops_per_second=peak, price_per_hour=3, **MACHINE)
    assert hours(3600e12, machine, "auto") == hours(3600e12, machine, "bf16") == [2.0, 10.0]
    assert hours(3600e12, machine, "fp16") == [1.0, 5.0]
    assert hours(3600e12, machine, "fp32") is None
    free = Hardware(peak_flops_per_second=peak, **MACHINE)
    assert costs({"rented": [2.0, 10.0], "owned": [1.0, 2.0]}, {"rented": machine, "owned": free}) == {
        "rented": [6.0, 30.0]
    }


def test_disk_counts_kept_checkpoints_and_bins(settings):
    made = plan(settings)
    assert made["disk_bytes"]["bins"] == 2 * 1_100_000
    # two kept, one being written, and the end of phase a
    assert made["disk_bytes"]["checkpoints"] == 4 * 12 * made["model"]["parameters"]
    assert made["disk_bytes"]["models"] == 3 * 4 * made["model"]["parameters"]
    more = changed(settings, training=replace(settings.run.training, keep_last=4, keep_every=100))  # of 489 steps
    assert plan(more)["disk_bytes"]["checkpoints"] == (4 + 4 + 1 + 1) * 12 * made["model"]["parameters"]
    larger = changed(settings, tokenizer=replace(settings.run.tokenizer, vocabulary_size=70_000))
    assert plan(larger)["disk_bytes"]["bins"] == 4 * 1_100_000
    on_the_way = changed(settings, checkpoints=Checkpoints(at=(100_000,), end=500_000))
    assert plan(on_the_way)["disk_bytes"]["models"] == (3 + 2 * 2) * 4 * made["model"]["parameters"]


def test_steps_of_models_on_the_way_are_reckoned_for_tokens_and_estimated_for_words(settings):
    tokens = changed(settings, checkpoints=Checkpoints(unit="tokens", at=(2048, 2049, 4096), end=10**6))
    made = plan(tokens)
    assert [(one["step"], one["estimated"]) for one in made["checkpoints"]] == [
        (1, False), (2, False), (2, False), (489, False),
    ]  # fmt: skip
    assert any("warning: chck_2049, chck_4096 are one model, that of step 2" in line for line in describe(made))
    # 3 bytes a token and 5.7 a word: a million tokens are about 526,000 words
    words = plan(changed(settings, checkpoints=Checkpoints(at=(200_000, 600_000))))
    assert [(one["step"], one["estimated"]) for one in words["checkpoints"]] == [(186, True), (None, True)]
    assert any("warning: chck_600K is likely beyond the budget" in line for line in describe(words))


def test_plan_refuses_more_epochs_than_the_limit(settings):
    """The corpus books has 100,000 tokens, of which the run draws 476,200."""
    with pytest.raises(AbovoError, match=r"books would be gone through 4\.762 times, allowed are 4"):
        plan(changed(settings, limits=Limits(epochs=4)))
    plan(changed(settings, limits=Limits(epochs=5)))


def test_base_model_alone_has_no_sft(settings):
    assert plan(changed(settings, sft=None))["sft"] is None


def test_plan_in_words_names_overrides(settings):
    assert any("override: tokens = 1000000" in line for line in describe(plan(settings)))


def test_claimed_parameters_off_by_more_than_one_percent_are_refused(settings):
    total = plan(settings)["model"]["parameters"]
    plan(changed(settings, parameters=round(total / 1.009)))
    with pytest.raises(AbovoError, match=r"config/runs/small-run.yaml, key parameters: claims .* but the model has"):
        plan(changed(settings, parameters=round(total / 1.011)))


def test_batch_that_cuts_a_row_is_refused(settings):
    odd = changed(settings, training=replace(settings.run.training, batch_tokens=2000))
    with pytest.raises(AbovoError, match=r"config/runs/small-run.yaml, key training.batch_tokens: .* use 2048"):
        plan(odd)


def test_phase_without_a_step_is_refused(settings):
    first, second = settings.run.phases
    phases = (replace(first, share=1 - 1e-5), replace(second, share=1e-5))
    with pytest.raises(AbovoError, match="phase b has no step"):
        plan(changed(settings, phases=phases))


def test_script_writes_the_same_plan_without_heavy_imports(settings, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(plain(settings)))
    command = [sys.executable, "-X", "importtime", "workflow/scripts/plan.py", "--settings", str(file), "--output"]
    done = subprocess.run([*command, str(tmp_path / "plan.json")], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "numpy"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }
    made = json.loads((tmp_path / "plan.json").read_text())
    assert {key: made[key] for key in plan(settings)} == plan(settings)


def test_script_leaves_no_plan_behind_when_it_fails(settings, tmp_path):
    settings = changed(settings, parameters=1)
    command = [sys.executable, "workflow/scripts/plan.py", "--settings", json.dumps(plain(settings)), "--output"]
    done = subprocess.run([*command, str(tmp_path / "plan.json")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: config/runs/small-run.yaml, key parameters")
    assert not (tmp_path / "plan.json").exists()


def test_price_stands_beside_the_time_and_machines_that_are_told_the_same_share_a_line(settings):
    spans = {"slow": [2.0, 10.0], "fast": [1.0, 5.0], "equal": [1.0, 5.0], "free": [0.5, 1.0]}
    prices = {"slow": [6.0, 30.0], "fast": [4.0, 20.0], "equal": [4.0, 20.0]}
    lines = describe(plan(settings) | {"hours": spans, "cost_usd": prices})
    assert [line for line in lines if line.startswith("training on")] == [
        "training on one free: 30 min 00 s to 1 h 00 min",
        "training on one fast or equal: 1 h 00 min to 5 h 00 min, 4 to 20 USD",
        "training on one slow: 2 h 00 min to 10 h 00 min, 6 to 30 USD",
    ]


def test_a_corpus_that_phases_draw_more_than_four_times_is_warned_of(settings):
    made = plan(settings)
    times = sum(phase["corpora"]["books"]["epochs"] for phase in made["phases"])
    assert times > 4 and made["repeated"] == {"books": pytest.approx(times, abs=0.002)}
    (told,) = [line for line in describe(made) if line.startswith("warning: ")]
    assert told.startswith(f"warning: books is drawn {times:.3g} times; beyond 4 times") and "2305.16264" in told
    fewer = plan(changed(settings, tokens=800_000))
    assert fewer["repeated"] == {} and not any("warning" in line for line in describe(fewer))


@pytest.mark.parametrize(
    ("peak", "words"),
    [
        (1e30, "under a minute"),
        (1e12, "under a minute to 1 min 40 s"),
        (1e11, "3 min 20 s to 16 min 40 s"),
    ],
)
def test_time_in_words_is_no_finer_than_the_estimate(settings, peak, words):
    machine = Hardware(**MACHINE, peak_flops_per_second=Peak(fp32=peak))
    made = plan(settings) | {"hours": {"here": hours(1e13, machine)}}
    assert f"training on one here: {words}" in describe(made)
