"""Turn what a job starts from into the model that it trains: fresh weights or a finished model, adapters on either."""

from typing import Any

import torch
from torch import nn

from abovo.errors import AbovoError
from abovo.modeling.apart import sees_apart
from abovo.modeling.build import build_model
from abovo.modeling.family import base_of, family_of, open_model
from abovo.modeling.layout import is_trusted, model_folder
from abovo.modeling.parameters import check_claim, padded_vocabulary
from abovo.modeling.quantized import quantize
from abovo.provenance.manifest import Manifest
from abovo.settings.job import JobSettings
from abovo.tokenizing.load import Tokenizer
from abovo.training.adapters import add_adapters
from abovo.training.device import choose_device, resolve_precision
from abovo.training.loss import HALVES
from abovo.training.seeds import derive_seed


def start_model(
    settings: JobSettings, tokenizer: Tokenizer, start: Manifest | None, rank: int, *, exact: bool = False
) -> nn.Module:
    """The model before its first step, in float32 on the CPU; torch's generator is then that of the rank's dropout.
    Frozen weights are quantized where settings say so, unless it is to be `exact`.

    `start` is the manifest of a finished model or of a folder in the Hugging Face layout. Raises AbovoError where the
    vocabulary, the shape or the size is not the job's.
    """
    if start is None:
        assert settings.model is not None, "a job without a start needs a model"
        seed = derive_seed(settings.seed, "init")
        shape, size = settings.model, tokenizer.vocabulary_size
        model: Any = build_model(shape, size, settings.sequence_length, seed, tokenizer.eos, tokenizer.pad)
    else:
        model = open_model(model_folder(start), is_trusted(start))
        _check(model, settings, tokenizer, start)
    if settings.attention == "conversation" and not sees_apart(model):
        what = f"{type(model).__name__} cannot keep the conversations of a row apart"
        raise AbovoError(what, "settings, key attention", "set sft.attention to row")
    check_claim(settings.parameters, size_of(model), "settings, key parameters")
    if settings.quantization is not None and not exact:
        quantize(model, settings.quantization, _computed_in(settings))
    if settings.adapters is not None:
        model = add_adapters(model, settings.adapters, derive_seed(settings.seed, "adapters"))
    torch.manual_seed(derive_seed(settings.seed, f"dropout {rank}"))
    return model


def _computed_in(settings: JobSettings) -> torch.dtype:
    """What quantized matrices are multiplied in: as all others are."""
    apple = torch.backends.mps.is_available()
    device = torch.device(choose_device(settings.engine, cuda=torch.cuda.is_available(), mps=apple))
    return HALVES.get(resolve_precision(settings.training.precision, device), torch.float32)


def size_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def trained_size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _check(model: Any, settings: JobSettings, tokenizer: Tokenizer, start: Manifest) -> None:
    """Tell a start that does not fit: other rows than the tokenizer has, or another shape than the run names."""
    rows = padded_vocabulary(tokenizer.vocabulary_size)
    found, named = len(family_of(model).output(model)), "tokenizer_sha256" in start.data
    # one that names its tokenizer was found to name this one, and may have any number of rows beyond
    if found < tokenizer.vocabulary_size or (not named and found != rows):
        needed = tokenizer.vocabulary_size if named else rows
        what = f"its output matrix has {found} rows, the run's tokenizer needs {needed}"
        raise AbovoError(what, start.path, "name the tokenizer that the model was trained with")
    if settings.model is None:
        return
    with torch.device("meta"):
        wanted = build_model(settings.model, rows, settings.sequence_length, seed=0)
    shapes = {name: tuple(weight.shape) for name, weight in base_of(wanted).named_parameters()}
    for name, weight in model.named_parameters():
        if shapes.pop(name, None) != tuple(weight.shape):
            break
    else:
        if not shapes:
            return
    what = f"the model has another shape than the run's: {size_of(model):,} parameters in place of {size_of(wanted):,}"
    raise AbovoError(f"{what}, or other names or sizes", start.path, "name the model's own shape in the run, key model")
