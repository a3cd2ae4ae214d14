"""Turn an engine's and a recipe's wishes into the device, precision and thread count that this process uses."""

from typing import Literal

import torch

from abovo.errors import AbovoError
from abovo.settings.engine import Engine

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def prepare_device(engine: Engine, threads: int) -> torch.device:
    """Set torch's threads and determinism, and return the device to train on.

    On a CPU the results are bit-equal for a fixed number of threads; on a GPU kernels may add in another order.
    """
    torch.set_num_threads(threads)
    wanted = engine.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise AbovoError("no GPU is visible to torch", "engine.device", "use device: auto or cpu")
    device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        # filling fresh memory guards against reading it; it changes no result and costs a pass over every tensor
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    else:
        torch.backends.cuda.matmul.allow_tf32 = True
    return device


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """fp32 or bf16 for `auto`, by the device: bf16 is emulated, and slower, on most CPUs."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
