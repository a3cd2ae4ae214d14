"""Turn a run's engine into what starts its processes and what they ask of the machine, or refuse what cannot train."""

import shlex
from collections.abc import Callable

from abovo.errors import AbovoError
from abovo.settings.engine import Engine
from abovo.settings.training import Training

# Ways over several processes that each kind of engine knows
STRATEGIES = {"torch": ("none", "ddp", "fsdp"), "deepspeed": ("zero1", "zero2", "zero3")}
# On SIGUSR1, too, the workers get to write a checkpoint; torchrun would die of it and they with it.
SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
# The scripts that wait for GPUs, and that start a command on several nodes
CARDS, NODES = "on_cards", "on_nodes"
# What a step and its checkpoint may take before torchrun kills workers that were told to stop (s)
GRACE = 600
# How long a node waits for the others, whose GPUs may not be free yet (s)
MEETING = 3600


def check_engine(engine: Engine, recipe: Training, where: str = "engine") -> None:
    """Raise AbovoError where an engine's values do not fit together, or it cannot carry out a training recipe."""
    kind, strategy = engine.kind, engine.strategy
    if strategy not in STRATEGIES[kind]:
        raise AbovoError(f"{kind} has no strategy {strategy}", where, f"use one of {', '.join(STRATEGIES[kind])}")
    if strategy == "none" and engine.processes > 1:
        raise AbovoError(f"{engine.processes} processes need a strategy", where, "use strategy ddp or fsdp")
    if engine.processes % engine.nodes:
        what = f"{engine.processes} processes are not the same number on each of {engine.nodes} nodes"
        raise AbovoError(what, where, "set processes to a multiple of nodes")
    if engine.offload_optimizer and kind != "deepspeed":
        raise AbovoError(f"{kind} cannot offload the optimizer", where, "use the engine zero2-offload")
    if engine.offload_optimizer and recipe.precision == "fp16":
        # DeepSpeed 0.19.8 does not forget gradients on the CPU that overflowed
        raise AbovoError("an offloaded optimizer cannot have fp16", where, "set training.precision to bf16 or fp32")


def launcher(engine: Engine, threads: int, place_of: Callable[[str], str]) -> str:
    """What starts a training script with `threads` for each process; `place_of` gives the path of another script.

    | processes | nodes | |
    |---|---|---|
    | 1 | 1 | python |
    | several | 1 | torchrun, after as many GPUs are free where it may use some; a single process waits by itself |
    | several | several | the same on each node, started there by srun or ssh, and met on the first one |
    """
    if engine.processes == 1:
        return "python"
    cards, own = gpus_of_node(engine), engine.processes // engine.nodes
    met = "--standalone"
    if engine.nodes > 1:
        patience = f"--rdzv-conf join_timeout={MEETING},read_timeout={MEETING}"
        met = f"--nnodes {engine.nodes} --rdzv-backend c10d {patience}"
    words = f"torchrun {met} --signals-to-handle {SIGNALS} --shutdown-timeout {GRACE} --nproc-per-node {own}"
    if cards:
        words = f"python {shlex.quote(place_of(CARDS))} {cards} {words}"
    if engine.nodes > 1:
        asked = f"--nodes {engine.nodes} --processors {own * threads} --gpus {cards}"
        words = f"python {shlex.quote(place_of(NODES))} {asked} {words}"
    return f"{words} --"


def gpus(engine: Engine) -> int:
    """GPUs that an engine uses where there are any: one for each process."""
    return 0 if engine.device == "cpu" else engine.processes


def gpus_of_node(engine: Engine) -> int:
    """Those of each of its nodes."""
    return gpus(engine) // engine.nodes
