"""The real chain at reduced size: kept promises after kills, touches, edits and tampering."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import yaml
from reduced import DATA, MODELS, REDUCED, TARGET, hashes
from rounding import PROMISED
from test_provenance_verify import flip
from workflow import ROOT, Workflow, copy_of_the_tree

from abovo.provenance.chain import Chain
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import read_manifest
from abovo.provenance.verify import Verified

TRAINED = "results/sft/nano/manifest.json"


def planned(text):
    """Rule -> number of jobs in what a dry run prints."""
    rows = (line.split() for line in text[text.rfind("Job stats:") :].splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def test_results_follow_their_schema_and_name_the_bytes(whole):
    results = json.loads((whole.folder / TARGET).read_text())
    assert list(results["left_out"]) == ["results/instruction/speech-facts/nano-4k/manifest.json"]
    jsonschema.validate(results, yaml.safe_load((ROOT / "config/schemas/results.schema.yaml").read_text()))
    text = json.dumps(results)
    for name in (DATA[1], DATA[4], MODELS[0], MODELS[5]):
        assert sha256_file(whole.folder / name) in text, name


def test_trainer_and_evaluation_agree_on_the_loss_of_the_same_bin(whole):
    results = json.loads((whole.folder / TARGET).read_text())
    evaluated = results["metrics"]["rows.validation_loss"]["pretrain"]["value"]
    assert evaluated == pytest.approx(results["models"]["pretrain"]["validation_loss"], rel=PROMISED)


@pytest.mark.slow
def test_chain_killed_in_packing_and_training_ends_with_the_same_bytes(whole, tmp_path):
    """SIGKILL to everything, on one core; then to the end of training, compared with two cores and no kill."""
    workflow = Workflow(copy_of_the_tree(tmp_path), REDUCED)
    workflow.kill_when(lambda: workflow.runs_script("pack"), "--cores", "1", TRAINED)
    assert not (tmp_path / "results/packed/nano/nano-4k/256/manifest.json").exists()
    state = tmp_path / "results/pretrain/nano/state"
    checkpoint = f"step-{random.Random(time.time_ns()).randrange(4, 24, 4):09d}"
    workflow.kill_when((state / checkpoint).exists, "--cores", "1", TRAINED)
    assert not (tmp_path / "results/pretrain/nano/manifest.json").exists()
    workflow.kill_when(lambda: any((tmp_path / "results/sft/nano/state").glob("step-*")), "--cores", "1", TRAINED)
    workflow.make("--cores", "1", TRAINED)
    assert "going on from the checkpoint" in (tmp_path / "results/logs/pretrain/nano.log").read_text()
    assert hashes(workflow, DATA + MODELS) == hashes(whole, DATA + MODELS)
    assert not state.exists()


@pytest.mark.slow
def test_models_on_the_way_are_listed_with_their_scores_and_nothing_is_trained_for_them(whole):
    before = hashes(whole, MODELS)
    scored = Workflow(
        whole.folder, f"{REDUCED},nano.checkpoints.evaluation=text,evaluation.text.validation_bytes=20_000"
    )
    text = scored.make("--cores", "2", "results/report/nano/pretrain/learning_curve.svg")
    assert "rule pretrain:" not in text and hashes(whole, MODELS) == before
    (one,) = json.loads((whole.folder / "results/pretrain/nano/checkpoints.json").read_text())["checkpoints"]
    assert one["name"] == "chck_10K" and one["words"] >= 10_000
    assert one["sha256"] == before["results/pretrain/nano/checkpoints/chck_10K/model.safetensors"]
    low, high = one["metrics"]["validation.bits_per_byte"]["interval"]
    assert low < one["metrics"]["validation.bits_per_byte"]["value"] < high
    assert "| chck_10K |" in (whole.folder / "results/pretrain/nano/checkpoints.md").read_text()


def test_second_call_does_nothing(whole):
    assert "Nothing to be done" in whole.make("--cores", "2", TARGET)


def test_touched_library_file_and_changed_comment_rerun_nothing(whole):
    for name in ("src/abovo/packing/pack.py", "src/abovo/training/loop.py", "workflow/scripts/train.py"):
        path = whole.folder / name
        path.write_text(path.read_text() + "\n# a remark\n")
        os.utime(path)
    run = whole.folder / "config/runs/nano.yaml"
    run.write_text("# a remark\n" + run.read_text())
    assert "Nothing to be done" in whole.make("-n", TARGET)


def test_changed_training_seed_reruns_training_and_what_follows_but_no_data_stage(whole):
    run = whole.folder / "config/runs/nano.yaml"
    before = run.read_text()
    run.write_text(before.replace("seed: 42", "seed: 43"))
    text = whole.make("-n", TARGET)
    run.write_text(before)
    jobs = planned(text)
    assert {"pretrain", "fine_tune", "evaluate"} <= jobs.keys()
    data = {"plan_corpus", "read_source", "assemble_corpus", "train_tokenizer", "pack", "prepare_instruction"}
    assert not data & jobs.keys()
    assert "results/pretrain/nano/manifest.json: is made again, because seed changed from 42 to 43" in text


@pytest.mark.slow
def test_changed_packing_code_with_equal_bytes_runs_no_optimizer_step(whole):
    names = DATA + MODELS
    before = hashes(whole, names[:5] + MODELS)
    path = whole.folder / "src/abovo/packing/pack.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    text = whole.make("--cores", "2", TARGET)
    assert planned(text).get("pack") == 1
    for log in ("pretrain/nano.log", "sft/nano.log"):
        assert "nothing computed" in (whole.folder / "results/logs" / log).read_text()
    assert hashes(whole, names[:5] + MODELS) == before


@pytest.mark.slow
def test_phase_is_made_once_and_its_deleted_model_comes_back_without_a_step(whole):
    """A run of two phases on one corpus: made, its first model deleted and asked for, its second phase changed."""
    text = (ROOT / "config/runs/nano.yaml").read_text()
    phases = "phases: [{name: a, corpora: {nano: 1.0}, share: 0.5}, {name: b, corpora: {nano: 1.0}, share: 0.5}]"
    run = whole.folder / "config/runs/two.yaml"
    run.write_text(text.replace("corpus: nano", phases).replace("sft: nano", "sft: null"))
    left_out = ("sft", "checkpoints", "evaluation")
    own = (item.replace("nano.", "two.", 1) for item in REDUCED.split(",") if not any(one in item for one in left_out))
    settings = ",".join(own).replace("two.corpus.", "two.corpora.nano.").replace("61_440", "20_480")
    two = Workflow(whole.folder, settings)
    model = "results/pretrain/two/phase-a/model"
    weights = whole.folder / model / "model.safetensors"
    two.make("--cores", "2", "results/pretrain/two/manifest.json", model)
    made = sha256_file(weights)
    assert "Nothing to be done" in two.make("-n", "results/pretrain/two/manifest.json", model)
    shutil.rmtree(whole.folder / model)
    two.make("--cores", "2", model)
    assert "nothing computed" in (whole.folder / "results/logs/pretrain/two/phase-a.log").read_text()
    assert sha256_file(weights) == made
    run.write_text(run.read_text().replace("b, corpora", "b, schedule: {kind: constant}, corpora"))
    jobs = planned(two.make("-n", "results/pretrain/two/manifest.json"))
    assert jobs == {"pretrain": 1, "total": 1}


def test_flipped_byte_in_each_file_of_the_chain_is_named_by_verifying(whole, monkeypatch):
    monkeypatch.chdir(whole.folder)
    done = subprocess.run([sys.executable, "workflow/scripts/verify.py", TARGET], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:6]) == (0, "sound:"), done.stdout
    top = read_manifest(Path(TARGET))
    chain = [top, *Chain().all([top]).values()]
    files = {one.path.parent / name for one in chain for name in (*one["outputs"], *one.record["files"])}
    files |= {one.record_path for one in chain}
    files = {path for path in files if path.stat().st_size}
    assert len(files) > 60
    for path in sorted(files):
        flip(path)
        found = [str(error) for error in Verified().broken([Path(TARGET)])]
        flip(path)
        assert any(path.as_posix() in line for line in found), path


def test_tampered_bin_stops_the_next_stage_with_its_name(whole):
    path = whole.folder / "results/packed/nano/nano-4k/256/train.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    other = Workflow(whole.folder, REDUCED + ",nano.seed=7")
    done = other.run("--rerun-incomplete", "--cores", "2", "results/pretrain/nano/manifest.json")
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    path.chmod(mode)
    assert done.returncode != 0
    assert "error: results/packed/nano/nano-4k/256/train.bin: its bytes are not those that" in done.stdout
    last = [line for line in done.stdout.splitlines() if line.startswith("error: ")][-1]
    assert last.endswith("(pretrain, results/logs/pretrain/nano.log)")
    assert done.stdout.index(last) > done.stdout.index("Error in rule pretrain")
    assert not (whole.folder / "results/pretrain/nano/manifest.json").exists()


QUIZ = """kind: choice
source: {{type: local, paths: quiz/{name}.jsonl}}
prompt: "Question: {{{{question}}}}\\nAnswer:"
options: words
answer: right
"""
BASE = "results/pretrain/nano"


def manifest(workflow: Workflow, name: str) -> dict:
    return json.loads((workflow.folder / name).read_text())


def with_quizzes(workflow: Workflow, *names: str) -> Workflow:
    """The same workflow with tasks of a user's own, each a file of six lines and one of rows."""
    folder = workflow.folder
    (folder / "quiz").mkdir()
    for name in names:
        (folder / f"config/evaluation/tasks/{name}.yaml").write_text(QUIZ.format(name=name))
        rows = [
            {"question": f"What is {n}?", "words": [f"{name} {n}", "a number", "peace"], "right": n % 3}
            for n in range(9)
        ]
        (folder / f"quiz/{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return Workflow(folder, f"{workflow.settings},nano.evaluation.tasks=[{','.join(names)}]")


@pytest.mark.slow
def test_a_kill_costs_the_task_under_way_and_a_file_that_is_gone_its_own_task(whole, tmp_path):
    """SIGKILL while the third of five tasks is scored: three are scored afterwards. Then one task's rows are gone."""
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy, symlinks=True)
    names = [f"quiz{number}" for number in range(5)]
    workflow = with_quizzes(Workflow(copy, whole.settings), *names)
    log = copy / "results/logs/pretrain/nano.evaluation"

    def third_begins() -> bool:
        return len(list(log.glob("quiz*.log"))) == 3

    workflow.kill_when(third_begins, "--cores", "2", f"{BASE}/evaluation.json")
    assert len(list((copy / BASE / "evaluation").glob("quiz?.json"))) == 2
    text = workflow.make("--cores", "2", f"{BASE}/results.json")
    assert text.count("rule evaluate:") == 3
    made = manifest(workflow, f"{BASE}/results.json")
    assert made["absent"] == {} and all(f"{name}.accuracy" in made["metrics"] for name in names)

    (copy / "quiz/quiz1.jsonl").unlink()
    said = workflow.make("--cores", "2", f"{BASE}/results.json")
    assert "task quiz1 will be absent: quiz/quiz1.jsonl does not exist" in said
    made = manifest(workflow, f"{BASE}/results.json")
    assert list(made["absent"]) == ["quiz1"] and "quiz/quiz1.jsonl" in made["absent"]["quiz1"]
    assert {"quiz0.accuracy", "quiz4.accuracy", "validation.bits_per_byte"} <= made["metrics"].keys()
    assert "quiz1.accuracy" not in made["metrics"]
    assert "* quiz1: " in (copy / BASE / "results.md").read_text()
