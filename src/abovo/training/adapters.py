"""Turn a model into one whose low-rank adapters train, and the trained adapters back into a plain model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from abovo.modeling.family import family_of
from abovo.provenance.hashing import sha256_file
from abovo.settings.sft import Lora

if TYPE_CHECKING:
    from peft import PeftModel


def add_adapters(model: PreTrainedModel, lora: Lora, seed: int) -> "PeftModel":
    """Adapters on the matrices that the family names (LoRA, arXiv:2106.09685); all other weights are frozen."""
    from peft import LoraConfig, PeftModel, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a fraction will do
        lora_dropout=lora.dropout,
        target_modules=sorted(family_of(model).adapter_targets(model)),
        bias="none",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def save_adapter(model: "PeftModel", folder: Path, base: str) -> str:
    """Write adapter_config.json and adapter_model.safetensors; `base` is where the base model lies. Returns sha256."""
    # peft keeps the modules it found in a set; sorted, the file is the same in every process
    configs: Any = model.peft_config.values()
    for config in configs:
        config.base_model_name_or_path = base
        config.target_modules = sorted(config.target_modules or ())
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    return sha256_file(folder / "adapter_model.safetensors")


def merge_adapters(model: "PeftModel") -> PreTrainedModel:
    """The model with the adapters added to its weights."""
    return model.merge_and_unload()
