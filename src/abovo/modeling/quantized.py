"""Turn the matrices of a model's blocks into ones of 4 or 8 bits, which stay frozen while adapters on them train."""

import importlib
import logging
from types import MethodType
from typing import Any

import torch
from torch import nn

from abovo.errors import AbovoError
from abovo.modeling.family import family_of

PACKAGE = "bitsandbytes"


def quantize(model: Any, kind: str, compute: torch.dtype) -> None:
    """Put quantized matrices in the place of the linear layers of the blocks; products are made in `compute`.

    nf4 has 4-bit normal floats whose scales are quantized, too (QLoRA, arXiv:2305.14314), int8 eight bits and outliers
    apart (LLM.int8, arXiv:2208.07339). They take their form when they are moved to a device, the CPU included.
    Raises AbovoError where the package is missing, or the model has no such layer (GPT-2 keeps its matrices turned).
    """
    layers = _layers()
    made = 0
    for block in family_of(model).blocks(model):
        for name, module in list(block.named_modules()):
            if type(module) is nn.Linear:
                parent, _, last = name.rpartition(".")
                setattr(block.get_submodule(parent), last, _quantized(layers, module, kind, compute))
                made += 1
    if not made:
        what = f"{type(model).__name__} has no linear layers that could be quantized"
        raise AbovoError(what, "settings, key quantization", "set it to null")
    # what peft looks for
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = kind == "nf4", kind == "int8"


def _quantized(layers: Any, module: nn.Linear, kind: str, compute: torch.dtype) -> nn.Module:
    sides, bias, weight = (module.in_features, module.out_features), module.bias, module.weight.data
    if kind == "nf4":
        made = layers.Linear4bit(*sides, bias=False, compute_dtype=compute, compress_statistics=True, quant_type="nf4")
        made.weight = layers.Params4bit(weight, requires_grad=False, compress_statistics=True, quant_type="nf4")
    else:
        made = layers.Linear8bitLt(*sides, bias=False, has_fp16_weights=False, threshold=6.0)
        made.weight = layers.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    made.bias = bias
    made.requires_grad_(False)
    # scales beside the weight are in nobody's state: frozen weights are those of the start, quantized again
    made._save_to_state_dict = MethodType(nn.Module._save_to_state_dict, made)
    return made


def _layers() -> Any:
    try:
        # by name: an extra that no environment of envs/ has, since with it importing peft takes ten seconds more
        bitsandbytes = importlib.import_module(PACKAGE)
    except ImportError:
        mend = f"install it (pip install {PACKAGE}), or set quantization to null"
        raise AbovoError(f"needs the package {PACKAGE}", "settings, key quantization", mend) from None
    # of every product in 8 bits it says that numbers are rounded to half precision
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    return bitsandbytes.nn
