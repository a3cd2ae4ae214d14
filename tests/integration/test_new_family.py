"""A new family goes through the whole workflow by one file and one row; runs start from its models."""

import json
import shutil

import pytest
import yaml
from workflow import ROOT, Workflow, copy_of_the_tree

TARGET = "results/sft/odd/results.json"
ROW = '        "llama": "abovo.modeling.llama:LLAMA",\n'
REDUCED = ",".join(
    [
        "nano.corpus.tokens=400_000",
        "nano.tokenizer.vocabulary_size=1024",
        "odd.tokens=163_840",
        "odd.training.checkpoint_interval=4",
        "odd.training.schedule.warmup_steps=4",
        "odd.training.optimizer.learning_rate=0.03",
        "odd.sft.tokens=20_480",
        "odd.sft.attention=row",
        "odd.sft.method=lora",
        "nano.evaluation.validation_bytes=60_000",
        "nano.evaluation.yesno_rows=60",
        "nano.evaluation.choice_rows=20",
        "nano.evaluation.offered_rows=40",
        "nano.evaluation.conversations=20",
        "nano.evaluation.new_tokens=4",
    ]
)
MODEL = """
family: odd
width: 32
inner: 48
initializer_range: 0.05
"""


def write_run(folder, name, **changes):
    run = yaml.safe_load((folder / "config/runs/nano.yaml").read_text())
    (folder / f"config/runs/{name}.yaml").write_text(yaml.safe_dump({**run, **changes}))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """The workflow with the family's file, its row, its shape and a run of it."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("odd"))
    shutil.copyfile(ROOT / "tests/odd_family.py", folder / "src/abovo/modeling/odd.py")
    table = folder / "src/abovo/modeling/family.py"
    text = table.read_text()
    assert text.count(ROW) == 1
    table.write_text(text.replace(ROW, ROW + '        "odd": "abovo.modeling.odd:ODD",\n'))
    (folder / "config/models/odd.yaml").write_text(MODEL)
    write_run(folder, "odd", model="odd")
    return Workflow(folder, REDUCED)


def manifest(workflow, name):
    return json.loads((workflow.folder / name).read_text())


def test_new_family_is_planned(odd):
    odd.make("--cores", "1", "results/plan/odd/plan.json")
    assert manifest(odd, "results/plan/odd/plan.json")["model"]["parameters"] == 1024 * 32 + 4 * 32 * 48 + 32


@pytest.mark.slow
def test_new_family_is_trained_killed_resumed_fine_tuned_and_evaluated(odd):
    state = odd.folder / "results/pretrain/odd/state"
    # the first checkpoint may be half written when its folder is seen
    odd.kill_when((state / "step-000000008").exists, "--cores", "2", TARGET)
    odd.make("--cores", "2", TARGET)
    assert "going on from the checkpoint" in (odd.folder / "results/logs/pretrain/odd.log").read_text()
    results = manifest(odd, TARGET)
    assert set(results["models"]) == {"pretrain", "sft"}
    assert results["models"]["sft"]["parameters"] == 1024 * 32 + 4 * 32 * 48 + 32
    bits = results["metrics"]["validation.bits_per_byte"]
    assert 0 < bits["sft"]["value"] < 8 and bits["pretrain"]["value"] < 8
    config = manifest(odd, "results/sft/odd/model/config.json")
    assert config["model_type"] == "odd" and (odd.folder / "results/sft/odd/model/tokenizer.json").exists()


@pytest.mark.slow
def test_run_goes_on_from_another_runs_model_and_from_a_folder(odd):
    """The first loss of each is near the last of its start, far below that of fresh weights."""
    odd.make("--cores", "2", "results/pretrain/odd/manifest.json")
    write_run(odd.folder, "more", model="odd", start="odd", seed=7, tokens=8_192, sft=None)
    folder = odd.folder / "elsewhere"
    shutil.copytree(odd.folder / "results/pretrain/odd/model", folder)
    write_run(odd.folder, "brought", model="odd", start="./elsewhere", seed=7, tokens=8_192, sft=None)
    names = ("odd", "more", "brought")
    for name in names[1:]:
        odd.make("--cores", "2", f"results/pretrain/{name}/manifest.json")
    start, more, brought = (manifest(odd, f"results/pretrain/{name}/manifest.json") for name in names)
    assert more["base_model_sha256"] == brought["base_model_sha256"] == start["model_sha256"]
    assert start["train_loss_first"] - start["validation_loss"] > 0.3
    assert abs(more["train_loss_first"] - start["validation_loss"]) < 0.2
    assert more["model_sha256"] == brought["model_sha256"] != start["model_sha256"]
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert "pretrain" in odd.make("-n", "results/pretrain/brought/manifest.json")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("lost", "lost.yaml, key start"),
        ("nowhere/at-all", "nowhere/at-all has no config.json"),
        ("more-or-less", "there is no 'more-or-less'"),
    ],
)
def test_start_that_is_not_there_or_goes_in_a_circle_is_told(odd, start, message):
    write_run(odd.folder, "lost", start=start, sft=None)
    done = odd.run("-n", "results/pretrain/lost/manifest.json")
    (odd.folder / "config/runs/lost.yaml").unlink()
    assert done.returncode == 1 and message in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
