"""Turn an engine's and a recipe's wishes into the device, precision and thread count that this process uses."""

import logging
from collections.abc import Mapping
from typing import Literal

import torch

from abovo.errors import AbovoError
from abovo.settings.engine import Engine
from abovo.training.allocation import keep_freed_memory

log = logging.getLogger("abovo")
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def prepare_device(engine: Engine, threads: int) -> torch.device:
    """Set torch's threads, determinism and memory, and return the device to train on.

    On a CPU the results are bit-equal for a fixed number of threads; on a GPU kernels may add in another order.
    """
    torch.set_num_threads(threads)
    apple = torch.backends.mps.is_available()
    device = torch.device(choose_device(engine, cuda=torch.cuda.is_available(), mps=apple))
    if device.type == "cpu":
        keep_freed_memory()
        torch.use_deterministic_algorithms(True)
        # filling fresh memory guards against reading it; it changes no result and costs a pass over every tensor
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if apple and engine.device == "auto" and engine.processes == 1:
            log.info("an Apple GPU is here and not used; engine.device=mps trains on it")
    elif device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    return device


def choose_device(engine: Engine, *, cuda: bool, mps: bool) -> Literal["cpu", "cuda", "mps"]:
    """The kind of device for an engine where torch sees such GPUs; ROCm's are called cuda.

    `auto` leaves an Apple GPU alone: nothing was measured on one, and results on a processor are bit-equal. Raises
    AbovoError for a GPU that is not there, or that cannot carry out the engine.
    """
    if engine.device == "auto":
        return "cuda" if cuda else "cpu"
    if engine.device == "cuda" and not cuda:
        raise AbovoError("no GPU is visible to torch", "engine.device", "use device: auto or cpu")
    if engine.device == "mps":
        if not mps:
            raise AbovoError("no Apple GPU is visible to torch", "engine.device", "use device: auto or cpu")
        if engine.kind != "torch" or engine.strategy == "fsdp" or engine.processes > 1:
            what = "an Apple GPU trains in one process, by the engine torch"
            raise AbovoError(what, "engine", "use the engine torch, or device: cpu")
    return engine.device


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """For `auto` bf16 on GPUs that have it, fp16 on NVIDIA's before Ampere (T4, V100), fp32 on processors and Apple's.

    What is emulated, as bf16 is on older GPUs and most processors, is slower than float32.
    """
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of the random generators that this process draws from, by kind of device."""
    found = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        found["mps"] = torch.mps.get_rng_state()
    return found


def set_random_state(device: torch.device, state: Mapping[str, torch.Tensor]) -> None:
    """The reverse, as far as `state`, which another kind of device may have left, goes."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
