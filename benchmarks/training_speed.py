"""Turn a packed text into tokens per second of the trainer and of three others, and into the time to the first step.

All train the same number of rows of the same text per step on the CPU, without compilation, and take turns, so that a
machine that slows down slows all of them. Only whole steps are counted: no start, no checkpoint, no validation.
"""

import itertools
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from nanogpt_style import PlainGPT
from trained import CONFIG, ROOT, SCRIPT, model, training

LENGTH, ROWS = 256, 16
# 3.49M parameters each at 4,096 pieces
SHAPE = {"hidden_size": 192, "layers": 6, "heads": 6, "key_value_heads": 3, "head_dim": 32, "feed_forward": 592}
PLAIN = {"width": 192, "layers": 6, "heads": 6}
PATIENCE = 120


class Contest:
    """The contestants over one packed text; each call trains a new model and returns tokens per second."""

    def __init__(self, packed: Path, vocabulary: int, threads: int, steps: int, clock: Callable[[], float]) -> None:
        from abovo.packing.bins import open_bin
        from abovo.provenance.manifest import read_manifest

        self.rows = open_bin(read_manifest(packed), "train")
        self.vocabulary, self.threads, self.steps, self.clock = vocabulary, threads, steps, clock
        self.overhead: list[float] = []

    def batch(self, number: int) -> torch.Tensor:
        """int64 [ROWS, LENGTH]"""
        first = number * ROWS % (len(self.rows) - ROWS)
        return torch.from_numpy(self.rows[first : first + ROWS].astype("int64"))

    def build(self) -> Any:
        from abovo.modeling.build import build_model
        from abovo.modeling.family import shape_of

        return build_model(shape_of(model(SHAPE)), self.vocabulary, LENGTH, seed=1)

    def speed(self, stamps: list[float]) -> float:
        """Tokens per second between the second and the last of the stamps, one a step."""
        return ROWS * LENGTH * (len(stamps) - 2) / (stamps[-1] - stamps[1])

    def abovo(self) -> float:
        """The trainer as it ships: its loop, its engine, a live state on the disk."""
        from abovo.settings.engine import Engine
        from abovo.settings.keys import build
        from abovo.settings.training import Training
        from abovo.training.device import prepare_device
        from abovo.training.engine_torch import TorchEngine
        from abovo.training.loop import train
        from abovo.training.loss import Batch
        from abovo.training.state import open_state
        from abovo.training.task import Task
        from abovo.training.world import World

        device = prepare_device(Engine(kind="torch", device="cpu"), self.threads)
        recipe = build(Training, {**recipe_of_the_contest(), "precision": "fp32"})
        counts, stamps = torch.ones(ROWS, LENGTH, dtype=torch.bool), []

        def batch(number: int) -> Batch:
            return Batch(self.batch(number), counts)

        def stamped_step(*arguments: Any) -> None:
            # batches are read ahead, so it is the ends of steps that are told apart
            step(*arguments)
            stamps.append(self.clock())
            inside.append(sum(spent))

        world = World(0, 1, device)
        engine = TorchEngine(self.build(), recipe, world, "none")
        spent: list[float] = []
        inside: list[float] = []
        for name in ("gradient", "step"):
            setattr(engine, name, timed(getattr(engine, name), spent, self.clock))
        step, engine.step = engine.step, stamped_step  # type: ignore[method-assign]
        task = Task("benchmark", batch, list, self.steps, ROWS * LENGTH, recipe)
        with tempfile.TemporaryDirectory() as folder, open_state(Path(folder) / "state", {}, 0) as state:
            train(task, engine, world, state)
        self.overhead.append(1 - (inside[-1] - inside[1]) / (stamps[-1] - stamps[1]))
        return self.speed(stamps)

    def transformers_trainer(self) -> float:
        """The same model class under transformers' Trainer with its own loss, fused AdamW and clipping."""
        from transformers import Trainer, TrainerCallback, TrainingArguments

        others(self.threads)
        stamps: list[float] = []
        clock = self.clock

        class Stamps(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                stamps.append(clock())

        ids = [row for number in range(self.steps) for row in self.batch(number)]
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, max_steps=self.steps, per_device_train_batch_size=ROWS, learning_rate=1e-3, use_cpu=True,
                optim="adamw_torch_fused", max_grad_norm=1.0, weight_decay=0.1, logging_steps=10, save_strategy="no",
                report_to="none", disable_tqdm=True,
            )  # fmt: skip
            data: Any = [{"input_ids": row, "labels": row} for row in ids]
            trainer = Trainer(self.build(), arguments, train_dataset=data, callbacks=[Stamps()])
            trainer.log = lambda *_, **__: None  # type: ignore[method-assign]
            trainer.train()
        return self.speed(stamps)

    def minimal_loop(self) -> float:
        """A dozen lines by hand over the same model and the same loss."""
        from abovo.training.loss import Batch, summed_loss

        built, counts = self.build(), torch.ones(ROWS, LENGTH, dtype=torch.bool)
        return self._by_hand(built, lambda ids: summed_loss(built, Batch(ids, counts)) / (ROWS * (LENGTH - 1)))

    def nanogpt_style(self) -> float:
        plain = PlainGPT(self.vocabulary, LENGTH, **PLAIN)
        return self._by_hand(plain, plain)

    def _by_hand(self, module: torch.nn.Module, loss: Callable[[torch.Tensor], torch.Tensor]) -> float:
        others(self.threads)
        parameters = list(module.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
        stamps = []
        for number in range(self.steps):
            stamps.append(self.clock())
            loss(self.batch(number)).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return self.speed(stamps)


def recipe_of_the_contest() -> dict[str, Any]:
    values = {"batch_tokens": ROWS * LENGTH, "micro_batch_sequences": ROWS, "optimizer.kind": "adamw"}
    return training("tiny", {**values, "tensorboard": False, "validation_interval": 10**6})


def others(threads: int) -> None:
    """torch as its users have it."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def timed(function: Callable[..., Any], spent: list[float], clock: Callable[[], float]) -> Callable[..., Any]:
    def run(*arguments: Any, **named: Any) -> Any:
        started = clock()
        result = function(*arguments, **named)
        spent.append(clock() - started)
        return result

    return run


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def speeds(packed: Path, vocabulary: int, threads: int, steps: int, rounds: int, clock: str) -> dict[str, Any]:
    """Medians of tokens per second by contestant, and the median share of a step outside gradient and optimizer."""
    contest = Contest(packed, vocabulary, threads, steps, CLOCKS[clock])
    names = ("abovo", "transformers_trainer", "minimal_loop", "nanogpt_style")
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        # each is first as often as last
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(getattr(contest, name)())
    sizes = {
        "abovo": sum(parameter.numel() for parameter in contest.build().parameters()),
        "nanogpt_style": sum(parameter.numel() for parameter in PlainGPT(vocabulary, LENGTH, **PLAIN).parameters()),
    }
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {"medians": medians, "rounds": found, "overhead": statistics.median(contest.overhead), "parameters": sizes}


def first_steps(tokenizer: Path, packed: Path, times: int) -> list[float]:
    """Seconds from the start of the pretraining script to the first optimizer step of nano, sorted."""
    from abovo.config.jobs import job_settings
    from abovo.config.runs import Configuration

    settings = job_settings(Configuration(CONFIG), "pretrain", {"run": "nano"})
    settings["phases"] = [{"name": "main", "corpora": {"benchmark": 1.0}, "share": 1.0}]
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "settings.json"
            path.write_text(json.dumps(settings))
            state = Path(folder) / "state"
            command = [sys.executable, str(SCRIPT), "--settings", str(path), "--tokenizer", str(tokenizer)]
            command += ["--packed", str(packed), "--state", str(state), "--output", f"{folder}/model/manifest.json"]
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found.append(next(_until_written(state / "metrics.jsonl", process)) - started)
            process.send_signal(signal.SIGKILL)
            process.wait()
    return sorted(found)


def _until_written(path: Path, process: subprocess.Popen[bytes]) -> Iterator[float]:
    """The moment at which the metrics have a training row, that of step 1; the validation at step 0 is before it."""
    started = time.monotonic()
    for _ in itertools.count():
        if path.exists() and b'"loss"' in path.read_bytes():
            yield time.monotonic()
            return
        if process.poll() is not None or time.monotonic() - started > PATIENCE:
            sys.exit("the pretraining script ended, or stood still, before its first step")
        time.sleep(0.02)
