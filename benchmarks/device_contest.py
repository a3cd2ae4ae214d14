"""Turn a device into a table in markdown: the trainer against others, in rounds of turns.

On a GPU they train the models that ship, on a CPU one of 3.5M parameters, and nothing is compiled there.

The first round starts with an empty compile cache, so its first step is the cold one, with the trainer's search for its
micro-batch; later rounds find both, as a run does that goes on.
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from contestant import CONTESTANTS, PARTS, Turn
from kernels import kernel_table

LENGTH, VOCABULARY = 1024, 32_768
# Sides of the plain models, of equal parameters, and the rows at once with which they and the Trainer begin
PLAIN = {"tiny": {"width": 320, "layers": 10, "heads": 5}, "small": {"width": 768, "layers": 14, "heads": 12}}
MICRO_BATCH = {"tiny": 64, "small": 32}
# 3.49M parameters each, by the optimizer that all know
ON_A_CPU = {
    "shape": {
        "hidden_size": 192, "layers": 6, "heads": 6, "key_value_heads": 3, "head_dim": 32, "feed_forward": 592
    },
    "plain": {"width": 192, "layers": 6, "heads": 6}, "recipe": {"optimizer.kind": "adamw"},
    "vocabulary": 4096, "length": 256, "rows": 16, "micro_batch": 16, "warm": 1, "steps": 6, "parted": 3,
}  # fmt: skip
# On a GPU a loop without compilation says nothing
ON = {"cpu": tuple(CONTESTANTS), "cuda": ("abovo", "nanogpt_style", "transformers_trainer")}
Results = Mapping[str, Sequence[Mapping[str, Any]]]


def require(device: str) -> None:
    """End with one line where there is no such device."""
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: no GPU is visible to torch; --device cuda wants one (an H100 of 80 GB for figures that compare"
                 " with those of the docs), --device cpu takes a smaller model")  # fmt: skip


def models_on(device: str, asked: Sequence[str]) -> Sequence[str]:
    """What is trained there: the recipe and the first shape are those of these models."""
    return asked if device == "cuda" else ("tiny",)


def first_turn(
    contestant: str, model: str, device: str, threads: int = 1, micro_batch: int | None = None, clock: str = "wall"
) -> Turn:
    """The turn of a contestant with a model: as shipped on a GPU, of 3.5M parameters on a CPU."""
    from trained import training

    if device == "cpu":
        sides: dict[str, Any] = ON_A_CPU if micro_batch is None else {**ON_A_CPU, "micro_batch": micro_batch}
        return Turn(contestant, model, device, threads=threads, clock=clock, **sides)
    rows = training(model, {})["batch_tokens"] // LENGTH
    if contestant != "abovo":
        micro_batch = micro_batch or MICRO_BATCH[model]
    return Turn(
        contestant, model, device, VOCABULARY, LENGTH, rows, {}, PLAIN[model], micro_batch=micro_batch,
        threads=threads, clock=clock,
    )  # fmt: skip


def contest(model: str, turns: Mapping[str, Turn], rounds: int, profile: bool) -> dict[str, list[dict[str, Any]]]:
    """What each turn found, by contestant and in the order of the rounds; the last round is profiled."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in turns}
    waiting = dict(turns)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            # each is first as often as last
            for name in turns if number % 2 == 0 else reversed(turns):
                turn = replace(waiting[name], profile=profile and number == rounds - 1)
                used, result = _fitting(turn, Path(folder) / name)
                # a resume remembers the rows at once that were found, and so do later rounds
                waiting[name] = replace(used, micro_batch=result.get("micro_batch"))
                found[name].append(result)
                print(f"{model}, round {number + 1}, {name}: "
                      f"{result.get('failed') or format(result['tokens_per_second'], ',.0f') + ' tokens/s'}",
                      file=sys.stderr)  # fmt: skip
    return found


def _fitting(turn: Turn, cache: Path) -> tuple[Turn, dict[str, Any]]:
    """A turn at the largest micro-batch, halved from its own, that the memory holds."""
    while True:
        result = _in_a_process(turn, cache)
        if "failed" not in result or turn.micro_batch in (None, 1):
            return turn, result
        turn = replace(turn, micro_batch=turn.micro_batch // 2)


def _in_a_process(turn: Turn, cache: Path) -> dict[str, Any]:
    cache.mkdir(exist_ok=True)
    told, place = cache / "turn.json", cache / "result.json"
    told.write_text(json.dumps(asdict(turn)))
    # one GPU: transformers' Trainer would take all that it sees
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache / "compiled"), "CUDA_VISIBLE_DEVICES": seen}
    script = Path(__file__).with_name("contestant.py")
    with (cache / "log").open("w+") as log:
        if subprocess.run([sys.executable, script, told, place], stdout=log, stderr=log, env=environment).returncode:
            log.seek(0)
            sys.exit(f"{log.read()[-4000:]}\nerror: the turn of {turn.contestant} with {turn.model} failed")
    return json.loads(place.read_text())


def machine(device: str) -> str:
    """The device, its driver, torch and the date in one line."""
    import importlib.metadata

    versions = f"torch {torch.__version__}, transformers {importlib.metadata.version('transformers')}"
    named = "processor"
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            driver = "unknown"
        named = f"{torch.cuda.get_device_name()}, driver {driver}"
    return f"{named}, {versions}, {datetime.date.today()}"


def table(model: str, found: Results, device: str, turn: Turn) -> str:
    """Medians over the rounds, speed with lowest and highest; the ratio is the trainer's speed over the row's."""
    tokens, rounds = turn.rows * turn.length, len(next(iter(found.values())))
    size = f"{sum(parameter.numel() for parameter in turn.build().parameters()):,} parameters"
    clock = "" if turn.clock == "wall" else ", seconds of the processor"
    named = model if device == "cuda" else f"{size}, {turn.threads} threads{clock}"
    lines = [
        f"{named}; {machine(device)}; {tokens:,} tokens a step, rows of {turn.length}, {rounds} rounds in turns", "",
        "| | micro-batch | tokens/s | low to high | ratio | MFU | peak memory | first step, cold / warm |"
        + "".join(f" {part} ms |" for part in PARTS),
        "|---|---|---|---|---|---|---|---|" + "---|" * len(PARTS),
    ]  # fmt: skip
    speeds = {name: [one["tokens_per_second"] for one in turns if "failed" not in one] for name, turns in found.items()}
    for name, turns in found.items():
        if not speeds[name]:
            lines.append(f"| {name} | | {turns[0]['failed']} |" + " |" * (5 + len(PARTS)))
            continue
        done = [one for one in turns if "failed" not in one]
        middle, low, high = statistics.median(speeds[name]), min(speeds[name]), max(speeds[name])
        own = statistics.median(speeds["abovo"]) / middle if speeds.get("abovo") else float("nan")
        mfu = "" if done[0]["mfu"] is None else f"{statistics.median(one['mfu'] for one in done):.1%}"
        memory = statistics.median(one["memory_bytes"] for one in done) / 1e9
        later = [one["first_step_seconds"] for one in done[1:]]
        warm = f"{statistics.median(later):.1f} s" if later else "not run"
        parts = "".join(f" {statistics.median(one['parts'][part] for one in done) * 1e3:.1f} |" for part in PARTS)
        lines.append(
            f"| {name} | {done[-1]['micro_batch']} | {middle:,.0f} | {low:,.0f} to {high:,.0f}"
            f" | {own:.3f} | {mfu} | {memory:.2f} GB | {done[0]['first_step_seconds']:.1f} s / {warm} |{parts}"
        )
    return "\n".join(lines)


def run(device: str, models: Sequence[str], rounds: int, profile: bool, **how: Any) -> dict[str, Results]:
    """Print the tables of all models and return what they were made from; `how` is first_turn's."""
    from contestant import best_precision, peak

    require(device)
    if device == "cuda" and peak(torch.device(device), best_precision(torch.device(device))) is None:
        print(f"no peak of {torch.cuda.get_device_name()} is known in config/hardware: no MFU", file=sys.stderr)
    found = {}
    for model in models_on(device, models):
        turns = {name: first_turn(name, model, device, **how) for name in ON[device]}
        found[model] = contest(model, turns, rounds, profile)
        print("\n" + table(model, found[model], device, turns["abovo"]), flush=True)
        for name, results in found[model].items() if profile else ():
            if "kernels" in results[-1]:
                print(f"\n{model}, {name}:\n\n{kernel_table(results[-1]['kernels'], device)}", flush=True)
    return found
