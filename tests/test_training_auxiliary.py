"""Auxiliary losses enter the gradient by their weight at the step, as the formula says, and no reported loss."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rounding import TIGHT
from small_training import (
    CPU,
    ENGINE,
    ROWS,
    SHORT,
    WORLD,
    Killed,
    changed,
    counting_batch,
    fit,
    integrators,
    recipe,
    small_model,
)

from abovo.config.jobs import job_settings
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.modeling.build import build_model
from abovo.modeling.family import family_of
from abovo.settings.keys import build
from abovo.settings.training import Auxiliary
from abovo.settings.tuning import Adapters
from abovo.training.adapters import add_adapters
from abovo.training.engines import build_engine
from abovo.training.loss import SummedLoss
from abovo.training.schedule import auxiliary_weights
from abovo.training.state import open_state

WEIGHTS = {"energy": 0.3, "distance": 0.7}
LENGTH, VOCABULARY = 16, 128


def model_of(context="causal_mean", **changes):
    return build_model(integrators(context, **changes), VOCABULARY, LENGTH, seed=1).train()


def uneven(auxiliary=WEIGHTS, cut=False):
    """Of which not all targets count; with `cut` some rows hold two texts."""
    batch = counting_batch(3)
    counts, firsts = torch.rand(batch.ids.shape, generator=torch.Generator().manual_seed(1)) < 0.6, None
    if cut:
        firsts = torch.zeros_like(counts)
        firsts[::3, 6] = True
    return replace(batch, counts=counts, firsts=firsts, auxiliary=auxiliary)


def by_hand(model, batch):
    """(9) and (10) from equations (1) to (8), written out: what the losses sum to at the ids before targets that
    count, and what is minimised."""
    inner, config, counts = model.model, model.config, batch.counts[:, 1:]
    sight, positions = inner.sight(batch.ids, None, None, None)
    x, sums = inner.begin(batch.ids, positions), {"distance": 0.0, "speed": 0.0, "energy": 0.0}
    for block in inner.layers:
        u, own = block.integrator_norm(x), block.integrator
        h = block.context(u if block.context_norm is None else block.context_norm(x), sight)
        state, v, net = u, torch.zeros_like(u), own.controllers
        for t in range(config.integration_steps):
            hidden = (net.enter_context(h) + net.enter_state(state) + net.enter_velocity(v)).relu()
            alpha, beta, gate, pull = (m(part) for m, part in zip(net.leave, hidden.chunk(4, -1), strict=True))
            beta, rest = torch.nn.functional.softplus(beta), state - own.mu
            near = torch.exp(-config.kappa * (rest.square().mean(-1, keepdim=True) + 1e-12).sqrt())
            alpha = alpha.sigmoid() * (1 - near)
            wave = config.excitation * torch.sin(t * own.gamma + own.phi)
            v = alpha * v + (1 - alpha) * pull - beta * rest + wave
            state = state + config.step_size * gate.sigmoid() * v
            away, fast = (state - own.mu) ** 2, v**2
            found = {"distance": away, "speed": fast, "energy": (fast + beta * away) / 2}
            for name, values in found.items():
                mean = values.mean(-1)[:, :-1][counts].sum()
                sums[name] += mean / (config.integration_steps * config.num_hidden_layers)
        x = x + state
        x = x + block.down_proj(torch.nn.functional.gelu(block.up_proj(block.feed_forward_norm(x))))
    scores = torch.nn.functional.linear(inner.norm(x), model.get_output_embeddings().weight)[:, :-1][counts]
    plain = torch.nn.functional.cross_entropy(scores, batch.ids[:, 1:][counts], reduction="sum")
    return plain, sums, plain + sum(weight * sums[name] for name, weight in WEIGHTS.items())


@pytest.mark.parametrize("context", ["causal_mean", "attention"])
@pytest.mark.parametrize("how", ["plain", "chunked", "recomputed"])
def test_gradient_is_that_of_the_formula_and_the_value_the_cross_entropy(context, how):
    model = model_of(context, chunk=7 if how == "chunked" else None).double()
    if how == "recomputed":
        family_of(model).recompute_blocks(model)
    with torch.no_grad():
        model.model.layers[1].integrator.mu.normal_()
    batch = uneven()
    plain, sums, minimised = by_hand(model, batch)
    expected = torch.autograd.grad(minimised, list(model.parameters()))
    losses = SummedLoss(model, 0.0)(*batch.arguments(CPU))
    found = torch.autograd.grad(losses[0], list(model.parameters()))
    torch.testing.assert_close(losses.detach(), torch.stack([plain, sums["energy"], sums["distance"]]).detach())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    without = SummedLoss(model, 0.0)(*replace(batch, auxiliary=None).arguments(CPU))
    assert torch.equal(without, losses[:1])


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("cut", [False, True])
def test_micro_batches_change_nothing_but_rounding(rows, cut):
    found = []
    for together in (ROWS, rows):
        model, batch = model_of().double(), uneven(cut=cut)
        engine = build_engine(model, changed(SHORT, micro_batch_sequences=together), WORLD, ENGINE, ROWS)
        losses = engine.gradient(batch, batch.targets)
        found.append([losses, *(parameter.grad.clone() for parameter in model.parameters())])
    assert len(found[0][0]) == 3
    for whole, split in zip(*found, strict=True):
        torch.testing.assert_close(split, whole, rtol=TIGHT, atol=1e-15)


def scheduled(weights, steps=12):
    """Batches with the weights that a recipe's losses have at their steps."""
    losses = recipe(auxiliary=weights).auxiliary
    return lambda k: replace(counting_batch(k), auxiliary=auxiliary_weights(losses, k + 1, steps))


def trained(folder, batch, steps=12):
    """What a model becomes, and its rows; it goes on from the checkpoint that is there."""
    model = model_of()
    with open_state(folder, {}, 0) as state:
        rows = fit(model, steps, state, batch, changed(SHORT, micro_batch_sequences=ROWS))
    return [parameter.detach() for parameter in model.parameters()], [row for row in rows if "loss" in row]


def dies(batch):
    """The same batches up to the eighth, which kills."""

    def read(k):
        if k == 7:
            raise Killed
        return batch(k)

    return read


def test_weight_zero_is_none_and_a_resume_is_bit_equal(tmp_path):
    without, plain = trained(tmp_path / "none", counting_batch)
    nothing, rows = trained(tmp_path / "zero", scheduled({"distance": {"weight": 0}}))
    assert rows == plain and all(map(torch.equal, nothing, without))
    rising = {"distance": {"weight": 2.0, "schedule": {"kind": "cosine", "warmup_steps": 8}}, "speed": {"weight": 0.1}}
    whole, rows = trained(tmp_path / "whole", scheduled(rising))
    with pytest.raises(Killed):
        trained(tmp_path / "again", dies(scheduled(rising)))
    again, resumed = trained(tmp_path / "again", scheduled(rising))
    assert resumed == rows and all(map(torch.equal, whole, again))
    assert not any(map(torch.equal, whole, without)) and rows[0]["loss"] == plain[0]["loss"]
    assert 0 < rows[-1]["auxiliary/distance"] < rows[0]["auxiliary/distance"]
    assert all(row["auxiliary/speed"] > 0 for row in rows)


def test_weights_follow_their_schedules():
    losses = {
        "distance": Auxiliary(weight=0.5),
        "speed": build(Auxiliary, {"weight": 2, "schedule": {"kind": "wsd", "warmup_steps": 4, "decay_share": 1}}),
        "energy": Auxiliary(weight=0),
    }
    found = [auxiliary_weights(losses, step, 12) for step in range(1, 13)]
    assert all("energy" not in weights and weights["distance"] == 0.5 for weights in found)
    assert [weights["speed"] for weights in found[:5]] == [0.5, 1, 1.5, 2, 2] and found[-1]["speed"] == 0.25


def test_adapters_learn_from_an_auxiliary_loss_too():
    adapted = add_adapters(model_of(), Adapters(rank=2, alpha=4, dropout=0.0), seed=1)
    engine = build_engine(adapted, SHORT, WORLD, ENGINE, ROWS)
    norms = []
    for weight in (0.0, 50.0):
        batch = uneven({"speed": weight} if weight else None)
        engine.gradient(batch, batch.targets)
        norms.append(engine.clip(None).item())
        engine.optimizers.zero_grad()
    assert 0 < norms[0] < norms[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("nano.training.auxiliary.distance.weight=1", r"nano.*family qwen3 has no auxiliary loss called 'distance'"),
        ("inl-nano.training.auxiliary.mass.weight=1", r"no auxiliary loss called 'mass'.*distance, speed, energy"),
        (
            "inl-nano.training.auxiliary.speed.weight=-1",
            r"training.auxiliary.speed.weight: -1 is less than the minimum",
        ),
        ("inl-nano.training.auxiliary.speed.schedule.kind=step", r"speed"),
        ("inl-nano.training.auxiliary.speed=0.1", r"0.1 is not of type 'object'"),
        ("nano.sft.training.auxiliary.speed.weight=1", r"family qwen3 has no auxiliary loss called 'speed'"),
    ],
)
def test_losses_that_a_family_has_not_and_odd_values_are_refused(change, said):
    name, _, rest = change.partition(".")
    with pytest.raises(AbovoError, match=said):
        job_settings(
            Configuration(Path("config"), change), "sft" if rest.startswith("sft") else "pretrain", {"run": name}
        )
    with pytest.raises(AbovoError, match="qwen3 has no auxiliary loss"):
        build_engine(small_model(), recipe(auxiliary={"speed": {"weight": 1}}), WORLD, ENGINE, ROWS)


@pytest.mark.parametrize(("job", "stage"), [("plan", "sft"), ("sft", "sft"), ("plan", "cpt"), ("cpt", "cpt")])
def test_a_loss_that_a_later_stage_cannot_have_is_blamed_on_the_call_by_plans_too(job, stage):
    run, key = {"sft": "nano", "cpt": "quebec-nano"}[stage], f"{stage}.training.auxiliary.speed.weight"
    with pytest.raises(AbovoError, match="family qwen3 has no auxiliary loss called 'speed'") as told:
        job_settings(Configuration(Path("config"), f"{run}.{key}=1"), job, {"run": run})
    assert told.value.where.startswith(f"--config set, {run}.{key} (with config/runs/{run}.yaml")


def test_a_call_gives_a_run_auxiliary_losses():
    found = Configuration(Path("config"), "inl-nano.training.auxiliary.speed.weight=0.1")
    told = job_settings(found, "pretrain", {"run": "inl-nano"})["training"]["auxiliary"]
    assert told["speed"]["weight"] == 0.1 and told["speed"]["schedule"]["kind"] == "constant"
