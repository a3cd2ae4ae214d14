"""What carries out the training steps: config/engines/."""

from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What carries out the training steps."""

    kind: Literal["torch", "deepspeed"] = key(
        "torch: PyTorch's own means; deepspeed: ZeRO. Either in one process or, through torchrun, in several"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = key(
        "auto: a GPU where there is one (ROCm's, too, are called cuda), else cpu; mps: an Apple GPU, in one process of"
        " torch",
        default="auto",
    )
    processes: int = key("Processes, one per GPU, of all nodes together", default=1, minimum=1, maximum=1024)
    nodes: int = key(
        "Machines that the processes are spread over, as many on each",
        default=1, minimum=1, maximum=1024, decides=False,
    )  # fmt: skip
    strategy: Literal["none", "ddp", "fsdp", "zero1", "zero2", "zero3"] = key(
        "Over several processes, of torch: ddp keeps a copy of the model in each, fsdp spreads its parts; of deepspeed:"
        " each process keeps a part of the optimizer's state (zero1), of the gradients too (zero2), of the weights too"
        " (zero3)",
        default="none",
    )
    offload_optimizer: bool = key(
        "deepspeed: whether the optimizer's state and its steps are left to the CPU", default=False
    )
