"""Turn a model into one whose low-rank adapters train, and the trained adapters back into a plain model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from abovo.errors import AbovoError
from abovo.modeling.adapted import name_base
from abovo.modeling.family import chosen_modules, family_of
from abovo.provenance.hashing import sha256_file
from abovo.settings.tuning import Adapters

if TYPE_CHECKING:
    from peft import PeftModel


def add_adapters(model: PreTrainedModel, adapters: Adapters, seed: int) -> "PeftModel":
    """Adapters on the matrices that they are for (LoRA, arXiv:2106.09685, or DoRA, arXiv:2402.09353); all other weights
    are frozen. Raises AbovoError for targets that the model's family does not know, or that this model has none of."""
    from peft import LoraConfig, PeftModel, get_peft_model

    family = family_of(model)
    chosen = chosen_modules(family, adapters.targets, "settings, key adapters.targets")
    targets = sorted(family.adapter_targets(model, chosen))
    if not targets:
        what = f"the model has no linear layer that {adapters.targets!r} names"
        raise AbovoError(what, "settings, key adapters.targets", "name others in lora.targets, or all")
    torch.manual_seed(seed)
    config = LoraConfig(
        r=adapters.rank,
        lora_alpha=adapters.alpha,  # type: ignore[arg-type]  # a fraction will do
        lora_dropout=adapters.dropout,
        use_dora=adapters.method == "dora",
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def save_adapter(model: "PeftModel", folder: Path, base: str, weights: str) -> str:
    """Write adapter_config.json and adapter_model.safetensors; `base` is where the base model lies, `weights` what its
    weights are known by. Returns sha256."""
    # peft keeps the modules it found in a set; sorted, the file is the same in every process
    configs: Any = model.peft_config.values()
    for config in configs:
        config.base_model_name_or_path = base
        config.target_modules = sorted(config.target_modules or ())
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    name_base(folder, weights)
    return sha256_file(folder / "adapter_model.safetensors")


def merge_adapters(model: "PeftModel") -> PreTrainedModel:
    """The model with the adapters added to its weights."""
    return model.merge_and_unload()
