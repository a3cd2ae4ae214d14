"""Turn a model's numbers, a recipe and an engine into the bytes that a step of training takes, part by part.

Reckoned for the device of each of an engine's processes, and for the host's memory of all of them together. What the
parts are follows from the trainer: weights in float32 under torch, in half precision with a float32 copy under ZeRO;
one moment or two of each weight; activations by the family's own formula; logits in chunks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from abovo.modeling.cost import count_parameters
from abovo.modeling.family import Activations, Kept, family_named
from abovo.settings.engine import Engine
from abovo.settings.model import Model
from abovo.settings.training import Training
from abovo.training.amounts import BUCKET, LOGIT_BYTES, LOGIT_ROWS, MOMENTS, ROWS

Precision = Literal["fp32", "bf16", "fp16"]
SINGLE = 4
# The part of the host's memory that rank 0 alone has
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Sizes:
    """A model in numbers: its `parameters`, those that are `trained`, the `moments` that the optimizer keeps of them,
    those of `tables` and of the `largest` block, the `vocabulary` (rows of the output), and what a token leaves.

    `whole_logits`: the model makes its logits by itself, all at once.
    """

    parameters: int
    trained: int
    moments: int
    tables: int
    vocabulary: int
    activations: Activations
    whole_logits: bool = False

    @property
    def block(self) -> int:
        """Parameters of a block."""
        return (self.parameters - self.tables) // self.activations.blocks


def sizes_of(model: Model, rows: int, recipe: Training) -> Sizes:
    """A model of ours whose table has `rows` rows, with all of its parameters trained by a recipe's optimizer."""
    count = count_parameters(model, rows)
    blocks = count.non_embedding if recipe.optimizer.kind == "muon" else 0  # but for norms, which are few
    moments = MOMENTS["adamw"] * (count.total - blocks) + MOMENTS["muon"] * blocks
    kept = family_named(model.family).activations(model)
    return Sizes(count.total, count.total, moments, count.tables, rows, kept)


class Place(NamedTuple):
    """Where a step runs: at which precision, and whether on a GPU, which compiles blocks unless a recipe says no."""

    precision: Precision
    on_gpu: bool


@dataclass(frozen=True)
class Memory:
    """Bytes by part: on the device of one process, and in the host's memory of all processes together, beside what
    their programs take.

    `activations` has what blocks keep, and what is left of it where they are computed again; the recipe's own of the
    two is among the parts of `device`. `start` is what a device holds before the first step.
    """

    precision: Precision
    rows_at_once: int
    device: Mapping[str, int]
    host: Mapping[str, int]
    activations: Mapping[str, int]
    start: int

    @property
    def total(self) -> int:
        """The most that a device holds: in a step, or before the first one."""
        return max(self.in_step, self.start)

    @property
    def in_step(self) -> int:
        return sum(self.device.values())

    @property
    def on_host(self) -> int:
        return sum(self.host.values())

    def on_first_of(self, nodes: int) -> int:
        """What the host of rank 0 has of several `nodes`: a part as each of the others, and checkpoints."""
        shared = sum(size for name, size in self.host.items() if name != CHECKPOINT)
        return -(-shared // nodes) + self.host.get(CHECKPOINT, 0)

    def as_fields(self) -> dict[str, Any]:
        """What a plan says of it."""
        return {
            "precision": self.precision,
            "rows_at_once": self.rows_at_once,
            "device_bytes": {**self.device, "total": self.in_step},
            "start_bytes": self.start,
            "host_bytes": {**self.host, "total": self.on_host},
            "activations_bytes": dict(self.activations),
        }


def rows_per_step(recipe: Training, length: int, engine: Engine) -> int:
    """Rows of a global batch that one process has (sequences)."""
    assert isinstance(recipe.batch_tokens, int), "the configuration reckons it"
    return -(-recipe.batch_tokens // (length * engine.processes))


def rows_at_once(recipe: Training, length: int, engine: Engine, place: Place) -> int:
    """Rows that go through the model at once (sequences): those that the recipe says, at most those of a step.

    Of `auto` the fewest, one, where a GPU's memory is measured to find them; the trainer's own number elsewhere.
    """
    asked = recipe.micro_batch_sequences
    if asked == "auto":
        asked = 1 if place.on_gpu and engine.kind == "torch" else ROWS
    return min(asked, rows_per_step(recipe, length, engine))


def memory(
    sizes: Sizes, recipe: Training, length: int, engine: Engine, place: Place, rows: int | None = None
) -> Memory:
    """What a step takes of memory in rows of `length` tokens, `rows` at once (null: as `rows_at_once` says)."""
    at_once = rows_at_once(recipe, length, engine, place) if rows is None else rows
    several = at_once < rows_per_step(recipe, length, engine)
    half = place.precision != "fp32"
    states = _states(sizes, engine, half=half, several=several)
    kept, recomputed = _activations(sizes.activations, recipe, length, at_once, engine, place)
    tokens, stream = at_once * length, sizes.activations.stream
    device = {
        **states.device,
        "activations": recomputed if recipe.activation_checkpointing else kept,
        "loss": _loss(sizes, tokens, place, engine),
        # gradients that go from block to block, and what a block's backward pass makes on its way
        "working": 8 * SINGLE * stream * tokens,
    }
    host = {**states.host, CHECKPOINT: _checkpoint(sizes, engine)}
    activations = {"kept": kept, "recomputed": recomputed}
    return Memory(place.precision, at_once, device, host, activations, _start(sizes, engine, states, half=half))


class _States(NamedTuple):
    device: dict[str, int]
    host: dict[str, int]


def _states(sizes: Sizes, engine: Engine, *, half: bool, several: bool) -> _States:
    """Weights, gradients and the optimizer's state, as the engine spreads them over its processes."""
    n, trained, whole = engine.processes, sizes.trained, sizes.parameters
    part, moments = -(-trained // n), -(-sizes.moments // n)
    if engine.kind == "torch":
        if engine.strategy != "fsdp":
            copies = 2 * whole if half else 0  # that products are made with
            return _States({"weights": SINGLE * whole + copies, "gradients": SINGLE * trained,
                            "optimizer": SINGLE * sizes.moments}, {})  # fmt: skip
        gathered = sizes.tables + 2 * sizes.block
        weights = SINGLE * (-(-whole // n) + gathered) + (2 * gathered if half else 0)
        # gradients are exchanged in the last micro-batch alone, and until then whole
        gradients = SINGLE * (trained if several else part + sizes.block)
        return _States({"weights": weights, "gradients": gradients, "optimizer": SINGLE * moments}, {})
    size = 2 if half else SINGLE
    weights, optimizer = size * whole, SINGLE * (part + moments)
    exchanged = SINGLE * min(BUCKET, trained)
    gradients = SINGLE * part + exchanged
    if engine.strategy == "zero1":
        gradients = (size + SINGLE if half else SINGLE) * trained + exchanged
    elif engine.strategy == "zero3":
        weights = size * (-(-whole // n) + sizes.tables + 2 * sizes.block)
        gradients += size * part if half else 0
    if not engine.offload_optimizer:
        return _States({"weights": weights, "gradients": gradients, "optimizer": optimizer}, {})
    # of all processes together: gradients as the optimizer takes them and as they come, and weights on their way back
    host = {"weights": size * trained if half else 0, "gradients": 2 * SINGLE * trained, "optimizer": n * optimizer}
    return _States({"weights": weights, "gradients": exchanged, "optimizer": 0}, host)


def _start(sizes: Sizes, engine: Engine, states: _States, *, half: bool) -> int:
    """The weights as they were made; under ZeRO in half precision beside a copy of them that is kept until its own
    float32 weights are set."""
    exact = SINGLE * sizes.parameters
    if engine.kind == "torch" or not half:
        return exact
    return SINGLE * sizes.trained + max(exact, states.device["weights"] + states.device["optimizer"])


def _activations(
    found: Activations, recipe: Training, length: int, rows: int, engine: Engine, place: Place
) -> tuple[int, int]:
    """What blocks keep of a pass, and what is left of it where they are computed again (bytes)."""
    half = place.precision != "fp32"
    compiled = place.on_gpu and recipe.compile == "auto"
    size = 2 if half else SINGLE
    # autocast adds products in half precision to a stream in float32
    stream = found.stream * (2 if half and engine.kind == "deepspeed" else SINGLE)

    def taken(of: Activations) -> float:
        kept: Kept = of.compiled if compiled else of.half if half else of.single
        return size * kept.products + SINGLE * kept.exact

    tokens = rows * length
    part = 0.0 if found.part is None else taken(found.part) * rows * min(found.part_length, length)
    kept = found.blocks * taken(found) * tokens + part
    recomputed = (found.blocks * stream + taken(found)) * tokens + part
    return round(kept), round(min(kept, recomputed))


def _loss(sizes: Sizes, tokens: int, place: Place, engine: Engine) -> int:
    """Logits, which become their own gradient, and the gradients of states and output matrix that they leave."""
    half = place.precision != "fp32"
    size = 2 if half else SINGLE
    width = sizes.activations.stream
    if sizes.whole_logits:
        return tokens * sizes.vocabulary * (size + 3 * SINGLE)
    if place.on_gpu:
        logits = min(tokens, LOGIT_ROWS) * sizes.vocabulary * size
    else:
        logits = max(LOGIT_BYTES, 128 * SINGLE * sizes.vocabulary)
    matrix = sizes.vocabulary * width * (SINGLE + (2 * size if half else 0))
    return logits + matrix + tokens * width * SINGLE


def _checkpoint(sizes: Sizes, engine: Engine) -> int:
    """Weights and moments as one process has them, and the copy that is written while training goes on."""
    whole = SINGLE * (sizes.trained + sizes.moments)
    gathered = engine.kind == "deepspeed" or engine.processes > 1
    return whole * (2 if gathered else 1)
