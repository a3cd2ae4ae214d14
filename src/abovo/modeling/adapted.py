"""Turn a folder that holds an adapter alone into the model that it makes of its base, and refuse any other base."""

from pathlib import Path
from typing import Any

from abovo.errors import AbovoError, first_line
from abovo.modeling.layout import weights_among
from abovo.provenance.files import read_json, write_json
from abovo.provenance.hashing import sha256_file, sha256_of_files

CONFIG = "adapter_config.json"
# Beside it: the hash of the base model's weights, which peft has no key for.
BASE = "base_model.json"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def name_base(folder: Path, sha256: str) -> None:
    """Write beside an adapter what its base is known by (`hash_of_weights` of its manifest)."""
    write_json(folder / BASE, {"weights_sha256": sha256})


def whole_model(folder: Path) -> Path:
    """The folder of the whole model that is needed to open one: of an adapter its base, which may be another one than
    it was trained on. Raises AbovoError where that is not there."""
    if not is_adapter(folder):
        return folder
    base = Path(_said(folder / CONFIG, "base_model_name_or_path"))
    if not base.is_dir():
        mend = f"put the model there, or name its folder in {CONFIG}, key base_model_name_or_path"
        raise AbovoError(f"its base model {base} is not there", folder, mend)
    return base


def check_adapter(folder: Path, base: Path) -> None:
    """Raise AbovoError where the model in the folder `base` is not the one that an adapter was trained on."""
    if not (folder / BASE).is_file():
        mend = 'write the sha256 of the weights of its base there, as {"weights_sha256": ...}'
        raise AbovoError(f"the adapter does not say which base it is for: there is no {BASE}", folder, mend)
    said = _said(folder / BASE, "weights_sha256")
    found = sha256_of_files({name: sha256_file(base / name) for name in _weights(base)})
    if found != said:
        what = (
            f"the adapter is for another base: its weights have sha256 {said[:12]}..., those of {base} {found[:12]}..."
        )
        raise AbovoError(what, folder, "name the base that it was trained on")


def _said(path: Path, key: str) -> str:
    """The text under a key of a file of an adapter."""
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get(key), str):
        raise AbovoError(f"key {key} holds no text", path, "save the adapter again")
    return str(values[key])


def adapted(model: Any, folder: Path) -> Any:
    """A base model with an adapter merged into its weights, that writes as the adapter's folder says. Raises AbovoError
    where it does not fit."""
    from peft import PeftModel
    from transformers import GenerationConfig

    try:
        merged: Any = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
        if (folder / "generation_config.json").is_file():
            merged.generation_config = GenerationConfig.from_pretrained(folder)
        return merged
    except Exception as error:  # what a library does with a file that is odd, nobody knows
        raise AbovoError(f"the adapter cannot be read ({first_line(error)})", folder, "save it again") from None


def _weights(folder: Path) -> list[str]:
    return weights_among((path.name for path in folder.iterdir()), folder)
