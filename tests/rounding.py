"""How far rounding may take two runs apart, said so that it holds on any processor.

Processors add in different orders, and training makes of such a difference a larger one with every step. Where two ways
to the same weights are compared, both go in float64: ten steps of the models here then part by 1e-13, and TIGHT is far
above. Where only a lower precision will do, the bound is measured beside the run: what becomes, in the same steps, of
start weights that are moved by one unit in the last place. docs/log.md has figures; `python tests/rounding.py` prints
those of this machine.
"""

from collections import defaultdict
from functools import partial
from itertools import accumulate

import torch

# Of float64: relative for losses and norms, absolute for weights of about 0.02 to 1.
TIGHT = 1e-9
# Of one pass in float32, which has no steps to grow in: some ten units in the last place (relative).
ONE_PASS = 1e-6
# Of the same rows scored by the trainer and by the evaluation, in float32 (relative).
PROMISED = 1e-5
# Units in the last place (fraction of the value)
FLOAT32, BFLOAT16 = 2.0**-23, 2.0**-8
# Times what one unit in the last place of the first weights comes to.
FACTOR = 10
SHOWN = (1, 2, 5, 10, 20)


def nudged(tensor, generator, unit=FLOAT32):
    """Every element moved up or down by `unit` (fraction of the element)."""
    signs = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
    return tensor * (1 + unit * signs.to(tensor.dtype))


@torch.no_grad()
def nudged_model(model, seed, unit=FLOAT32):
    """The model with all its weights nudged."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.copy_(nudged(parameter, generator, unit))
    return model


def near(found, expected, bound):
    """Whether a tensor misses another by at most `bound` (fraction of its norm)."""
    return bool((found.double() - expected.double()).norm() <= bound * expected.double().norm())


def growth(rows, others):
    """What `others`, runs of nudged weights, came to: for each of the rows, key -> largest distance up to there."""
    reached, found = defaultdict(float), []
    for row, *near in zip(rows, *others, strict=True):
        for key, value in row.items():
            reached[key] = max(reached[key], *(abs(other[key] - value) for other in near))
        found.append({key: reached[key] for key in row})
    return found


def assert_rows_near(found, rows, others):
    """Rows of metrics are as near to those of another way as nudged weights stay."""
    for own, row, reached in zip(found, rows, growth(rows, others), strict=True):
        assert own.keys() == row.keys()
        for key, value in row.items():
            distance, allowed = abs(own[key] - value), max(FACTOR * reached[key], ONE_PASS * abs(value))
            assert distance <= allowed, f"step {row['step']}, {key}: {own[key]} instead of {value} +- {allowed}"


def farthest(weights, other):
    """The largest distance of two weights of the same name."""
    assert weights.keys() == other.keys()
    return max((weights[name].double() - other[name].double()).abs().max().item() for name in weights)


def assert_weights_near(found, weights, others):
    assert farthest(found, weights) <= FACTOR * max(farthest(other, weights) for other in others)


def main():
    from small_training import SHORT, changed, small_model, steps_of

    def distances(one, other):
        return [abs(own[1] - norm) / norm for own, (_, norm) in zip(one, other, strict=True)]

    def run(change=lambda model: model, rows=2):
        return steps_of(change(small_model(layers=3)), changed(SHORT, micro_batch_sequences=rows), 20)

    nudges = [partial(nudged_model, seed=seed) for seed in (1, 2, 3)]
    double = torch.nn.Module.double
    lines = {
        "float32, 3 rows at once and not 2": distances(run(rows=3), run()),
        "float32, weights nudged by 2^-23": map(max, *(distances(run(nudge), run()) for nudge in nudges)),
        "float64, 3 rows at once and not 2": distances(run(double, 3), run(double)),
    }
    print(f"{torch.backends.cpu.get_cpu_capability()}: relative distance of gradient norms, largest up to a step")
    print(f"{'steps':34}", *(f"{step:>8}" for step in SHOWN))
    for name, found in lines.items():
        reached = list(accumulate(found, max))
        print(f"{name:34}", *(f"{reached[step - 1]:8.1e}" for step in SHOWN))


if __name__ == "__main__":
    main()
