"""Train a run's model at full width under its own engine for a few steps, on random ids: speed and peak memory.

python benchmarks/offload.py                                      # inl-3b in 8 blocks, one step on a processor
python benchmarks/offload.py --blocks 40 --steps 20 --length 4096 --rows 8 --device cuda    # all of it on a GPU

Memory is that of the process with its model, then with its engine, and after the steps; the peak counts the processes
that it started, too. What the plan reckons stands below; the share of the host holds a checkpoint, too.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

# before torch is imported: threads that wait must not spin
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

log = logging.getLogger("abovo")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="inl-3b", help="name in config/runs (default: inl-3b)")
    parser.add_argument("--engine", help="name in config/engines (default: the run's)")
    parser.add_argument("--blocks", type=int, default=8, help="blocks of its model (default: 8)")
    parser.add_argument("--steps", type=int, default=1, help="optimizer steps (default: 1)")
    parser.add_argument("--length", type=int, default=512, help="ids of a row (default: 512)")
    parser.add_argument("--rows", type=int, default=1, help="rows of a step, one at a time (default: 1)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of torch")
    parser.add_argument("--json", type=Path, help="file that receives the figures")
    return parser.parse_args()


def settings_of(options: argparse.Namespace) -> tuple[Any, int]:
    """What the job of pretraining is told, in other sizes, and the vocabulary of the run (pieces)."""
    from abovo.config.jobs import job_settings
    from abovo.config.runs import Configuration
    from abovo.training.task import read_settings

    shipped = Configuration(ROOT / "config").run(options.run)
    values = {
        "model.layers": options.blocks, "model.non_embedding_parameters": "null", "parameters": "null",
        "sequence_length": options.length, "training.batch_tokens": options.rows * options.length,
        "training.micro_batch_sequences": 1, "engine.device": options.device, "threads": options.threads,
        "training.optimizer.learning_rate": shipped.training.optimizer.learning_rate,
    }  # fmt: skip
    asked = [f"{options.run}.engine={options.engine}"] if options.engine else []
    words = ",".join([*asked, *(f"{options.run}.{key}={value}" for key, value in values.items())])
    configuration = Configuration(ROOT / "config", words)
    settings = read_settings(job_settings(configuration, "pretrain", {"run": options.run}))
    return settings, shipped.tokenizer.vocabulary_size


def peak_memory() -> int:
    """Of this process and of those that it started and that live, each at its own peak (bytes)."""
    return sum(_status(process, "VmHWM") for process in (os.getpid(), *_children(os.getpid())))


def _children(process: int) -> Iterator[int]:
    for place in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, place.read_text().split()):
            yield from (child, *_children(child))


def _status(process: int, key: str) -> int:
    """A size in /proc/PROCESS/status (bytes); 0 of a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return 0


def train(options: argparse.Namespace) -> dict[str, Any]:
    """The steps, and what they took: seconds and losses of each, memory on the way."""
    import torch

    from abovo.config.budget import budget
    from abovo.modeling.build import build_model
    from abovo.modeling.cost import training_flops_per_token
    from abovo.modeling.parameters import padded_vocabulary
    from abovo.planning.memory import Place, memory, sizes_of
    from abovo.training.device import resolve_precision
    from abovo.training.engines import build_engine
    from abovo.training.loss import Batch
    from abovo.training.schedule import learning_rate_factor
    from abovo.training.world import open_world

    settings, vocabulary = settings_of(options)
    recipe = settings.training
    found: dict[str, Any] = {"memory": {}, "seconds": [], "losses": []}
    with open_world(settings.engine, settings.threads) as world:
        recipe = replace(recipe, precision=resolve_precision(recipe.precision, world.device))
        model = build_model(settings.model, vocabulary, settings.sequence_length, settings.seed)
        found["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        found["memory"]["model"] = _status(os.getpid(), "VmRSS")
        engine = build_engine(model, recipe, world, settings.engine, options.rows)
        found["memory"]["engine"] = _status(os.getpid(), "VmRSS")
        if world.device.type == "cuda":
            found["memory"]["gpu before steps"] = torch.cuda.max_memory_allocated(world.device)
            torch.cuda.reset_peak_memory_stats(world.device)
        draw, steps = torch.Generator().manual_seed(settings.seed), budget(settings).steps
        for step in range(1, options.steps + 1):
            begun = time.perf_counter()
            ids = torch.randint(vocabulary, (options.rows, options.length), generator=draw)
            batch = Batch(ids, torch.ones_like(ids, dtype=torch.bool))
            loss = engine.gradient(batch, batch.targets)
            engine.clip(recipe.gradient_clip)
            engine.step(learning_rate_factor(recipe.schedule, step, steps), step)
            found["losses"].append(loss.item())
            found["seconds"].append(time.perf_counter() - begun)
            log.info("step %d: loss %.3f, %.2f s", step, found["losses"][-1], found["seconds"][-1])
        found["memory"] |= {"steps": _status(os.getpid(), "VmRSS"), "peak": peak_memory()}
        if world.device.type == "cuda":
            found["memory"]["gpu"] = torch.cuda.max_memory_allocated(world.device)
            found["memory"]["gpu reserved"] = torch.cuda.max_memory_reserved(world.device)
        found["device"] = torch.cuda.get_device_name() if world.device.type == "cuda" else "processor"
        rows, place = padded_vocabulary(vocabulary), Place(recipe.precision, world.device.type == "cuda")
    planned = memory(sizes_of(settings.model, rows, recipe), recipe, options.length, settings.engine, place)
    found["planned"] = {"device": planned.total, "host": planned.on_host}
    flops = training_flops_per_token(settings.model, rows, settings.sequence_length)
    return {**found, "precision": recipe.precision, "told": engine.told, "flops_per_token": flops}


def report(options: argparse.Namespace, found: Mapping[str, Any]) -> None:
    """What was found, in words; the speed leaves out the first step, where there is more than one."""
    tokens, seconds = options.rows * options.length, found["seconds"]
    timed = seconds[1:] or seconds
    speed = tokens * len(timed) / sum(timed)
    print(f"{options.run} in {options.blocks} blocks, {found['parameters']:,} parameters, {found['precision']},"
          f" {found['device']}, {options.threads} threads")  # fmt: skip
    operations = speed * found["flops_per_token"]
    print(f"{options.steps} steps of {tokens:,} tokens in rows of {options.length:,}: first {seconds[0]:.1f} s, then"
          f" {speed:,.1f} tokens/s, {operations / 1e12:,.3f} TFLOPS")  # fmt: skip
    print(f"loss (nats) of each step: {', '.join(f'{loss:.3f}' for loss in found['losses'])}")
    for name, size in found["memory"].items():
        print(f"memory, {name}: {size / 1e9:.2f} GB ({size / 2**30:.2f} GiB)")
    by_plan = found["planned"]
    device, host = by_plan["device"] / 1e9, by_plan["host"] / 1e9
    print(f"memory by the plan: {device:.2f} GB on the device, {host:.2f} GB on the host with a checkpoint")


def main() -> None:
    options = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    found = train(options)
    report(options, found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
