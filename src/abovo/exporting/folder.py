"""Turn a model's folder into one that transformers 4 and 5 read alike, with what it was made from in its weights.

Models of a family whose classes transformers has not get the file of these classes beside them. It lies in exports
alone: whatever opens a folder here asks the family that config.json names and runs no code of the folder, so beside the
models of results/ the file would be of no use, and a word changed in it would make another model.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from abovo.modeling.family import OwnClasses, family_of_type
from abovo.modeling.layout import PICKLES, read_config, weights_among
from abovo.provenance.files import write_json
from abovo.provenance.leavings import passed_over

# What is written anew, or says nothing of this model.
LEFT_OUT = ("config.json", "README.md")


def write_folder(model: Path, folder: Path, precision: str | None, header: Mapping[str, str]) -> None:
    """Copy a model in the Hugging Face layout to `folder`, its weights as `precision` where that is not None, with the
    file of its classes where transformers has none.

    `header` is what the metadata of each safetensors file says. No pickle is copied.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    names = [path.name for path in sorted(model.iterdir()) if path.is_file() and not passed_over(path.name)]
    weights = weights_among(names, model)
    for name in names:
        if name not in weights and name not in LEFT_OUT and not name.endswith(PICKLES):
            shutil.copyfile(model / name, folder / name)
    config = _for_both(read_config(model))
    kind = getattr(torch, precision) if precision else None
    for name in weights:
        with safe_open(model / name, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  (no mapping)
        if kind is not None:
            tensors = {key: one.to(kind) if one.is_floating_point() else one for key, one in tensors.items()}
        save_file(tensors, folder / name, {"format": "pt", **header})
    if precision:
        # transformers 4 called it torch_dtype
        config = {key: value for key, value in config.items() if key != "torch_dtype"} | {"dtype": precision}
    if (own := own_classes(model)) is not None:
        shutil.copyfile(own.file, folder / own.beside)
        config = {**config, "auto_map": own.auto_map}
    write_json(folder / "config.json", config)


def own_classes(model: Path) -> OwnClasses | None:
    """The classes of the model in a folder, where they are ours and not those of transformers."""
    family = family_of_type(read_config(model).get("model_type"))
    return None if family is None else family.own_classes


def _for_both(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the base of the rotary embedding where transformers 4 and 5 look for it."""
    told = config.get("rope_parameters") or {}
    if "rope_theta" in told and "rope_theta" not in config:
        return {**config, "rope_theta": told["rope_theta"]}
    return config
