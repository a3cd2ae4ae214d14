"""Turn a contestant, a model and a device into one turn: seconds to the first step, speed, memory, parts of a step.

A turn is a process of its own, so that none finds memory, kernels or settings of another:

python benchmarks/contestant.py TURN.json RESULT.json

All train on the same random ids in steps of equal size. On a GPU all compute at the precision that the trainer chooses
there, bf16 where the card has it, and are compiled: the trainer as it ships, the plain model whole, transformers'
Trainer by its own switch. On a CPU nothing is.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kernels import kernel_rows
from nanogpt_style import PlainGPT
from trained import model, run_settings, training

PROFILED = 3
PARTS = ("gradient", "optimizer", "outside")
# Seconds that pass, or that the processor works for this process, which other work beside it leaves alone
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Turn:
    """Who trains what: `shape` and `recipe` are what differs from the files of `model` and `recipe_name` (None: of the
    same name) in config/, `plain` are the sides of the plain model, `micro_batch` the rows at once (None: the recipe's,
    or all of a step), `clock` tells how time is taken (CLOCKS).

    Of the steps `warm` come before the clock starts, `steps` are timed, `parted` are timed part by part, and with
    `profile` some more are traced.
    """

    contestant: str
    model: str
    device: str
    vocabulary: int
    length: int
    rows: int
    shape: dict[str, Any]
    plain: dict[str, int]
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_name: str | None = None
    micro_batch: int | None = None
    threads: int = 1
    clock: str = "wall"
    warm: int = 5
    steps: int = 12
    parted: int = 5
    profile: bool = False

    @property
    def total(self) -> int:
        return self.warm + self.steps + self.parted + (PROFILED if self.profile else 0)

    def micro_batches(self) -> tuple[int, int]:
        """Rows at once, and how many such pieces a step has; for those that want all pieces equal."""
        rows = min(self.micro_batch or self.rows, self.rows)
        while self.rows % rows:
            rows -= 1
        return rows, self.rows // rows

    def batches(self) -> torch.Tensor:
        """int64 [steps, rows, length]: random ids, the same for every contestant."""
        sides = (self.total, self.rows, self.length)
        return torch.from_numpy(np.random.default_rng(1).integers(0, self.vocabulary, sides))

    def build(self) -> Any:
        from abovo.modeling.build import build_model
        from abovo.modeling.family import shape_of

        return build_model(shape_of(model(self.shape, self.model)), self.vocabulary, self.length, seed=1)


@dataclass
class Watch:
    """The clock of a turn. A GPU is waited for where a stretch of steps begins or ends, and after each part while parts
    are timed; between the steps that give the speed nothing waits."""

    turn: Turn
    device: torch.device
    precision: str
    batches: torch.Tensor
    step: int = 0
    started: float = 0.0
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    found: dict[str, Any] = field(default_factory=dict)
    last: float = 0.0
    profiler: Any = None

    def __post_init__(self) -> None:
        self.started = self.now()

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return CLOCKS[self.turn.clock]()

    def mark(self, part: str) -> None:
        """What ends here is a `part`; it began with the mark before."""
        timed = self.turn.warm + self.turn.steps
        if timed <= self.step < timed + self.turn.parted:
            now = self.now()
            self.spent[part] += now - self.last
            self.last = now

    def done(self) -> None:
        """A step has ended."""
        from abovo.training.watching import memory_bytes

        turn = self.turn
        self.mark("outside")
        self.step += 1
        timed = turn.warm + turn.steps
        if self.step == 1:
            self.found["first_step_seconds"] = self.now() - self.started
        if self.step == turn.warm:
            self.last = self.now()
        if self.step == timed:
            now = self.now()
            self.found["step_seconds"] = (now - self.last) / turn.steps
            self.found["memory_bytes"] = memory_bytes(self.device)
            self.last = now
        if self.step == timed + turn.parted:
            self.found["parts"] = {name: seconds / turn.parted for name, seconds in self.spent.items()}
            if turn.profile:
                self.now()
                self.profiler = torch.profiler.profile()
                self.profiler.__enter__()
        if self.step == turn.total and self.profiler is not None:
            self.now()
            self.profiler.__exit__(None, None, None)
            self.found["kernels"] = kernel_rows(self.profiler.key_averages(), self.device.type, PROFILED)


def abovo(turn: Turn, watch: Watch) -> None:
    """The trainer as it ships: its loop, its engine, its recipe, a live state on the disk."""
    from abovo.training import together
    from abovo.training.device import prepare_device
    from abovo.training.loss import Batch
    from abovo.training.task import Task, read_settings
    from abovo.training.world import World

    values = {
        "batch_tokens": turn.rows * turn.length, "tensorboard": False, "samples.prompts": [],
        "validation_interval": 10**6, "checkpoint_interval": 10**6, **turn.recipe,
    }  # fmt: skip
    if turn.micro_batch is not None:
        values["micro_batch_sequences"] = turn.micro_batch
    recipe = training(turn.recipe_name or turn.model, values)
    tokens = turn.total * turn.rows * turn.length
    told = run_settings(model(turn.shape, turn.model), recipe, tokens, turn.length, 1)
    told["engine"]["device"] = turn.device
    settings = read_settings(told)
    device = prepare_device(settings.engine, turn.threads)
    used = replace(settings.training, precision=watch.precision)
    counts = torch.ones(turn.rows, turn.length, dtype=torch.bool)

    def batch(number: int) -> Batch:
        return Batch(watch.batches[number], counts)

    task = Task("turn", batch, list, turn.total, turn.rows * turn.length, used)
    train = together.train

    def watched(task: Task, engine: Any, world: World, state: Any) -> None:
        watch.found["micro_batch"] = engine.micro_batch
        engine.gradient = _between(engine.gradient, before=partial(watch.mark, "outside"))
        engine.clip = _between(engine.clip, after=partial(watch.mark, "gradient"))
        engine.step = _between(engine.step, after=lambda: (watch.mark("optimizer"), watch.done()))
        train(task, engine, world, state)

    together.train = watched
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = together.Run(task, World(0, 1, device), settings, {}, turn.build, folder / "state", lambda _: [])
        together.train_together(run, folder)


def _between(function: Callable[..., Any], before: Callable[[], Any] | None = None,
             after: Callable[[], Any] | None = None) -> Callable[..., Any]:  # fmt: skip
    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if before:
            before()
        result = function(*arguments, **named)
        if after:
            after()
        return result

    return call


def nanogpt_style(turn: Turn, watch: Watch) -> None:
    """A plain model of equal size, compiled whole on a GPU, under a loop by hand."""
    plain = PlainGPT(turn.vocabulary, turn.length, **turn.plain).to(watch.device)
    _by_hand(turn, watch, plain, torch.compile(plain) if watch.device.type == "cuda" else plain)


def minimal_loop(turn: Turn, watch: Watch) -> None:
    """The trainer's own model and loss, not compiled, under the same loop by hand: what the trainer's loop costs."""
    from abovo.training.loss import Batch, summed_loss

    built = turn.build().to(watch.device)

    def loss(ids: torch.Tensor) -> torch.Tensor:
        batch = Batch(ids, torch.ones(ids.shape, dtype=torch.bool))
        return summed_loss(built, batch) / batch.targets

    _by_hand(turn, watch, built, loss)


def _by_hand(turn: Turn, watch: Watch, owner: torch.nn.Module, mean: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """A dozen lines that train the parameters of `owner` by the `mean` loss of ids: fused AdamW, clipping."""
    on_gpu = watch.device.type == "cuda"
    _as_others(turn)
    parameters = list(owner.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(watch.precision)
    scaler = torch.amp.GradScaler(watch.device.type, enabled=kind is torch.float16)
    rows, pieces = turn.micro_batches()
    watch.found["micro_batch"] = rows
    for ids in watch.batches:
        parts = (ids.pin_memory() if on_gpu else ids).split(rows)
        watch.mark("outside")
        for part in parts:
            with torch.autocast(watch.device.type, kind, enabled=kind is not None):
                loss = mean(part.to(watch.device, non_blocking=on_gpu))
            scaler.scale(loss / pieces).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        watch.mark("gradient")
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        watch.mark("optimizer")
        watch.done()


def transformers_trainer(turn: Turn, watch: Watch) -> None:
    """The trainer's own model class under transformers' Trainer: its loss, its compilation, fused AdamW, clipping."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    on_gpu = watch.device.type == "cuda"
    _as_others(turn)
    rows, pieces = turn.micro_batches()
    watch.found["micro_batch"] = rows

    class Marks(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            watch.mark("outside")

        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            watch.mark("gradient")

        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            watch.mark("optimizer")

        def on_step_end(self, *_: Any, **__: Any) -> None:
            watch.done()

    data: Any = [{"input_ids": row, "labels": row} for row in watch.batches.flatten(0, 1)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=turn.total, per_device_train_batch_size=rows, gradient_accumulation_steps=pieces,
            learning_rate=1e-3, weight_decay=0.1, max_grad_norm=1.0, optim="adamw_torch_fused", use_cpu=not on_gpu,
            bf16=watch.precision == "bf16", fp16=watch.precision == "fp16", torch_compile=on_gpu, logging_steps=10,
            save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(turn.build(), arguments, train_dataset=data, callbacks=[Marks()])
        trainer.log = lambda *_, **__: None  # type: ignore[method-assign]
        trainer.train()


def _as_others(turn: Turn) -> None:
    """torch as its users have it, with what nanoGPT allows a GPU."""
    torch.set_num_threads(turn.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


CONTESTANTS: dict[str, Callable[[Turn, Watch], None]] = {
    "abovo": abovo,
    "nanogpt_style": nanogpt_style,
    "transformers_trainer": transformers_trainer,
    "minimal_loop": minimal_loop,
}


def flops_per_token(turn: Turn) -> float:
    """6 N + 12 L H h T: N are the parameters that are multiplied with, a table of positions and untied inputs not."""
    from abovo.modeling.cost import training_flops_per_token
    from abovo.modeling.family import shape_of

    if turn.contestant != "nanogpt_style":  # all others train the same model
        return training_flops_per_token(shape_of(model(turn.shape, turn.model)), turn.vocabulary, turn.length)
    with torch.device("meta"):
        plain = PlainGPT(turn.vocabulary, turn.length, **turn.plain)
    size = sum(parameter.numel() for parameter in plain.parameters()) - plain.places.weight.numel()
    return 6 * size + 12 * turn.plain["layers"] * turn.plain["width"] * turn.length


def best_precision(device: torch.device) -> str:
    """What the trainer chooses on a device: that of all contestants."""
    from abovo.training.device import resolve_precision

    return resolve_precision("auto", device)


def peak(device: torch.device, precision: str) -> float | None:
    """Operations per second of one such device; None where config/hardware does not tell."""
    from abovo.training.watching import peak_of
    from abovo.training.world import World

    return peak_of(World(0, 1, device), precision)  # type: ignore[arg-type]


def take(turn: Turn) -> dict[str, Any]:
    """What a turn found; `failed` where the memory was too small for its micro-batch."""
    device = torch.device(turn.device)
    watch = Watch(turn, device, best_precision(device), turn.batches())
    try:
        CONTESTANTS[turn.contestant](turn, watch)
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    speed = turn.rows * turn.length / watch.found["step_seconds"]
    most = peak(device, watch.precision)
    return {
        **watch.found,
        "tokens_per_second": speed,
        "mfu": speed * flops_per_token(turn) / most if most else None,
    }


if __name__ == "__main__":
    told, place = map(Path, sys.argv[1:3])
    place.write_text(json.dumps(take(Turn(**json.loads(told.read_text())))))
