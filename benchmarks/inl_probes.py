"""Turn models of the study of the INL family into their costs and trajectories: speed, memory, decoding, norms."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from contestant import Turn
from inl_trials import BATCH_TOKENS, CONTESTANTS, LENGTH, ROWS, STEPS, Contestant

PREFIXES = (128, 512, 2048, 8192, 16_384)
DECODED = 24
COLOURS = {"initial": "#777777", "trained": "#0072b2"}


def turns() -> dict[str, Turn]:
    """Training of each contestant, and of causal_mean with each number of steps, by the clock of the processor."""
    steps = {f"causal_mean, T = {steps}": steps for steps in STEPS}
    shapes = {name: (one, {}) for name, one in CONTESTANTS.items() if name != "causal_mean"}
    shapes |= {name: (CONTESTANTS["causal_mean"], {"integration_steps": number}) for name, number in steps.items()}
    return {
        name: Turn(
            "abovo", one.shape, "cpu", ROWS, LENGTH, BATCH_TOKENS // LENGTH, {**dict(one.values), **values}, {},
            recipe_name="nano", clock="cpu", warm=2, steps=6, parted=1,
        )
        for name, (one, values) in shapes.items()
    }  # fmt: skip


def speeds(rounds: int) -> dict[str, dict[str, float]]:
    """By contestant: tokens per second of processor time, its ratio to qwen3's of the same round (medians, lowest and
    highest), and the peak memory of the process (MB)."""
    from device_contest import contest

    found = contest("inl", turns(), rounds, profile=False)
    base = [turn["tokens_per_second"] for turn in found["qwen3"]]
    return {
        name: {
            "tokens_per_second": statistics.median(own := [turn["tokens_per_second"] for turn in results]),
            "ratio": statistics.median(ratios := [one / other for one, other in zip(own, base, strict=True)]),
            "lowest": min(ratios),
            "highest": max(ratios),
            "memory_mb": max(turn["memory_bytes"] for turn in results) / 1e6,
        }
        for name, results in found.items()
    }


def built(one: Contestant, **values: Any) -> Any:
    """A contestant with its first weights."""
    from abovo.modeling.build import build_model
    from abovo.modeling.family import shape_of

    return build_model(shape_of(one.model(**values)), ROWS, LENGTH, seed=1).eval()


def decoding(prefixes: Sequence[int] = PREFIXES, rounds: int = 3) -> dict[str, dict[int, float]]:
    """Milliseconds of processor time on one thread for one more id after a prefix, read by the project's own reader:
    the median over `DECODED` ids, and over rounds in which contestants take turns."""
    torch.set_num_threads(1)
    models = {name: built(one) for name, one in CONTESTANTS.items()}
    found: dict[str, dict[int, list[float]]] = {name: {prefix: [] for prefix in prefixes} for name in models}
    for number in range(rounds):
        for prefix in prefixes:
            for name in models if number % 2 == 0 else reversed(models):
                found[name][prefix].append(_per_id(models[name], prefix))
    return {name: {prefix: statistics.median(each) for prefix, each in own.items()} for name, own in found.items()}


def _per_id(model: Any, prefix: int) -> float:
    from abovo.modeling.generate import ModelReader

    read, draw = ModelReader(model), torch.Generator().manual_seed(prefix)
    ids = torch.randint(ROWS, (1, prefix), generator=draw)
    logits, took = read(ids), []
    for _ in range(DECODED):
        chosen = logits.argmax(-1, keepdim=True)
        before = time.process_time()
        logits = read(chosen)
        took.append((time.process_time() - before) * 1e3)
    return statistics.median(took)


@torch.inference_mode()
def trajectory(model: Any, ids: torch.Tensor, steps: int | None = None) -> torch.Tensor:
    """Root mean squares of x - mu and of v over ids and channels, [blocks, T, 2], as `ids` [rows, length] go through
    an INL model; with `steps` every block integrates so many in place of its T."""
    inner, shipped = model.model, model.config.integration_steps
    model.config.integration_steps = steps or shipped
    sight, positions = inner.sight(ids, None, None, None)
    x, found, counted = inner.begin(ids, positions), [], torch.ones_like(ids, dtype=torch.bool)
    for block in inner.layers:
        after, measured = block(x, sight, counted=counted)
        if steps:  # the stream itself goes on as it does in use
            model.config.integration_steps = shipped
            after, _ = block(x, sight)
            model.config.integration_steps = steps
        found.append((measured[:, :2] / ids.numel()).sqrt())
        x = after
    model.config.integration_steps = shipped
    return torch.stack(found)


def draw(trajectories: Mapping[str, Mapping[str, torch.Tensor]], path: Path) -> None:
    """A figure of both norms over depth and steps: rows x - mu and v, a column for each shape, a line for each of its
    weights ("initial", "trained"; several of one kind are told by a number)."""
    from matplotlib.figure import Figure

    from abovo.reporting.figures import save, style

    with style():
        figure = Figure(figsize=(7.2, 4.4))
        panels = figure.subplots(2, len(trajectories), sharex="col", sharey="row", squeeze=False)
        for column, (name, lines) in enumerate(trajectories.items()):
            for label, values in lines.items():
                blocks, steps, _ = values.shape
                colour = COLOURS[label.split()[0]]
                for row in range(2):
                    for block in range(blocks):
                        places = [block + (step + 1) / steps for step in range(steps)]
                        panels[row, column].plot(
                            places, values[block, :, row], color=colour, marker="o", markersize=2.5, linewidth=1.1,
                            label=label if block == 0 else None,
                        )  # fmt: skip
            panels[0, column].set_title(name, loc="left")
            panels[1, column].set(xlabel="blocks, in each its steps", yscale="log")
        for row, quantity in enumerate(("|x - mu| / sqrt(D)", "|v| / sqrt(D)")):
            panels[row, 0].set_ylabel(quantity)
        panels[0, 0].legend(frameon=False)
        save(figure, path)
