"""Adapters train beside frozen weights of 4 or 8 bits, and are handed on with the weights that these were made of."""

import importlib.util

import pytest
import torch
from peft import PeftModel
from rounding import ONE_PASS, near
from safetensors.torch import load_file
from small_tuning import MODEL, STEPS, Tuning, settings
from transformers import AutoModelForCausalLM

from abovo.errors import AbovoError
from abovo.modeling.family import open_model
from abovo.modeling.quantized import quantize
from abovo.provenance.manifest import read_manifest

needs = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
LORA = {"rank": 3, "alpha": 6, "dropout": 0.0}
IDS = torch.arange(40).view(2, 20) * 11 % 600


@pytest.fixture(scope="module")
def tuning(tmp_path_factory):
    return Tuning(tmp_path_factory.mktemp("quantized"))


@needs
@pytest.mark.parametrize(("kind", "bits", "off"), [("nf4", 4.6, 0.2), ("int8", 8.6, 0.03)])
def test_quantized_blocks_are_small_and_near(tuning, kind, bits, off):
    folder = tuning.folder / tuning.base.parent / "model"
    plain, small = open_model(folder), open_model(folder)
    quantize(small, kind, torch.float32)
    small.to("cpu")
    matrices = [
        module
        for module in small.modules()
        if type(module).__name__.startswith("Linear") and type(module).__name__ != "Linear"
    ]
    assert len(matrices) == 7 * len(small.model.layers)
    held = sum(module.weight.numel() * module.weight.element_size() for module in matrices)
    whole = sum(module.in_features * module.out_features for module in matrices)
    assert 8 * held / whole < bits
    assert not any(parameter.requires_grad for module in matrices for parameter in module.parameters())
    with torch.no_grad():
        away = small(IDS).logits - plain(IDS).logits
    assert 0 < away.norm() / plain(IDS).logits.norm() < off


@needs
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_adapters_beside_quantized_weights_learn_and_are_merged_into_those_that_they_were_made_of(tuning, kind):
    folder = tuning.train(kind, settings(adapters=LORA, quantization=kind))
    manifest = read_manifest(folder / "manifest.json")
    assert manifest["counts"]["steps"] == STEPS
    assert manifest["validation_loss"] < manifest["validation_loss_first"] - 0.1
    base = AutoModelForCausalLM.from_pretrained(tuning.folder / tuning.base.parent / "model", dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base.eval(), str(folder / "adapter")).eval()
    merged = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    assert near(adapted(IDS).logits, merged(IDS).logits, 100 * ONE_PASS)
    frozen, after = load_file(tuning.folder / tuning.base.parent / MODEL), load_file(folder / MODEL)
    assert all(torch.equal(after[name], weight) for name, weight in frozen.items() if "_proj" not in name)


def test_a_model_without_linear_layers_or_a_machine_without_the_package_is_told(tuning):
    from transformers import GPT2Config, GPT2LMHeadModel

    said = (
        "no linear layers that could be quantized" if importlib.util.find_spec("bitsandbytes") else "needs the package"
    )
    with pytest.raises(AbovoError, match=said):
        quantize(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=32)), "nf4", torch.float32)
