"""Causal models of many classes of transformers go on training by the one job, are scored, and are read elsewhere."""

import contextlib
from pathlib import Path

import pytest
import torch
from rounding import PROMISED
from small_given import LENGTH, POSITIONS, Given, byte_tokenizer, save_model
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from abovo.evaluation.scorer import Scorer
from abovo.exporting.job import export_run
from abovo.modeling.layout import read_config
from abovo.modeling.opened import open_scored
from abovo.settings.export import ExportJob

pytestmark = pytest.mark.slow
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": POSITIONS}
GATED = {**SIZES, "intermediate_size": 48, "num_key_value_heads": 2}
# Class -> its configuration, and how many matrices adapters go on in each of its two blocks.
CLASSES = {
    "Llama": (LlamaConfig, GATED, 7),
    "Qwen2": (Qwen2Config, {**GATED, "tie_word_embeddings": True}, 7),
    "Qwen3": (Qwen3Config, {**GATED, "head_dim": 8}, 7),
    # its window is shorter than a row
    "Mistral": (MistralConfig, {**GATED, "sliding_window": 24}, 7),
    "Gemma": (GemmaConfig, {**GATED, "head_dim": 16, "tie_word_embeddings": True}, 7),
    "GPT2": (GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS}, 4),
    "GPTNeoX": (GPTNeoXConfig, {**SIZES, "intermediate_size": 48}, 4),
}
END = "<|endoftext|>"
# What ends a text fills rows, too, in the tokenizers of the two oldest.
WITHOUT_PAD = ("GPT2", "GPTNeoX")


@pytest.fixture(scope="module", params=CLASSES)
def given(request, tmp_path_factory):
    kind, sizes, _ = CLASSES[request.param]
    pad = None if request.param in WITHOUT_PAD else "<pad>"
    special = [END, *([pad] if pad else [])]
    tokenizer = byte_tokenizer(special, eos_token=END, **({"pad_token": pad} if pad else {}))
    config = kind(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **sizes)
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "made").mkdir()
    return request.param, Given(save_model(folder / "model", tokenizer, config), folder / "made")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_class_trains_on_is_scored_and_is_read_elsewhere(given, method):
    """With rows that overlap, as continued pretraining has them; EOS is learned whether or not there is a pad."""
    name, world = given
    adapters = {"rank": 2, "alpha": 4, "dropout": 0.1} if method == "lora" else None
    made = world.train(method, adapters=adapters, overlap=16)
    folder: Path = world.folder / method
    assert made["validation_loss_first"] == pytest.approx(world.loss(world.model), rel=1e-5)
    assert made["validation_loss"] == pytest.approx(world.loss(folder / "model"), rel=1e-4)
    assert made["validation_loss"] < made["validation_loss_first"] - 0.02
    before = AutoModelForCausalLM.from_pretrained(world.model, dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    assert type(after) is type(before) and type(after).__name__.startswith(name)
    weights = after.state_dict()
    moved = [key for key, weight in before.state_dict().items() if not torch.equal(weight, weights[key])]
    assert len(moved) == (2 * CLASSES[name][2] if adapters else len([*before.state_dict()]))
    if read_config(world.model).get("tie_word_embeddings"):
        assert after.get_output_embeddings().weight is after.get_input_embeddings().weight

    opened = open_scored(folder / "model", LENGTH)
    assert opened.tokenizer.eos_token_id in opened.stops
    ids = opened.tokenizer("The treaty of the year 1862 was matter 3 of my report.").input_ids
    (scored,) = Scorer(opened, 4).documents([ids])
    with torch.no_grad():
        spoken = after(torch.tensor([[opened.prefix, *ids[:-1]]])).logits[0].log_softmax(-1)
    expected = spoken.gather(1, torch.tensor(ids)[:, None]).sum().item()
    assert scored.log_likelihood == pytest.approx(expected, rel=PROMISED)

    with contextlib.chdir(world.folder):
        export_run(ExportJob(run="small", stage="cpt"), made, None, Path(method, "export/manifest.json"), __file__)
    elsewhere = AutoModelForCausalLM.from_pretrained(folder / "export/hf", dtype=torch.float32).eval()
    with torch.no_grad():
        far, near = (one(torch.tensor([ids])).logits.log_softmax(-1) for one in (elsewhere, after))
    assert torch.allclose(far, near, atol=0.1), "weights are exported in half precision"
