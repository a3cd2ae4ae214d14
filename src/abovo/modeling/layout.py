"""Say what a folder in the Hugging Face layout holds before any of it is opened: configuration, weights, positions."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.files import read_json
from abovo.provenance.hashing import sha256_of_files
from abovo.provenance.manifest import Manifest, describe_folder

# Keys of config.json that say how many positions a model has: those that lm-eval looks for first, in its order.
POSITIONS = ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len", "seq_length")
# Where a folder that was fetched from the hub came from, beside its files.
ORIGIN = "fetched_from.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def read_config(folder: Path) -> dict[str, Any]:
    """config.json. Raises AbovoError where there is none, or where it has no keys."""
    path = folder / "config.json"
    if not path.is_file() and (folder / "adapter_config.json").is_file():
        mend = "name the folder of a whole model, as that with the adapter merged in (model/ beside adapter/)"
        raise AbovoError("holds an adapter and no whole model", folder, mend)
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


def check_context(folder: Path, context: int | None) -> int:
    """The ids that a model is to see at once: `context`, by default all positions that it has. Raises AbovoError where
    it has fewer, or does not say how many."""
    positions, place = positions_of(read_config(folder)), folder / "config.json"
    if context is None and positions is None:
        mend = "set sequence_length in the run, or --context"
        raise AbovoError("does not say how many positions the model has", place, mend)
    if context is not None and positions is not None and context > positions:
        what = f"a context of {context} tokens is longer than the model's {positions} positions"
        raise AbovoError(what, place, f"set sequence_length to {positions} at most")
    return context or positions or 0


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


def check_whole(folder: Path) -> list[str]:
    """The files of a model's weights, none of them missing and each as long as its head says; they are not read.

    Raises AbovoError for one that was copied in part, or not at all.
    """
    names = weights_among((path.name for path in folder.glob("*")), folder)
    index = folder / "model.safetensors.index.json"
    listed = set(read_json(index)["weight_map"].values()) if index.is_file() else set()
    if missing := sorted(listed - set(names)):
        what = f"{missing[0]} is missing" + (f" and {len(missing) - 1} more files" if missing[1:] else "")
        raise AbovoError(f"{what}, which {index.name} names", folder, "copy the model again, whole")
    for path in (folder / name for name in names):
        if wrong := _cut_short(path):
            mend = "fetch or save the file again; it may have been cut short"
            raise AbovoError(f"its weights cannot be read ({wrong})", path, mend)
    return names


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """The sides of each weight of a whole model by its name, from the heads of its files."""
    found: dict[str, tuple[int, ...]] = {}
    for name in check_whole(folder):
        with (folder / name).open("rb") as file:
            tensors = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        found |= {name: tuple(one["shape"]) for name, one in tensors.items() if name != "__metadata__"}
    return found


def _cut_short(path: Path) -> str:
    """What is wrong with a file of weights, by its head: 8 bytes of length, JSON that says where each tensor ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = int.from_bytes(file.read(8), "little")
        if size < 8 or head > size - 8:
            return f"{size:,} bytes, its head alone needs more"
        try:
            tensors = json.loads(file.read(head))
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "it does not begin as a file of safetensors does"
    needed = 8 + head + max(ends, default=0)
    return "" if size == needed else f"{size:,} bytes, its head says {needed:,}"


def model_folder(model: Manifest) -> Path:
    """Where the model lies that a manifest speaks for: a folder of its own, the one that the manifest names, or model/
    beside the manifest of a run."""
    if model.path.is_dir():
        return model.path
    return Path(model.data["folder"]) if "folder" in model.data else model.path.parent / "model"


def is_trusted(model: Manifest | None) -> bool:
    """Whether code in the folder of the model may run, by the word of the run that names it."""
    return model is not None and bool(model.data.get("trust_remote_code", False))


def hash_of_weights(model: Manifest) -> str:
    """What tells the weights of a model from others, as its manifest says it, or by the files of a plain folder."""
    if "model_sha256" in model.data:
        return model["model_sha256"]
    names = weights_among(model.names(), model.path)
    return sha256_of_files({name: model["outputs"][name]["sha256"] for name in names})


def verify_model(model: Manifest) -> None:
    """Raise AbovoError where a byte of the model is not what the manifest was written for."""
    if "folder" not in model.data:
        model.verify("" if model.path.is_dir() else "model/")
    elif describe_folder(model_folder(model)).digest != model["inputs"]["folder"]["digest"]:
        what = f"the files of {model_folder(model)} are not those that it was written for"
        raise AbovoError(what, model.path, f"remove {model.path} and make it again")
