"""Fine-tuning trains what its method says, and what it exports is what it trained."""

import json
import math
import shutil

import pytest
import torch
from peft import PeftModel
from rounding import ONE_PASS, assert_rows_near, assert_weights_near, near
from safetensors.torch import load_file
from small_training import integrators, mean_loss, shape
from small_tuning import MODEL, STEPS, Tuning, settings
from small_world import SHAPE
from training_lives import SCRIPT, Kill, Run
from transformers import AutoModelForCausalLM

from abovo.errors import AbovoError
from abovo.modeling.adapted import check_adapter
from abovo.modeling.build import build_model
from abovo.modeling.cost import count_adapter_parameters
from abovo.modeling.family import chosen_modules, family_of, open_model
from abovo.modeling.layout import read_config
from abovo.modeling.opened import open_scored
from abovo.provenance.manifest import read_manifest
from abovo.settings.tuning import Adapters
from abovo.training.adapters import add_adapters
from abovo.training.sets import open_rows
from abovo.training.start import trained_size
from abovo.training.summary import SUMMARY, training_summary

IDS = torch.arange(40).view(2, 20) * 11 % 600


@pytest.fixture(scope="module")
def tuning(request, tmp_path_factory):
    """Of a decoder, or of integrators with the context that a test asks for."""
    context = getattr(request, "param", None)
    return Tuning(tmp_path_factory.mktemp("tuning"), integrators(context, **FELT) if context else SHAPE)


ATTENTION = pytest.param("attention", marks=pytest.mark.slow)
EACH_FAMILY = pytest.mark.parametrize("tuning", ["causal_mean", ATTENTION, None], indirect=True)
METHODS = ("lora", "dora", "full")
# Of a base without training adapters reach little else than what positions and tokens of such sizes make of the stream.
FELT = {"position_scale": 0.02, "initializer_range": 0.1}


def adapters_of(tuning, method):
    """The adapters of a method, DoRA's on two of the parts that a family has."""
    reads = "attention" if tuning.like is SHAPE else "context"
    dora = {"method": "dora", "targets": [reads, "down_proj"]} if method == "dora" else {}
    return None if method == "full" else {"rank": 3, "alpha": 6, "dropout": 0.1, **dora}


@pytest.fixture(scope="module")
def tuned(tuning):
    return {method: tuning.train(method, settings(adapters=adapters_of(tuning, method))) for method in METHODS}


def opened(folder):
    """By transformers alone, where the class is its own."""
    if read_config(folder)["model_type"] == "inl":
        return open_model(folder).eval()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@EACH_FAMILY
@pytest.mark.parametrize("method", METHODS)
def test_a_fine_tuned_model_learns_and_counts_what_trained(tuning, tuned, method):
    manifest = read_manifest(tuned[method] / "manifest.json")
    assert manifest["counts"]["steps"] == STEPS
    assert manifest["validation_loss"] < manifest["validation_loss_first"] - 0.1
    adapters = adapters_of(tuning, method)
    expected = (
        count_adapter_parameters(tuning.like, Adapters(**adapters)) if adapters else manifest["counts"]["parameters"]
    )
    assert manifest["counts"]["trained_parameters"] == expected
    base = load_file(tuning.folder / tuning.base.parent / MODEL)
    moved = {name for name, weight in load_file(tuned[method] / MODEL).items() if not torch.equal(weight, base[name])}
    parts = ("self_attn", "down_proj", ".context.")
    assert all(any(part in name for part in parts) for name in moved) == (method == "dora")
    assert (moved == set(base)) == (method == "full")


def test_summary_says_what_training_changed_and_took_and_no_hash_covers_it(tuned):
    manifest, summary = (json.loads((tuned["lora"] / name).read_text()) for name in ("manifest.json", SUMMARY))
    assert (summary["steps"], summary["tokens"]) == (STEPS, manifest["counts"]["tokens"])
    assert summary["trained_parameters"] == manifest["counts"]["trained_parameters"] < summary["parameters"]
    loss, perplexity = summary["validation"]["loss"], summary["validation"]["perplexity"]
    assert loss == {"before": manifest["validation_loss_first"], "after": manifest["validation_loss"]}
    assert perplexity == {when: pytest.approx(math.exp(one), rel=1e-4) for when, one in loss.items()}
    assert summary["validation_by_set"].keys() == manifest["validation_losses"].keys()
    record = json.loads((tuned["lora"] / "manifest.record.json").read_text())
    assert SUMMARY in record["files"] and SUMMARY not in manifest["outputs"]


def test_time_of_a_training_is_that_of_all_its_lives(tmp_path):
    lives = ((0, 1, 5), (0, 4, 9), (3, 2, 7), (3, 3, 7), (5, 1, 6))
    rows = [{"from_step": step, "seconds": clock, "memory_bytes": size} for step, clock, size in lives]
    (tmp_path / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {"train_loss_first": 3, "train_loss_last": 2, "validation_loss_first": 3, "validation_loss": 1e4}
    counts = {"steps": 9, "tokens": 900, "parameters": 10}
    made = training_summary(counts, {**fields, "validation_losses": {}}, tmp_path / "timings.jsonl", 100)
    assert (made["seconds"], made["tokens_per_second"], made["peak_memory_bytes"]) == (8, 100, 9)
    assert made["validation"]["perplexity"]["after"] < math.inf, "the file is JSON whatever the loss"


@EACH_FAMILY
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_plain_peft_on_the_base_has_the_logits_of_the_merged_model(tuning, tuned, method):
    base = opened(tuning.folder / tuning.base.parent / "model")
    before = base(IDS).logits
    adapted = PeftModel.from_pretrained(base, str(tuned[method] / "adapter")).eval()
    merged = opened(tuned[method] / "model")
    assert near(adapted(IDS).logits, merged(IDS).logits, 100 * ONE_PASS)
    assert not near(before, merged(IDS).logits, 0.01)


def test_a_folder_of_an_adapter_is_opened_on_its_base_and_no_other(tuning, tuned, tmp_path, monkeypatch):
    monkeypatch.chdir(tuning.folder)
    merged = open_scored(tuned["lora"] / "model")
    ids = merged.tokenizer.apply_chat_template([{"role": "user", "content": "What of the navy?"}])["input_ids"]
    found = open_scored(tuned["lora"] / "adapter")
    assert found.tokenizer.apply_chat_template([{"role": "user", "content": "What of the navy?"}])["input_ids"] == ids
    assert found.stops == merged.stops and len(found.stops) == 2
    assert near(found.model(IDS).logits, merged.model(IDS).logits, 100 * ONE_PASS)

    with pytest.raises(AbovoError, match="holds an adapter and no whole model"):
        read_config(tuned["lora"] / "adapter")
    adapter = shutil.copytree(tuned["lora"] / "adapter", tmp_path / "adapter")
    check_adapter(adapter, tuning.base.parent / "model")
    with pytest.raises(AbovoError, match=r"the adapter is for another base: its weights have sha256 [0-9a-f]{12}"):
        check_adapter(adapter, tuned["full"] / "model")
    config = json.loads((adapter / "adapter_config.json").read_text())
    for base, said in ((tuned["full"] / "model", "for another base"), (tmp_path / "none", "none is not there")):
        (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(base)}))
        with pytest.raises(AbovoError, match=said):
            open_scored(adapter)
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(AbovoError, match="the adapter cannot be read"):
        open_scored(adapter)
    (adapter / "base_model.json").write_text("{}")
    with pytest.raises(AbovoError, match=r"base_model\.json: key weights_sha256 holds no text"):
        open_scored(adapter)
    (adapter / "base_model.json").unlink()
    with pytest.raises(AbovoError, match=r"does not say which base it is for: there is no base_model\.json"):
        open_scored(adapter)


class Life(Run):
    """Fine-tuning by the real script, in processes that can be killed."""

    def product(self):
        names = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and ".products" not in path.parts]
        kept = [path for path in names if path.parent.name in ("adapter", "model") or path.name == "metrics.jsonl"]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in kept}

    def command(self):
        place = self.data.folder
        words = {
            "settings": json.dumps(self.settings), "tokenizer": place / self.data.tokenizer,
            "start": place / self.data.base, "state": self.state, "output": self.folder / "manifest.json",
            "log": self.folder / "log",
        }  # fmt: skip
        paths = {"chats": self.data.chats, "text/small": self.data.text}
        drawn = {name for phase in self.settings["phases"] for name in phase["sets"]}
        sets = [f"{name}={place / path}" for name, path in paths.items() if name in drawn]
        named = (str(word) for name, value in words.items() for word in (f"--{name}", value))
        return [str(SCRIPT), *named, "--sets", *sets]


@pytest.mark.slow
@EACH_FAMILY
@pytest.mark.parametrize("method", ["dora", "full"])
def test_killed_fine_tuning_ends_with_the_same_bytes(tuning, tmp_path, method):
    """SIGKILL after a checkpoint, with dropout, and text among conversations that are kept apart."""
    values = settings(sets={"chats": 0.7, "text/small": 0.3}, adapters=adapters_of(tuning, method))
    values["engine"] = {"kind": "torch", "device": "cpu", "processes": 1}
    whole, cut = Life(tmp_path / "whole", tuning, values), Life(tmp_path / "cut", tuning, values)
    assert whole.live()[0] == 0
    assert cut.live(kill=Kill(5, laid=cut.state / "step-000000003"))[0] != 0
    assert not (cut.folder / MODEL).exists()
    status, log = cut.live()
    assert status == 0 and "going on from the checkpoint of step" in log
    assert whole.product().keys() == cut.product().keys() >= {MODEL, "metrics.jsonl"}
    assert whole.product() == cut.product()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_continued_pretraining_survives_a_kill_and_is_spread_over_processes(tuning, tmp_path, method):
    """Rows of text that overlap: after SIGKILL the same bytes, with FSDP2 on two processes what rounding makes of
    them."""
    adapters = {"rank": 3, "alpha": 6, "dropout": 0.0} if method == "lora" else None
    values = settings({"text/small": 1.0}, adapters=adapters, attention="row", template=None, overlap=16)
    values["engine"] = {"kind": "torch", "device": "cpu", "processes": 1}
    spread = {**values, "engine": {"kind": "torch", "device": "cpu", "processes": 2, "strategy": "fsdp"}}
    whole, cut = Life(tmp_path / "whole", tuning, values), Life(tmp_path / "cut", tuning, values)
    assert whole.live()[0] == 0
    assert cut.live(kill=Kill(5, laid=cut.state / "step-000000003"))[0] != 0
    status, log = cut.live()
    assert status == 0 and "going on from the checkpoint of step" in log
    assert whole.product() == cut.product() and ("adapter/adapter_model.safetensors" in whole.product()) == bool(
        adapters
    )
    lives = [Life(tmp_path / f"nudged{seed}", tuning, values) for seed in (1, 2)]
    for seed, life in enumerate(lives, 1):
        assert life.live(nudge=seed)[0] == 0
    two = Life(tmp_path / "two", tuning, spread)
    assert two.live()[0] == 0
    rows, others = metrics(whole), [metrics(life) for life in lives]
    assert_rows_near(metrics(two), rows, others)
    assert_weights_near(load_file(two.model), load_file(whole.model), [load_file(life.model) for life in lives])


def metrics(life):
    return [json.loads(line) for line in (life.folder / "metrics.jsonl").read_text().splitlines()]


def test_adapters_of_an_earlier_method_do_not_stay_beside_a_model_of_another(tuning):
    folder = tuning.train("changed", settings(tokens=1))
    assert (folder / "adapter/adapter_model.safetensors").is_file()
    tuning.train("changed", settings(tokens=1, adapters=None))
    assert not (folder / "adapter").exists() and (folder / MODEL).is_file()


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_targets_are_parts_of_blocks_or_names_of_modules(family):
    model = build_model(shape(family=family, layers=2), 128, 16, seed=1)
    attention = ["q_proj", "k_proj", "v_proj", "o_proj"]
    for targets, names in {
        "attention": attention, "all": [*attention, "gate_proj", "up_proj", "down_proj"],
        ("q_proj", "feed_forward"): ["q_proj", "gate_proj", "up_proj", "down_proj"],
    }.items():  # fmt: skip
        assert chosen_modules(family_of(model), targets, "here") == names
        adapters = Adapters(rank=2, targets=targets)
        adapted = add_adapters(build_model(shape(family=family, layers=2), 128, 16, seed=1), adapters, seed=1)
        assert trained_size(adapted) == count_adapter_parameters(shape(family=family, layers=2), adapters)
    with pytest.raises(AbovoError, match=r"here: no linear layers of this family are called 'query'; known: all, att"):
        chosen_modules(family_of(model), ("v_proj", "query"), "here")


def test_text_among_conversations_is_drawn_in_its_share_and_told_of(tuning):
    sets = {"chats": 0.75, "text/small": 0.25}
    mixed = tuning.train("mixed", settings(sets=sets))
    manifest = read_manifest(mixed / "manifest.json")
    drawn = manifest["counts"]["phases"][0]["sets"]
    assert {name: one["share"] for name, one in drawn.items()} == sets
    losses = manifest["validation_losses"]
    assert losses.keys() == {"chats", "text/small/speeches", "text/small/docstrings"}
    assert all(loss["last"] < loss["first"] for loss in losses.values())
    # each is the mean over the targets of its own rows, the text's all of them
    rows = open_rows(read_manifest(tuning.folder / tuning.text), "val")
    assert rows.counts.sum() == (rows.ids != rows.pad).sum() > 0
    one = losses["chats"]["first"]
    alone = read_manifest(tuning.train("alone", settings(tokens=1)) / "manifest.json")
    assert alone["validation_loss_first"] == pytest.approx(one, rel=1e-6)


def test_before_training_is_the_loss_of_the_model_that_is_trained(tuning, tuned):
    """Of the base alone, opened anew, on the held-out rows; not that of a uniform guess."""
    base = open_model(tuning.folder / tuning.base.parent / "model")
    chats = read_manifest(tuning.folder / tuning.chats)
    expected = mean_loss(base, [open_rows(chats, "val").batch()])
    assert expected != pytest.approx(math.log(len(base.get_input_embeddings().weight)), abs=1e-3)
    for folder in tuned.values():
        assert read_manifest(folder / "manifest.json")["validation_loss_first"] == pytest.approx(expected, rel=1e-6)
