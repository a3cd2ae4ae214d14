"""Say what a folder in the Hugging Face layout holds before any of it is opened: configuration, weights, positions."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.files import read_json
from abovo.provenance.manifest import Manifest, describe_folder

# Keys of config.json that say how many positions a model has: those that lm-eval looks for first, in its order.
POSITIONS = ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len", "seq_length")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def read_config(folder: Path) -> dict[str, Any]:
    """config.json. Raises AbovoError where there is none, or where it has no keys."""
    path = folder / "config.json"
    if not path.is_file():
        raise AbovoError("there is no config.json", folder, "name a folder in the Hugging Face layout")
    config = read_json(path)
    if not isinstance(config, dict):
        raise AbovoError("holds no keys", path, "save the model's configuration again")
    return config


def positions_of(config: Mapping[str, Any]) -> int | None:
    """The most ids that a model was made for; None where its configuration does not say."""
    said = (value for key in POSITIONS if isinstance(value := config.get(key), int) and value > 0)
    return next(said, None)


def weights_among(names: Iterable[str], folder: Path) -> list[str]:
    """The files of a whole model's weights. Raises AbovoError where there is none that can be read."""
    names = sorted(names)
    found = [name for name in names if name.endswith(".safetensors") and not name.startswith("adapter_")]
    if not found:
        if pickles := [name for name in names if name.endswith(PICKLES)]:
            what = f"its weights are a pickle ({pickles[0]}), which may run code and is not read"
            raise AbovoError(what, folder, "save the model as model.safetensors")
        raise AbovoError("holds no weights (*.safetensors)", folder, "name the folder of a whole model")
    return found


def model_folder(model: Manifest) -> Path:
    """Where the model lies that a manifest speaks for: a folder of its own, the one that the manifest names, or model/
    beside the manifest of a run."""
    if model.path.is_dir():
        return model.path
    return Path(model.data["folder"]) if "folder" in model.data else model.path.parent / "model"


def verify_model(model: Manifest) -> None:
    """Raise AbovoError where a byte of the model is not what the manifest was written for."""
    if "folder" not in model.data:
        model.verify("" if model.path.is_dir() else "model/")
    elif describe_folder(model_folder(model)).digest != model["inputs"]["folder"]["digest"]:
        what = f"the files of {model_folder(model)} are not those that it was written for"
        raise AbovoError(what, model.path, f"remove {model.path} and make it again")
