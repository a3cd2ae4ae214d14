"""What a run's jobs ask of a node follows from its engine and its plan."""

from pathlib import Path

import pytest

from abovo.config.runs import Configuration
from abovo.planning.placement import LONGEST, evaluation_placement, training_placement


def configured(overrides=""):
    return Configuration(Path("config"), overrides)


def test_the_demonstration_asks_for_what_it_takes():
    """A training of nano was seen to take 0.73 GB on a processor."""
    asked = training_placement(configured("nano.engine.device=cpu"), "nano", "pretrain")
    assert (asked.nodes, asked.gpus) == (1, 0)
    assert 1_000 < asked.memory_mb < 4_000
    assert asked.minutes <= 60


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_processes_stand_on_one_node_with_a_gpu_and_a_program_each(processes):
    strategy = "none" if processes == 1 else "ddp"
    run = configured(f"small.engine.processes={processes},small.engine.strategy={strategy}")
    asked = training_placement(run, "small", "sft")
    assert (asked.nodes, asked.gpus) == (1, processes)
    assert asked.memory_mb > 4_000 * processes


def test_memory_of_the_host_has_what_the_plan_reckons_there():
    """An offloaded optimizer of 3.1B parameters: two moments and a copy in float32."""
    model = "inl-3b.training.optimizer.kind=adamw"
    without = training_placement(configured(f"{model},inl-3b.engine=zero2"), "inl-3b", "pretrain")
    offloaded = training_placement(configured(f"{model},inl-3b.engine=zero2-offload"), "inl-3b", "pretrain")
    assert offloaded.memory_mb - without.memory_mb / 2 > 36_000


def test_time_and_memory_grow_with_each_failure_and_end_at_a_day():
    asked = training_placement(configured(), "small", "pretrain")
    assert asked.minutes == LONGEST
    assert asked.grown(1) == asked
    assert asked.grown(3).memory_mb == 2 * asked.memory_mb and asked.grown(3).minutes == 2 * LONGEST
    bounded = asked.grown(3, most_mb=asked.memory_mb + 100, longest=LONGEST - 60)
    assert (bounded.memory_mb, bounded.minutes) == (asked.memory_mb + 100, LONGEST - 60)


def test_an_evaluation_takes_one_gpu_where_its_run_may_use_one():
    assert evaluation_placement(configured(), "small").gpus == 1
    assert evaluation_placement(configured("small.engine.device=cpu"), "small").gpus == 0


def test_a_stage_with_adapters_holds_less_than_one_of_all_weights():
    whole, adapters = (
        training_placement(configured(f"small.sft.method={method}"), "small", "sft").memory_mb
        for method in ("full", "lora")
    )
    assert adapters < whole
