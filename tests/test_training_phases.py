"""A run in phases: a chain of jobs that ends in the bytes of one training, whatever happened on the way."""

import contextlib
import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from rounding import ONE_PASS, TIGHT
from safetensors.torch import load_file
from small_training import RECIPE, WORLD, changed, counting_batch, mean_loss
from small_world import SHAPE, documents, make_corpus, make_packed, make_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from abovo.config.budget import budget
from abovo.errors import AbovoError
from abovo.modeling.build import build_model
from abovo.packing.bins import open_bin, read_index
from abovo.provenance.manifest import read_manifest
from abovo.reporting.kept import list_kept, show_kept
from abovo.settings.checkpoints import Kept
from abovo.settings.keys import plain
from abovo.tokenizing.load import load_tokenizer
from abovo.training.branch import read_state, write_state
from abovo.training.engine_torch import TorchEngine
from abovo.training.job import read_inputs, run_job
from abovo.training.loop import _validate
from abovo.training.order import DataOrder
from abovo.training.schedule import learning_rate_factor
from abovo.training.sets import held_out_sources, open_rows, validation_batches
from abovo.training.task import Task, read_settings, schedule_of

SCRIPT = Path("workflow/scripts/train.py").absolute()
CONFIG = Path("config").absolute()
LENGTH, STEPS = 64, 20
MODEL = "model/model.safetensors"
# One model on the way in phase a, one in phase b, and the last
KEPT = {"unit": "words", "at": [500, 1500], "end": 3000}


def phases(**of_b):
    b = {"name": "b", "sets": {"docstrings": 0.75, "speeches": 0.25}, "share": 0.6, **of_b}
    return [{"name": "a", "sets": {"speeches": 1.0}, "share": 0.4}, b]


def settings(**changes):
    recipe = changed(RECIPE, batch_tokens=4 * LENGTH, checkpoint_interval=3, validation_interval=4, tensorboard=False)
    return {
        "model": plain(SHAPE),
        "training": plain(recipe),
        "engine": {"kind": "torch", "device": "cpu"},
        "phases": phases(),
        "tokens": STEPS * 4 * LENGTH,
        "sequence_length": LENGTH,
        "parameters": None,
        "seed": 7,
        "threads": 1,
        **changes,
    }


class Data:
    """Two packed corpora and their tokenizer, and the jobs that train on them."""

    def __init__(self, folder):
        self.tokenizer = make_tokenizer(folder, make_corpus(folder))
        self.packed = {}
        for source in ("speeches", "docstrings"):
            own = [document for document in documents() if document.source == source]
            corpus = make_corpus(folder, own, name=source)
            self.packed[source] = make_packed(folder, corpus, self.tokenizer, LENGTH, name=source)

    def train(self, output, values, before=None):
        names = {name for phase in values["phases"] for name in phase["sets"]}
        sets = {name: manifest.path for name, manifest in self.packed.items() if name in names}
        inputs = read_inputs(self.tokenizer, sets, before=before)
        run_job(read_settings(values), inputs, output, output.parent / "state", SCRIPT, "pretraining")
        return output

    def chain(self, folder, values):
        """Phase a as a job of its own, then phase b from its end."""
        first = self.train(folder / "phase-a/manifest.json", {**values, "phases": values["phases"][:1]})
        return self.train(folder / "manifest.json", values, first)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def chain(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    with contextlib.chdir(folder):
        data.chain(Path(), settings(checkpoints=KEPT))
    return folder


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_chain_of_phases_equals_one_training_over_both(data, chain, tmp_path):
    data.train(tmp_path / "manifest.json", settings(checkpoints=KEPT))
    assert (tmp_path / MODEL).read_bytes() == (chain / MODEL).read_bytes()
    whole, parts = (read_manifest(folder / "manifest.json") for folder in (tmp_path, chain))
    assert whole["checkpoints"] == parts["checkpoints"]
    one, two = ({row["step"]: row for row in metrics(folder) if "loss" in row} for folder in (tmp_path, chain))
    assert all(two[step] == one[step] for step in one)


@pytest.mark.parametrize("deaths", [(2, 9), (7, 8, 19)], ids=str)
def test_killed_chain_ends_with_the_same_bytes(data, chain, tmp_path, monkeypatch, deaths):
    """Killed before the batch of each of these steps; batch 8 is the first of phase b."""
    monkeypatch.chdir(tmp_path)
    rows_of = DataOrder.rows_of
    for death in deaths:

        def die(order, k, death=death):
            if k == death:
                raise KeyboardInterrupt
            return rows_of(order, k)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(DataOrder, "rows_of", die)
            data.chain(Path(), settings(checkpoints=KEPT))
    data.chain(Path(), settings(checkpoints=KEPT))
    names = (MODEL, "metrics.jsonl", "manifest.json", *read_manifest(chain / "manifest.json").names("checkpoints/"))
    of_a = (MODEL, "metrics.jsonl", "manifest.json", "training_state.safetensors", "checkpoints/chck_500/config.json")
    for name in (*names, *(f"phase-a/{name}" for name in of_a)):
        assert (tmp_path / name).read_bytes() == (chain / name).read_bytes(), name
    assert not Path("state").exists()


def test_damaged_checkpoints_of_a_later_phase_fall_back_to_the_end_of_the_earlier_one(
    data, chain, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rows_of = DataOrder.rows_of

    def die(order, k):
        if k == 13:
            raise KeyboardInterrupt
        return rows_of(order, k)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(DataOrder, "rows_of", die)
        data.chain(Path(), settings())
    for checkpoint in Path("state").glob("step-*/state.pt"):
        checkpoint.write_bytes(b"cut short")
    data.chain(Path(), settings())
    assert (tmp_path / MODEL).read_bytes() == (chain / MODEL).read_bytes()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (chain / "metrics.jsonl").read_bytes()


def test_changed_second_phase_puts_the_first_in_place_and_changes_the_second(
    data, chain, tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(chain, tmp_path, dirs_exist_ok=True)
    first = read_manifest(tmp_path / "phase-a/manifest.json").digest
    schedule = {"kind": "constant", "warmup_steps": 0}
    with caplog.at_level("INFO"):
        data.chain(Path(), settings(checkpoints=KEPT, phases=phases(sets={"docstrings": 1.0}, schedule=schedule)))
    assert "phase-a/manifest.json: inputs, settings and code are known" in caplog.text
    assert read_manifest(tmp_path / "phase-a/manifest.json").digest == first
    assert (tmp_path / MODEL).read_bytes() != (chain / MODEL).read_bytes()
    assert metrics(tmp_path)[-2]["lr"] == RECIPE.optimizer.learning_rate


def test_what_only_watches_a_run_is_no_reason_to_train_again(data, tmp_path, caplog):
    output, values = tmp_path / "pretrain/manifest.json", settings(phases=phases()[:1], tokens=4 * 4 * LENGTH)
    caplog.set_level("INFO", "abovo")
    data.train(output, values)
    data.train(output, {**values, "training": {**values["training"], "tensorboard": True, "keep_last": 3}})
    assert caplog.text.count("nothing computed") == 1
    data.train(output, {**values, "training": {**values["training"], "gradient_clip": 0.5}})
    assert caplog.text.count("nothing computed") == 1 and "setting training.gradient_clip 1.0 -> 0.5" in caplog.text


def test_models_on_the_way_lie_where_they_fall_and_the_last_phase_has_all(chain):
    first, last = (read_manifest(chain / name) for name in ("phase-a/manifest.json", "manifest.json"))
    assert [one["name"] for one in first["checkpoints"]] == ["chck_500"]
    assert [(one["name"], one["step"]) for one in last["checkpoints"]] == [
        ("chck_500", 3), ("chck_1500", 9), ("chck_3K", STEPS),
    ]  # fmt: skip
    for one in last["checkpoints"]:
        assert one["sha256"] == last["outputs"][f"checkpoints/{one['name']}/model.safetensors"]["sha256"]
        assert one["tokens"] == one["step"] * 4 * LENGTH
    assert last["checkpoints"][-1]["sha256"] == last["model_sha256"]
    assert first["outputs"].keys() >= {"checkpoints/chck_500/tokenizer.json", "checkpoints/chck_500/config.json"}


def test_model_on_the_way_becomes_a_model_like_any_other(chain, tmp_path):
    trained = read_manifest(chain / "manifest.json")
    shown = show_kept(Kept(name="chck_1500"), trained, tmp_path / "chck_1500/manifest.json", SCRIPT)
    shown.verify()
    kept = chain / "checkpoints/chck_1500/model.safetensors"
    assert (tmp_path / "chck_1500" / MODEL).read_bytes() == kept.read_bytes()
    assert (shown["counts"]["steps"], shown["amount"], shown["unit"]) == (9, 1500, "words")
    with pytest.raises(AbovoError, match="keeps no chck_7M"):
        show_kept(Kept(name="chck_7M"), trained, tmp_path / "chck_7M/manifest.json", SCRIPT)
    listed = list_kept(trained, [], tmp_path / "checkpoints.json", SCRIPT)
    assert [one["name"] for one in listed["checkpoints"]] == ["chck_500", "chck_1500", "chck_3K"]
    assert "| chck_1500 | 9 | 2,304 | 1,600 |" in (tmp_path / "checkpoints.md").read_text()
    with pytest.raises(AbovoError, match="keeps no models on the way"):
        list_kept(shown, [], tmp_path / "checkpoints.json", SCRIPT)


def test_model_on_the_way_loads_offline_from_the_folder_of_its_name(chain):
    """As the BabyLM challenge's evaluation opens it, the name of the folder being that of the revision."""
    folder = chain / "checkpoints/chck_1500"
    model = AutoModelForCausalLM.from_pretrained(folder, revision="chck_1500", local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, revision="chck_1500", local_files_only=True)
    ids = tokenizer("The people of the nation", return_tensors="pt").input_ids
    assert torch.isfinite(model(ids, labels=ids).loss)
    trained = AutoModelForCausalLM.from_pretrained(chain / "model")
    assert not torch.equal(model.lm_head.weight, trained.lm_head.weight)


def test_weights_and_state_are_readable_as_the_umask_says(chain):
    mask = os.umask(0o022)
    os.umask(mask)
    for name in (MODEL, "phase-a/training_state.safetensors"):
        assert (chain / name).stat().st_mode & 0o777 == 0o444 & ~mask


def test_rows_drawn_are_counted_for_each_phase(chain, data):
    counted = read_manifest(chain / "manifest.json")["counts"]["phases"]
    assert [(phase["name"], phase["steps"], phase["tokens"]) for phase in counted] == [
        ("a", 8, 8 * 4 * LENGTH),
        ("b", 12, 12 * 4 * LENGTH),
    ]
    drawn = counted[1]["sets"]
    assert [drawn[name]["rows"] for name in ("docstrings", "speeches")] == [36, 12]
    assert drawn["speeches"]["share"] == 0.25
    available = len(open_bin(data.packed["speeches"], "train"))
    assert drawn["speeches"]["epochs"] == pytest.approx(12 / available, abs=1e-4)


def test_shares_are_logged_at_the_end_of_a_phase(data, tmp_path, caplog):
    with caplog.at_level("INFO"):
        data.train(tmp_path / "manifest.json", settings(tokens=4 * 4 * LENGTH))
    assert "phase b drew docstrings 6 rows (75.00%" in caplog.text


def test_losses_of_sources_add_up_to_the_validation_loss(chain, data):
    """At the end of the run, where both corpora are validated on, against the model itself."""
    row = metrics(chain)[-1]
    found = {key.removeprefix("validation_loss/"): loss for key, loss in row.items() if "/" in key}
    model = AutoModelForCausalLM.from_pretrained(chain / "model")
    total, targets = 0.0, 0
    for name, manifest in data.packed.items():
        assert set(read_index(manifest, "val")["sources"]) == {"speeches", "docstrings"}
        rows = open_rows(manifest, "val").batch()
        assert found[f"{name}/{name}"] == pytest.approx(mean_loss(model, [rows]), rel=ONE_PASS)
        total, targets = total + found[f"{name}/{name}"] * rows.targets, targets + rows.targets
    assert len(found) == 2
    assert row["validation_loss"] == pytest.approx(total / targets, rel=TIGHT)


def test_both_phases_are_validated_at_the_boundary_on_their_own_sources(chain):
    rows = [row for row in metrics(chain) if row["step"] == 8 and "validation_loss" in row]
    assert len(rows) == 2
    ended, begun = ({key for key in row if "/" in key} for row in rows)
    assert ended == {"validation_loss/speeches/speeches"}
    assert begun == ended | {"validation_loss/docstrings/docstrings"}
    assert len({row["validation_loss/speeches/speeches"] for row in rows}) == 1
    assert rows[0] in metrics(chain / "phase-a")


def test_what_has_no_row_to_validate_on_stands_in_the_manifest(chain):
    """Each corpus has documents of one of its two sources alone."""
    named = {"speeches/docstrings", "docstrings/speeches"}
    assert set(read_manifest(chain / "manifest.json")["unvalidated"]) == named
    assert read_manifest(chain / "phase-a/manifest.json")["unvalidated"] == ["speeches/docstrings"]


def test_batches_of_one_source_may_be_cut_anywhere(data):
    model = build_model(SHAPE, load_tokenizer(data.tokenizer).vocabulary_size, LENGTH, 1).double()
    manifest = data.packed["speeches"]
    sources = held_out_sources("x", manifest)
    rows = []
    for size in (1, 7, 1000):
        task = Task("t", counting_batch, partial(validation_batches, sources, size), 1, 1, RECIPE)
        rows.append(_validate(task, TorchEngine(model, RECIPE, WORLD, "none"), WORLD))
    assert all(rows[0] == pytest.approx(row, rel=TIGHT) for row in rows)
    assert set(rows[0]) == {"validation_loss", "validation_loss/x/speeches"}


def factors(values):
    job = read_settings(values)
    plan = budget(job)
    schedule = schedule_of(job, plan)
    return [learning_rate_factor(schedule, step, plan.steps) for step in range(1, sum(plan.phases) + 1)]


def test_one_schedule_spans_all_phases_unless_a_phase_has_its_own():
    values = settings()
    whole = [learning_rate_factor(RECIPE.schedule, step, STEPS) for step in range(1, STEPS + 1)]
    assert factors(values) == whole
    assert factors({**values, "phases": values["phases"][:1]}) == whole[:8]
    own = {"kind": "wsd", "warmup_steps": 0, "decay_share": 0.25, "decay_shape": "linear", "final_share": 0.0}
    mixed = factors(settings(phases=phases(schedule=own)))
    assert mixed[:8] == whole[:8]
    assert mixed[8:] == pytest.approx([1.0] * 10 + [2 / 3, 1 / 3])


def test_training_state_is_written_in_equal_bytes(tmp_path):
    shared = "exp_avg"
    weight = torch.arange(6.0).reshape(2, 3)
    content = {
        "model": {"w": weight, "part": weight.t()},
        "optimizers": [{"state": {"w": {shared: torch.ones(2), "step": torch.tensor(3.0)}}, "betas": (0.9, 0.95)}],
        "random": [{"cpu": torch.get_rng_state()}],
        "note": None,
    }
    write_state(content, tmp_path / "one")
    again = read_state(tmp_path / "one")
    write_state(again, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert torch.equal(again["model"]["part"], weight.t())
    assert again["optimizers"][0]["betas"] == [0.9, 0.95]
    assert again["optimizers"][0]["state"]["w"]["step"].shape == ()
    assert torch.equal(again["random"][0]["cpu"], content["random"][0]["cpu"])


def test_phase_that_ends_early_hands_over_its_best_weights(data, tmp_path):
    recipe = settings()["training"]
    stopping = {"patience": 1, "least_gain": 10.0}
    values = settings(training={**recipe, "validation_interval": 2, "early_stopping": stopping})
    data.chain(tmp_path, values)
    first = read_manifest(tmp_path / "phase-a/manifest.json")
    assert first["stopped_early"]["weights_of_step"] == 2
    assert first["counts"]["steps"] == 4
    weights = load_file(tmp_path / "phase-a" / MODEL)
    state = read_state(tmp_path / "phase-a/training_state.safetensors")["model"]
    assert all(torch.equal(weights[name], state[name]) for name in weights)
    # phase b begins at its own first step, and ends early by its own validations alone
    steps = [row["step"] for row in metrics(tmp_path) if "validation_loss" in row]
    assert steps == [0, 2, 4, 8, 10, 12]
    assert read_manifest(tmp_path / "manifest.json")["stopped_early"]["weights_of_step"] == 10
