"""One generator: what a row becomes depends on its own beginning, the limits and its own random stream alone."""

import math
from collections import Counter

import pytest
import torch
from small_training import integrators, shape

from abovo.modeling.build import build_model
from abovo.modeling.family import FAMILIES, Step, shape_of
from abovo.modeling.generate import Drawing, Limits, ModelReader, StockReader, reads_on, steps, write
from abovo.modeling.llama import Llama

ATTENTION = pytest.param("attention", marks=pytest.mark.slow)
BEGINNINGS = [[20, 21, 22], [7], [90, 12, 55, 31, 8, 77, 64], [20, 21, 22, 23, 24]]
LIMITS = Limits(new_tokens=9, context=40, stops=())


class Forgetful(Llama):
    """A family that keeps nothing between steps."""

    def step(self, model, ids, cache=None, *, keep=False):
        assert cache is None
        return Step(super().step(model, ids).hidden)


FORGETFUL = Forgetful()


@pytest.fixture(params=["qwen3", "llama", "odd", "causal_mean", ATTENTION])
def model(request, monkeypatch):
    """Of attention and recurrent, in float64, where two ways to one logit part by 1e-14, with logits far apart."""
    monkeypatch.setitem(FAMILIES.entries, "odd", "odd_family:ODD")
    return large(request.param)


def large(family):
    if family == "odd":
        settings = shape_of({"family": "odd", "width": 16, "inner": 24})
    else:
        settings = shape(family=family) if family in FAMILIES else integrators(family)
    model = build_model(settings, 128, 64, seed=1).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
    return model


def drawing(*seeds, **values):
    return Drawing([torch.Generator().manual_seed(seed) for seed in seeds], **values)


def ids(written):
    return [one.ids for one in written]


def whole_prefix_again(model):
    """Logits by the library's own forward pass over all that was read so far, without a cache."""
    read = []

    @torch.no_grad()
    def reader(new):
        read.append(new)
        return model(input_ids=torch.cat(read, 1)).logits[:, -1]

    return reader


def test_batch_gives_what_each_beginning_gives_alone(model):
    together = write(ModelReader(model), BEGINNINGS, LIMITS)
    alone = [write(ModelReader(model), [beginning], LIMITS)[0] for beginning in BEGINNINGS]
    assert together == alone
    assert len({tuple(one) for one in ids(together)}) == len(BEGINNINGS)


@pytest.mark.parametrize("draws", [None, (1, 2, 3, 4)])
def test_cached_reading_gives_what_the_whole_prefix_gives(model, draws):
    cached, whole = (
        write(read, BEGINNINGS, LIMITS, drawing(*draws) if draws else None)
        for read in (ModelReader(model), whole_prefix_again(model))
    )
    assert cached == whole


def test_family_that_keeps_nothing_reads_the_whole_prefix_again(monkeypatch):
    model = large("llama")
    kept = ModelReader(model)
    expected = write(kept, BEGINNINGS, LIMITS)
    assert kept.cache is not None
    monkeypatch.setitem(FAMILIES.entries, "llama", f"{__name__}:FORGETFUL")
    reader = ModelReader(model)
    assert write(reader, BEGINNINGS, LIMITS) == expected
    assert reader.cache is None and reader.family is FORGETFUL


@pytest.mark.parametrize("family", ["qwen3", "llama", "causal_mean", "attention"])
def test_greedy_is_the_librarys_own_generation(family):
    model = large(family)
    for beginning, own in zip(BEGINNINGS, write(ModelReader(model), BEGINNINGS, LIMITS), strict=True):
        row = torch.tensor([beginning])
        made = model.generate(
            row,
            attention_mask=torch.ones_like(row),
            do_sample=False,
            max_new_tokens=9,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert made[0, len(beginning) :].tolist() == own.ids
        top = model(input_ids=made).logits[0, len(beginning) - 1 : -1].topk(2).values
        assert (top[:, 0] - top[:, 1]).min() > 1e-6  # no choice here hangs on rounding


def test_drawn_rows_follow_from_their_seeds_and_from_no_other_row(model):
    values = {"temperature": 1.5, "top_k": 30, "top_p": 0.9}
    first, again, others = (
        ids(write(ModelReader(model), BEGINNINGS, LIMITS, drawing(*seeds, **values)))
        for seeds in ((1, 2, 3, 4), (1, 2, 3, 4), (1, 7, 3, 9))
    )
    assert first == again
    assert [one == other for one, other in zip(first, others, strict=True)] == [True, False, True, False]
    alone = [
        write(ModelReader(model), [beginning], LIMITS, drawing(seed, **values))[0].ids
        for beginning, seed in zip(BEGINNINGS, (1, 2, 3, 4), strict=True)
    ]
    assert first == alone


def test_drawing_moves_no_random_stream_but_its_own(model):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    write(ModelReader(model), BEGINNINGS, LIMITS, drawing(1, 2, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stop_ends_its_row_while_the_others_go_on(model):
    free = ids(write(ModelReader(model), BEGINNINGS, LIMITS, drawing(1, 2, 3, 4)))
    stop = next(one for one in free[0][1:] if one not in free[0][:1] and not all(one in row for row in free))
    found = write(ModelReader(model), BEGINNINGS, Limits(9, 40, (stop,)), drawing(1, 2, 3, 4))
    assert found[0].stop == stop
    for row, one in zip(free, found, strict=True):
        end = row.index(stop) if stop in row else len(row)
        assert (one.ids, one.stop) == (row[:end], stop if stop in row else None)
    assert any(one.stop is None for one in found)


def test_limits_hold_for_new_ids_and_for_all_of_a_row(model):
    found = write(ModelReader(model), BEGINNINGS, Limits(new_tokens=9, context=10, stops=()))
    assert [len(one.ids) for one in found] == [7, 9, 3, 5]
    long = list(range(20, 60))
    cut = write(ModelReader(model), [long, long[-9:]], Limits(new_tokens=9, context=10, stops=()))
    assert len(cut[0].ids) == 1 and cut[0] == cut[1]


def test_ids_come_as_they_are_written(model):
    expected = write(ModelReader(model), BEGINNINGS, LIMITS)
    found, rows = [[] for _ in BEGINNINGS], []
    for step in steps(ModelReader(model), BEGINNINGS, LIMITS):
        rows.append(sorted(step))
        for row, following in step.items():
            found[row].append(following)
    assert found == ids(expected)
    # the shortest beginning is continued while the others are still read
    assert rows[0] == [1] and [0, 1] in rows and [0, 1, 2, 3] in rows


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.6}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_k": 3, "top_p": 0.45}, [4 / 7, 3 / 7, 0, 0]),  # 0.4 of the three's 0.9 is less than 0.45
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"temperature": 1e-4}, [1, 0, 0, 0]),
        ({"top_k": 1}, [1, 0, 0, 0]),
    ],
)
def test_ids_are_drawn_with_their_probabilities(values, expected):
    """Within five standard deviations of what 2,000 draws from a fixed seed give."""
    logits = torch.tensor([0.2, 0.4, 0.1, 0.3], dtype=torch.float64).log()
    one, count = drawing(3, **values), 2000
    drawn = Counter(one.choose(logits, 0) for _ in range(count))
    for following, share in zip([1, 3, 0, 2], expected, strict=True):
        assert abs(drawn[following] / count - share) <= 5 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("values", [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": 0}])
def test_drawing_that_means_nothing_is_refused(values):
    with pytest.raises(ValueError, match="temperature must be at least 0, top_p in"):
        drawing(1, **values)


@pytest.mark.parametrize("family", ["qwen3", "llama", "causal_mean", ATTENTION])
def test_repetition_penalty_is_the_librarys(family):
    model = large(family)
    for beginning in BEGINNINGS:
        held = drawing(temperature=0, repetition_penalty=1.7)
        own = write(ModelReader(model), [beginning], LIMITS, held)[0].ids
        row = torch.tensor([beginning])
        how = {"do_sample": False, "repetition_penalty": 1.7, "eos_token_id": None, "pad_token_id": 0}
        made = model.generate(row, attention_mask=torch.ones_like(row), max_new_tokens=9, **how)
        assert made[0, len(beginning) :].tolist() == own
        assert own != write(ModelReader(model), [beginning], LIMITS)[0].ids


def test_temperature_of_zero_is_greedy(model):
    assert write(ModelReader(model), BEGINNINGS, LIMITS, drawing(temperature=0)) == write(
        ModelReader(model), BEGINNINGS, LIMITS
    )


def test_class_of_another_reads_on_only_if_it_kept_what_it_needs(gpt2):
    model, beginnings = gpt2.model, [[20, 21, 22, 9], [7, 8]]
    assert reads_on(model, 640)
    kept, whole = (write(StockReader(model, keeps), beginnings, LIMITS) for keeps in (True, False))
    assert kept == whole

    class Forgets(type(model)):
        def forward(self, input_ids, past_key_values=None, **more):
            found = super().forward(input_ids, **more)
            found.past_key_values = (0,)
            return found

    forgetful = Forgets(model.config).eval()
    forgetful.load_state_dict(model.state_dict())
    assert not reads_on(forgetful, 640)
    assert write(StockReader(forgetful, False), beginnings, LIMITS) == whole
