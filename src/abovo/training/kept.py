"""Turn the weights at a step into a file that outlives any death of the training, and such files into finished models.

While training goes on they lie in the live state, in kept/step-000000123/; a training that passes the step again writes
them again. When it is over they are exported as the last model is, to checkpoints/{name}/ of the same artifact.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from abovo.errors import AbovoError
from abovo.provenance.files import link_or_copy, read_json, sync, write_json
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest
from abovo.settings.job import JobSettings
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.templates import template_for
from abovo.training.export import export_model
from abovo.training.moments import Moment

FOLDER = "checkpoints"
WEIGHTS = "weights.safetensors"


def keep_weights(state: Path, step: int, weights: Mapping[str, torch.Tensor]) -> None:
    """Put the weights of a step on the disk: all of them, or nothing. Raises AbovoError where there is no room."""
    final = _place(state, step)
    partial = final.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in weights.items()}
        save_file(plain, partial / WEIGHTS)
        write_json(partial / "record.json", {"step": step, "sha256": sha256_file(partial / WEIGHTS)})
        sync(partial / WEIGHTS)
        sync(partial)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        what = f"the model of step {step} cannot be written: {str(error.strerror or error).lower()}"
        raise AbovoError(what, state, "make space and start again") from error
    shutil.rmtree(final, ignore_errors=True)
    partial.replace(final)
    sync(final.parent)


def verify_kept(state: Path, steps: Iterable[int]) -> None:
    """Raise AbovoError where one of the steps that a training has passed has no sound weights."""
    for step in sorted(steps):
        _sound(state, step)


def _sound(state: Path, step: int) -> Path:
    path = _place(state, step) / WEIGHTS
    record = path.parent / "record.json"
    if not path.is_file() or not record.is_file() or read_json(record) != {"step": step, "sha256": sha256_file(path)}:
        mend = f"put it back as it was, or remove {state} to begin the training again"
        raise AbovoError(f"the model of step {step} is missing or damaged", path, mend)
    return path


def _place(state: Path, step: int) -> Path:
    return state / "kept" / f"step-{step:09d}"


def export_kept(
    model: Any, settings: JobSettings, tokenizer: Tokenizer, moments: Sequence[Moment], state: Path, folder: Path
) -> list[dict[str, Any]]:
    """Write checkpoints/{name}/ to `folder` for each moment, and say what the manifest says of them.

    `model` is one of the training, whose weights are then those of the last moment.
    """
    told = []
    for moment in moments:
        model.to(torch.device("cpu"), torch.float32)
        odd = model.load_state_dict(load_file(_sound(state, moment.step)), strict=False).unexpected_keys
        assert not odd, f"no weights of this model: {odd}"
        place = folder / FOLDER / moment.name
        export_model(model, tokenizer, place, settings.sequence_length, template_for(settings.template, tokenizer))
        told.append({**asdict(moment), "sha256": sha256_file(place / "model.safetensors")})
    return told


def take_over(before: Manifest, folder: Path) -> list[dict[str, Any]]:
    """Link the models that the phase `before` kept into `folder`, and say what its manifest says of them."""
    for name in before.names(f"{FOLDER}/"):
        link_or_copy(before.file(name), folder / name)
    return list(before.data.get("checkpoints", ()))


def sweep_kept(output: Path, names: Iterable[str]) -> None:
    """Remove the models of an earlier training beside the manifest `output` that are none of these."""
    for old in (output.parent / FOLDER).glob("chck_*"):
        if old.name not in names:
            shutil.rmtree(old)
