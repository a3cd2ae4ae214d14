"""What a plan says of memory is what training keeps: formulas beside tensors that autograd saves, and what fits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from odd_family import ODD
from small_given import gpt2_folder
from small_training import CPU, changed, integrators, shape, stock_model
from small_training import recipe as recipe_of

from abovo.config.load import load, names
from abovo.errors import AbovoError
from abovo.modeling.build import build_model
from abovo.modeling.family import FAMILIES, base_of, family_of, shape_of
from abovo.modeling.layout import shapes_of
from abovo.planning.given import given_sizes
from abovo.planning.machines import BUDGETS, budgets, fits, place_of, speeds
from abovo.planning.memory import Place, memory, sizes_of
from abovo.settings.engine import Engine
from abovo.settings.hardware import Hardware, Peak
from abovo.training.amounts import MOMENTS
from abovo.training.blocks import prepare_model
from abovo.training.loss import SummedLoss, autocast
from abovo.training.parted import KEPT

CONFIG = Path("config")
WIDE = {"hidden_size": 64, "feed_forward": 160}
SHAPES = {
    "qwen3": lambda layers: shape(**WIDE, layers=layers, heads=4, key_value_heads=2, head_dim=24),
    "llama": lambda layers: shape(**WIDE, layers=layers, heads=4, key_value_heads=2, family="llama"),
    "inl": lambda layers: integrators("causal_mean", **WIDE, layers=layers),
    "inl-attention": lambda layers: integrators("attention", **WIDE, layers=layers, controllers="independent"),
    "inl-chunk": lambda layers: integrators("causal_mean", **WIDE, layers=layers, chunk=8),
}
ENGINE = Engine(kind="torch")
PROCESSOR = {"fp32": Place("fp32", False), "bf16": Place("bf16", False)}
GPU = Place("bf16", True)


def recipe(**changes):
    return recipe_of(**{"batch_tokens": 2**20} | changes)


def kept_bytes(model, length, precision, rows=2):
    """Bytes of the tensors that a forward pass saves for the backward pass, which then is made; no weights."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    found: dict[int, torch.UntypedStorage] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage
        return tensor

    loss, ids = SummedLoss(model, 0.0), torch.arange(rows * length).view(rows, length) % 50
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with autocast(CPU, precision):
            made = loss(ids)
        size = sum(len(storage) for pointer, storage in found.items() if pointer not in own)
        made.backward()
    return size / rows


def per_token(build, precision, own, prepare=prepare_model):
    """Bytes that a block keeps of a token: what a second block adds, and of that what grows with the length."""
    sizes = []
    for layers in (1, 2):
        for length in (32, 64):
            model = build(layers).train()
            prepare(model, own, CPU)
            sizes.append(kept_bytes(model, length, precision))
    return ((sizes[3] - sizes[2]) - (sizes[1] - sizes[0])) / 32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", SHAPES)
def test_blocks_keep_what_the_formula_says(name, precision):
    one, two = (
        memory(sizes_of(SHAPES[name](layers), 128, recipe()), recipe(), 64, ENGINE, PROCESSOR[precision], 2)
        for layers in (1, 2)
    )
    found = per_token(lambda layers: build_model(SHAPES[name](layers), 128, 64, seed=1), precision, recipe())
    told = (two.activations["kept"] - one.activations["kept"]) / (2 * 64)
    assert found == pytest.approx(told, rel=0.03)


@pytest.mark.parametrize("name", ["qwen3", "inl"])
def test_blocks_that_are_computed_again_keep_the_stream(name):
    own = recipe(activation_checkpointing=True)
    found = per_token(lambda layers: build_model(SHAPES[name](layers), 128, 64, seed=1), "bf16", own)
    two, three = (
        memory(sizes_of(SHAPES[name](layers), 128, own), own, 64, ENGINE, PROCESSOR["bf16"], 2) for layers in (2, 3)
    )
    assert found == (three.device["activations"] - two.device["activations"]) / (2 * 64) == 4 * 64
    assert two.activations["recomputed"] < two.activations["kept"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3", "inl"])
def test_compiled_blocks_keep_what_the_formula_says(name):
    """torch's compiler says what is kept and what is made again; what it makes of that is no matter here."""

    def prepare(model, own, device):
        torch._dynamo.reset()
        for block in family_of(model).blocks(base_of(model)):
            block.compile(backend="aot_eager_decomp_partition")

    found = per_token(lambda layers: build_model(SHAPES[name](layers), 128, 64, seed=1), "bf16", recipe(), prepare)
    one, two = (
        memory(sizes_of(SHAPES[name](layers), 128, recipe()), recipe(), 64, ENGINE, GPU, 2) for layers in (1, 2)
    )
    assert found == pytest.approx((two.activations["kept"] - one.activations["kept"]) / (2 * 64), rel=0.12)


def test_a_family_of_unusual_make_says_what_it_keeps(monkeypatch):
    monkeypatch.setitem(FAMILIES.entries, "odd", "odd_family:ODD")
    own = shape_of({"family": "odd", "width": 16, "inner": 24})
    sizes = [kept_bytes(build_model(own, 128, 64, seed=1), length, "fp32") for length in (32, 64)]
    kept = ODD.activations(own)
    # the output's states and their gradient are beside the two blocks; a block's weights of means grow with the square
    squares = 2 * 4 * (64**2 - 32**2) / 2 / 32
    assert (sizes[1] - sizes[0]) / 32 == pytest.approx(4 * (2 * kept.single.products + 2 * 16), abs=squares + 8)


def test_a_model_known_by_its_weights_alone_is_near(tmp_path):
    shapes = shapes_of(gpt2_folder(tmp_path))
    sizes = given_sizes(shapes, 0, 0, whole_logits=True)
    model = stock_model()
    assert (sizes.activations.blocks, sizes.activations.stream) == (2, 32) and sizes.vocabulary == 407
    assert sizes.parameters == sum(map(torch.Size.numel, map(torch.Size, shapes.values())))
    lengths = [kept_bytes(model, length, "fp32") for length in (8, 16)]
    logits = 4 * 128  # which the loss keeps
    found = (lengths[1] - lengths[0]) / 8 - 2 * logits
    one = 4 * (sizes.activations.single.products + sizes.activations.single.exact)
    assert found == pytest.approx(2 * one, rel=0.25)


def of(strategy, processes=1, offload=False, **values):
    kind = "deepspeed" if strategy.startswith("zero") else "torch"
    return Engine(kind=kind, strategy=strategy, processes=processes, offload_optimizer=offload, **values)


LARGE = sizes_of(load("models", "inl-3b", CONFIG), 50304, recipe())


@pytest.mark.parametrize(
    ("engine", "weights", "gradients", "optimizer"),
    [
        (of("none"), 6, 4, 8),
        (of("ddp", 2), 6, 4, 8),
        (of("zero1", 2), 2, 6, 6),
        (of("zero2", 2), 2, 2, 6),
        (of("zero2", 4), 2, 1, 3),
        (of("zero2", 1, offload=True), 2, 0, 0),
    ],
)
def test_engines_spread_what_their_strategy_says(engine, weights, gradients, optimizer):
    """Bytes per parameter, as live tensors of two processes were, beside the buffer of gradients on their way."""
    own = recipe(batch_tokens=64 * 4096)
    found = memory(LARGE, own, 4096, engine, GPU, 1).device
    exchanged = 4e8 if engine.kind == "deepspeed" else 0
    assert found["weights"] == weights * LARGE.parameters
    assert found["gradients"] == pytest.approx(gradients * LARGE.parameters + exchanged, abs=8)
    assert found["optimizer"] == pytest.approx(optimizer * LARGE.parameters, abs=16)


def test_parts_of_the_weights_leave_room_for_those_that_are_gathered():
    whole = memory(LARGE, recipe(batch_tokens=2**20), 4096, of("ddp", 4), GPU, 1).device
    for strategy in ("zero3", "fsdp"):
        parts = memory(LARGE, recipe(batch_tokens=2**20), 4096, of(strategy, 4), GPU, 1).device
        assert LARGE.parameters / 2 < parts["weights"] < whole["weights"] / 2
    # FSDP keeps whole gradients while several micro-batches add up
    at_once = memory(LARGE, recipe(batch_tokens=4 * 4096), 4096, of("fsdp", 4), GPU, 1).device
    assert at_once["gradients"] < parts["gradients"] / 3 == 4 * LARGE.parameters / 3


def test_an_offloaded_optimizer_lies_in_the_host():
    found = memory(LARGE, recipe(batch_tokens=2**20), 4096, of("zero2", offload=True), GPU, 1)
    assert {name: size / LARGE.parameters for name, size in found.host.items()} == {
        "weights": 2, "gradients": 8, "optimizer": 12, "checkpoint": 24,
    }  # fmt: skip
    assert found.start == 8 * LARGE.parameters  # DeepSpeed's weights are set from a copy of those that were made


def test_processes_that_do_not_divide_hold_the_larger_part():
    sizes = replace(LARGE, trained=10, moments=20, parameters=10, tables=2)
    found = memory(sizes, recipe(batch_tokens=64), 16, of("zero2", 3), GPU)
    assert found.device["optimizer"] == 4 * (4 + 7) and found.rows_at_once == 2  # of four rows one process has two


def test_moments_are_those_of_the_trainer():
    assert sorted(MOMENTS.values()) == sorted(len(kept) for kept in KEPT.values())
    model = load("models", "tiny", CONFIG)
    muon = recipe(optimizer={"kind": "muon"})
    adamw = sizes_of(model, 128, recipe())
    assert sizes_of(model, 128, muon).moments < adamw.moments == 2 * adamw.parameters


def machine(gigabytes, **peaks):
    return Hardware(
        peak_flops_per_second=Peak(**peaks or {"bf16": 1e14}), utilization=(0.1, 0.5), memory_bytes=gigabytes * 10**9
    )


def test_what_does_not_fit_names_its_largest_part_and_a_mend():
    own = recipe(batch_tokens=64 * 4096, precision="auto", micro_batch_sequences=1)
    engine = of("zero2", offload=True)
    found = fits(LARGE, own, 4096, engine, machine(80))
    assert not found["fits"] and found["usable_bytes"] == 72e9 < found["needed_bytes"]
    assert found["why_not"].endswith("of them activations; training.activation_checkpointing=true would do")
    better = changed(own, activation_checkpointing=True)
    assert fits(LARGE, better, 4096, engine, machine(24))["fits"]
    assert "weights before the first step" in fits(LARGE, better, 4096, engine, machine(12))["why_not"]
    plain = fits(LARGE, better, 4096, of("none"), machine(24))
    assert "of them optimizer" in plain["why_not"] and "would do" not in plain["why_not"]


def test_rows_that_are_measured_are_as_many_as_fit():
    small = sizes_of(load("models", "tiny", CONFIG), 32768, recipe())
    own = recipe(batch_tokens=64 * 1024, precision="auto", micro_batch_sequences="auto")
    rows = [fits(small, own, 1024, ENGINE, machine(size))["rows_at_once"] for size in (1, 4, 24)]
    assert 1 <= rows[0] < rows[1] <= rows[2] == 64
    at_most, beyond = (memory(small, own, 1024, ENGINE, GPU, rows[1] + more).total for more in (0, 1))
    assert at_most <= 3.6e9 < beyond or rows[1] == 64


def test_a_machine_without_a_precision_or_for_another_engine_says_so():
    own = recipe(precision="bf16")
    assert fits(LARGE, own, 16, ENGINE, machine(80, fp16=1e14)) == {"fits": False, "why_not": "has no bf16"}
    offloaded = fits(LARGE, recipe(precision="auto"), 16, of("zero2", offload=True), machine(80, fp16=1e14))
    assert offloaded == {"fits": False, "why_not": "an offloaded optimizer cannot have fp16 (fp16)"}
    assert place_of(machine(8, fp32=1e11), recipe(precision="auto")) == Place("fp32", False)


def test_very_long_rows_take_what_they_take():
    found = memory(LARGE, recipe(batch_tokens=2**30), 2**30, of("zero2", offload=True), GPU)
    assert found.device["activations"] > 10**15
    assert not fits(LARGE, recipe(batch_tokens=2**30), 2**30, ENGINE, machine(141))["fits"]


def test_speed_hours_and_price_of_round_budgets_are_told_of_large_models_alone():
    cards = {name: load("hardware", name, CONFIG) for name in names("hardware", CONFIG)}
    own = recipe(precision="auto")
    assert speeds(1e10, {"one": machine(80)}, own) == {"one": [1000, 5000]}
    told = budgets(LARGE.parameters, 1.5e10, cards, own)
    assert list(told) == list(BUDGETS) == ["10B", "50B", "100B"]
    low, high = told["10B"]["hours"]["h200"]
    assert low == pytest.approx(1.5e20 / 9.89e14 / 0.4 / 3600, rel=0.01) and high > low
    assert told["50B"]["cost_usd"]["h200"][0] == pytest.approx(5 * 3.59 * low, rel=0.01)
    assert budgets(10**9 - 1, 1e9, cards, own) == {}


def test_a_machine_has_to_say_its_memory(tmp_path):
    place = tmp_path / "hardware"
    place.mkdir()
    (place / "card.yaml").write_text("peak_flops_per_second: {bf16: 1.0e14}\nutilization: [0.1, 0.5]\n")
    with pytest.raises(AbovoError, match=r"card\.yaml.*memory_bytes"):
        load("hardware", "card", tmp_path)
