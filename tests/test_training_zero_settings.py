"""DeepSpeed's settings are those of the run: micro-batch, passes, clipping, precision, and what an engine asks for."""

import pytest
from small_training import RECIPE, changed, counting_batch

from abovo.settings.engine import Engine
from abovo.training.world import World
from abovo.training.zero_settings import zero_settings

ZERO2 = Engine(kind="deepspeed", strategy="zero2")


def settings(engine=ZERO2, processes=1, rows=8, trained=1000, **recipe):
    return zero_settings(changed(RECIPE, **recipe), engine, processes, rows, trained)


@pytest.mark.parametrize(
    ("rows", "processes", "at_once"), [(8, 1, 2), (8, 2, 4), (8, 2, 8), (9, 2, 2), (7, 3, 2), (1, 4, 8), (24, 1, 5)]
)
def test_micro_batch_and_passes_are_those_that_each_process_makes(rows, processes, at_once):
    """The trainer's own slices, split as the engine splits them: all ranks go through the model equally often."""
    told = settings(processes=processes, rows=rows, micro_batch_sequences=at_once)
    assert "train_batch_size" not in told
    for rank in range(processes):
        part = counting_batch(0, rows).rows(World(rank, processes, None).slice(rows))
        sizes = [len(piece.ids) for piece in part.split(at_once)]
        assert len(sizes) == told["gradient_accumulation_steps"]
        assert max(sizes) == told["train_micro_batch_size_per_gpu"]


def test_passes_of_an_automatic_micro_batch_are_of_eight_rows():
    told = settings(rows=64, micro_batch_sequences="auto")
    assert (told["train_micro_batch_size_per_gpu"], told["gradient_accumulation_steps"]) == (8, 8)


@pytest.mark.parametrize(("largest", "told"), [(1.0, 1.0), (0.5, 0.5), (None, 0.0)])
def test_clipping_is_the_recipes(largest, told):
    assert settings(gradient_clip=largest)["gradient_clipping"] == told


def test_a_section_stands_for_the_precision_alone():
    assert not {"fp16", "bf16"} & settings().keys()
    half = settings(precision="bf16")
    assert half["bf16"] == {"enabled": True}
    assert "fp16" not in half
    assert half["data_types"] == {"grad_accum_dtype": "fp32"}
    assert settings(precision="fp16")["fp16"] == {"enabled": True, "loss_scale": 1.0}


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("offloads", [False, True])
def test_stage_and_offloading_are_the_engines(stage, offloads):
    engine = Engine(kind="deepspeed", strategy=f"zero{stage}", offload_optimizer=offloads)
    zero = settings(engine)["zero_optimization"]
    assert zero["stage"] == stage
    assert zero.get("offload_optimizer") == ({"device": "cpu"} if offloads else None)


@pytest.mark.parametrize(("trained", "bucket"), [(1000, 1000), (1_698_168_832, 100_000_000)])
def test_a_bucket_is_no_larger_than_what_is_trained(trained, bucket):
    assert settings(trained=trained)["zero_optimization"]["reduce_bucket_size"] == bucket
