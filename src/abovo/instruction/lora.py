"""Turn a base model into one whose low-rank adapters train, and the trained adapters back into a plain model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest


def load_base(manifest: Manifest) -> PreTrainedModel:
    """The model that a model manifest speaks for, in float32, after its files were found to be the manifest's."""
    for name in manifest.names("model/"):
        manifest.file(name)
    return AutoModelForCausalLM.from_pretrained(manifest.path.parent / "model", dtype=torch.float32)


def add_adapters(model: PreTrainedModel, lora: Mapping[str, Any], seed: int) -> PeftModel:
    """Adapters on every linear layer but the output matrix (LoRA, arXiv:2106.09685); all other weights are frozen."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules="all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def save_adapter(model: PeftModel, folder: Path, base: str) -> str:
    """Write adapter_config.json and adapter_model.safetensors; `base` is where the base model lies. Returns sha256."""
    # peft keeps the modules it found in a set; sorted, the file is the same in every process
    configs: Any = model.peft_config.values()
    for config in configs:
        config.base_model_name_or_path = base
        config.target_modules = sorted(config.target_modules or ())
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    return sha256_file(folder / "adapter_model.safetensors")


def merge_adapters(model: PeftModel) -> PreTrainedModel:
    """The base model with the adapters added to its weights."""
    return model.merge_and_unload()
