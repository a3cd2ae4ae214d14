"""Turn the training state at the end of a phase into a file of its artifact, and such a file into the next one's start.

The file is safetensors: tensors by their place in the state, all else as JSON in its header. Equal states give equal
bytes, so the file has a place in the manifest; pickled checkpoints, which may differ after a resume, do not.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from abovo.provenance.hashing import canonical_json
from abovo.provenance.manifest import Manifest
from abovo.training.state import State

STATE = "training_state.safetensors"
TENSOR = "tensor:"


def keep_state(state: State, step: int, folder: Path) -> None:
    """Write what the checkpoint of a step holds to `folder`."""
    write_state(state.load_step(step), folder / STATE)


def plant_state(state: State, step: int, phase: Manifest) -> None:
    """Make the end of `phase` the checkpoint of `step`, unless the state has a sound checkpoint already.

    The metrics go on where those of the phase stop.
    """
    if state.load() is None:
        content = read_state(phase.file(STATE))
        state.files[state.metrics.name].write(phase.file("metrics.jsonl").read_bytes())
        state.save(step, content)


def write_state(content: dict[str, Any], path: Path) -> None:
    """Write nested dictionaries and lists of tensors, numbers, strings, booleans and None."""
    tensors: dict[str, torch.Tensor] = {}
    structure = canonical_json(_without_tensors(content, "", tensors)).decode()
    save_file(tensors, path, metadata={"structure": structure})


def read_state(path: Path) -> dict[str, Any]:
    """The reverse of `write_state`; tuples have become lists."""
    with safe_open(path, "pt") as file:
        structure = json.loads(file.metadata()["structure"])
        return _with_tensors(structure, file)


def _without_tensors(value: Any, place: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        # a view would drag its whole storage along, and two views of one storage are refused
        whole = value.is_contiguous() and value.untyped_storage().nbytes() == value.nbytes
        tensors[place] = value.detach() if whole else value.detach().clone(memory_format=torch.contiguous_format)
        return TENSOR + place
    if isinstance(value, dict):
        return {key: _without_tensors(item, f"{place}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(item, f"{place}/{number}", tensors) for number, item in enumerate(value)]
    return value


def _with_tensors(value: Any, file: Any) -> Any:
    if isinstance(value, str) and value.startswith(TENSOR):
        return file.get_tensor(value.removeprefix(TENSOR))
    if isinstance(value, dict):
        return {key: _with_tensors(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_tensors(item, file) for item in value]
    return value
