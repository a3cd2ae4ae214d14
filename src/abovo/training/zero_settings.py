"""Turn a recipe, an engine and the number of processes into DeepSpeed's settings, as its JSON has them.

The engine is started with what is returned here, and the same is kept as `deepspeed.json` beside the model.
"""

from dataclasses import dataclass
from typing import Any

from abovo.settings.engine import Engine
from abovo.settings.training import Training
from abovo.training.amounts import BUCKET
from abovo.training.engines import micro_batch


@dataclass(frozen=True)
class Passes:
    """How a process goes through its part of a global batch: `number` forward and backward passes of `rows` rows
    (sequences), of which the last may have fewer."""

    rows: int
    number: int


def passes(rows: int, processes: int, at_once: int) -> Passes:
    """The passes of each process for a global batch of `rows` rows, at most `at_once` at a time.

    Each process has equally many rows, filled up with rows that count nothing where `processes` does not divide them.
    """
    part = -(-rows // processes)
    at_once = min(at_once, part)
    return Passes(at_once, -(-part // at_once))


def zero_settings(recipe: Training, engine: Engine, processes: int, rows: int, trained: int) -> dict[str, Any]:
    """DeepSpeed's settings for global batches of `rows` rows (sequences) and `trained` parameters.

    `recipe.precision` is resolved; of fp32 DeepSpeed has no section. The batch is never fixed here: DeepSpeed reckons
    its own from micro-batch, passes and processes. All batches of a run have equally many rows, so the passes are those
    of every step. Key by key: https://www.deepspeed.ai/docs/config-json/
    """
    step = passes(rows, processes, micro_batch(recipe))
    zero: dict[str, Any] = {
        "stage": int(engine.strategy.removeprefix("zero")),
        "reduce_bucket_size": min(BUCKET, trained),
    }
    if engine.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu"}
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": step.rows,
        "gradient_accumulation_steps": step.number,
        "gradient_clipping": recipe.gradient_clip or 0.0,
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
    }
    if recipe.precision != "fp32":
        settings |= {recipe.precision: {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}}
    if recipe.precision == "fp16":
        settings["fp16"]["loss_scale"] = 1.0  # a constant one: LossScale changes it
    return settings
