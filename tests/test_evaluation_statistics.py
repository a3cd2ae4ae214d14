"""Intervals hold what they promise, and a difference is claimed only where rows of both models carry it."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import binomtest, t, ttest_rel

from abovo.errors import AbovoError
from abovo.evaluation.measures import MEASURES
from abovo.evaluation.paired import exact_test, paired_difference, tango
from abovo.evaluation.statistics import (
    Z95,
    Scores,
    combined,
    effective,
    proportion_interval,
    ratio_interval,
    spread,
    wilson,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from interval_coverage import INTERVALS, coverage

ACCURACY, BITS, PERPLEXITY = (MEASURES[name] for name in ("accuracy", "bits_per_byte", "token_perplexity"))


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (137, 300)])
def test_wilson_interval_is_scipys(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_interval_of_bits_per_byte_covers_where_the_percentile_bootstrap_does_not():
    """Of 95 % intervals over documents of unequal lengths about 95 in 100 hold the truth; of percentiles far fewer."""
    random, ways = np.random.default_rng(11), {name: INTERVALS[name] for name in ("ours", "percentile")}
    samples = ((5, 500, 1.0), (10, 500, 1.0), (30, 500, 1.2), (62, 500, 1.2), (300, 200, 1.0))
    found = [coverage(random, n, draws, unequal, ways) for n, draws, unequal in samples]
    ours, percentile = ([shares[name] for shares in found] for name in ways)
    assert min(ours) >= 0.92 and 0.94 <= np.mean(ours) <= 0.97, ours
    assert max(percentile[:2]) < 0.85 and max(percentile[2:4]) < 0.9, percentile


def test_interval_of_documents_of_one_length_is_students():
    parts = np.random.default_rng(0).normal(3, 1, 12)
    (low, high), how = ratio_interval(Scores(parts, np.ones(12)))
    expected = t.interval(0.95, 11, parts.mean(), parts.std(ddof=1) / math.sqrt(12))
    assert (low, high) == pytest.approx(expected) and "11 degrees of freedom" in how


def test_one_long_document_among_short_ones_leaves_few_degrees_of_freedom():
    random = np.random.default_rng(0)
    even, odd = np.full(40, 1000.0), np.array([100_000.0, *[1000.0] * 39])
    parts = random.normal(2, 0.3, 40)
    assert spread(Scores(parts * even, even)).freedom == pytest.approx(39)
    assert spread(Scores(parts * odd, odd)).freedom < 2


def test_one_document_has_no_interval_and_no_direction():
    assert ratio_interval(Scores([8.0], [4.0])) == (None, "none: one item alone tells no spread")
    found = paired_difference("wikitext", BITS, Scores([8.0], [4.0]), Scores([4.0], [4.0]))
    assert found.interval is None and found.verdict == "within noise"


def test_questions_of_one_document_count_as_fewer_and_never_as_more():
    """Shares of clusters that are alike: the interval on all rows covers too seldom, that on an effective n does."""
    random, held, naive = np.random.default_rng(3), 0, 0
    grid = np.linspace(-8, 8, 2001)
    truth = np.average(1 / (1 + np.exp(-1.5 * grid)), weights=np.exp(-grid * grid / 2))
    for _ in range(400):
        names = np.repeat(np.arange(30), random.integers(1, 10, 30))
        share = 1 / (1 + np.exp(-1.5 * random.standard_normal(30)))
        right = (random.random(len(names)) < share[names]).astype(float)
        scores = Scores(right.tolist(), [1.0] * len(names), names.tolist())
        assert effective(scores)[0] <= len(names)
        (low, high), how = proportion_interval(scores)
        held += low <= truth <= high
        low, high = wilson(right.sum(), len(names))
        naive += low <= truth <= high
    assert held >= 0.93 * 400 > 0.85 * 400 > naive and "effective n" in how and "30 documents" in how


def test_rows_that_are_all_right_count_as_many_as_their_documents():
    clusters = [number // 5 for number in range(50)]
    (low, high), _ = proportion_interval(Scores([1.0] * 50, [1.0] * 50, clusters))
    assert high == 1 and low == pytest.approx(wilson(10, 10, t.ppf(0.975, 9))[0])
    assert proportion_interval(Scores([1.0] * 50, [1.0] * 50, range(50))) == (wilson(50, 50), "Wilson")


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (3, 7), (40, 60), (1, 9), (9, 1), (6, 0), (500, 560)])
def test_test_of_right_and_wrong_answers_is_mcnemars(won, lost):
    before, after = [1.0] * lost + [0.0] * won + [1.0] * 20, [0.0] * lost + [1.0] * won + [1.0] * 20
    ones = [1.0] * len(before)
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    p, name = exact_test(Scores(before, ones), Scores(after, ones))
    assert p == pytest.approx(expected) and name == "McNemar, exact"
    found = paired_difference("piqa", ACCURACY, Scores(before, ones), Scores(after, ones))
    low, high = found.interval
    assert (found.verdict == "within noise") == (expected >= 0.05) == (low <= 0 <= high)
    assert found.value == pytest.approx((won - lost) / len(ones)) and low <= found.value <= high


@pytest.mark.parametrize(("won", "lost", "n"), [(12, 2, 50), (3, 1, 8), (400, 100, 1000), (0, 5, 60)])
def test_paired_interval_of_shares_ends_where_its_score_test_rejects(won, lost, n):
    """Tango (1998): the score at each end, with the likeliest share of losses there, found by search."""
    for end, expected in zip(tango(won, lost, n, Z95), (Z95, -Z95), strict=True):

        def unlikely(losses, end=end):
            return -(xlogy(won, losses + end) + xlogy(lost, losses) + xlogy(n - won - lost, 1 - 2 * losses - end))

        bounds = (max(0, -end) + 1e-9, (1 - end) / 2 - 1e-9)
        losses = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
        score = (won - lost - n * end) / math.sqrt(n * (2 * losses + end * (1 - end)))
        assert score == pytest.approx(expected, abs=1e-3)
    assert tango(0, 0, 50, Z95) == pytest.approx((-(Z95**2) / (50 + Z95**2), Z95**2 / (50 + Z95**2)))


def test_ties_of_pairs_count_half_and_their_test_is_of_signs():
    """Three ties that become right are half a win each: all eight signings of (.5, .5, .5) are equally likely."""
    before, after = Scores([0.5] * 3 + [1.0] * 5, [1.0] * 8), Scores([1.0] * 8, [1.0] * 8)
    p, _ = exact_test(before, after)
    assert p == pytest.approx(2 / 8)
    # of changes 1, .5, .5 four of eight signings reach 1 or -1 and two of them 2 or -2
    p, name = exact_test(Scores([0, 0.5, 0.5], [1.0] * 3), Scores([1.0] * 3, [1.0] * 3))
    assert p == pytest.approx(2 / 8) and name == "exact test of signs, ties half"
    assert before.value == pytest.approx(6.5 / 8)


def test_a_document_with_many_questions_has_one_vote():
    """Ten rows that all changed, of one document: no more than one coin that fell on one side."""
    before, after = [0.0] * 10 + [1.0] * 30, [1.0] * 40
    clusters = ["a"] * 10 + [str(number) for number in range(30)]
    ones = [1.0] * 40
    alone = paired_difference("yesno", ACCURACY, Scores(before, ones), Scores(after, ones))
    assert (alone.verdict, alone.better) == ("higher", True)
    shared = paired_difference("yesno", ACCURACY, Scores(before, ones, clusters), Scores(after, ones, clusters))
    assert shared.p == 1.0 and shared.verdict == "within noise" and shared.interval[0] <= 0 <= shared.interval[1]


def test_paired_difference_sees_what_two_intervals_hide():
    random = np.random.default_rng(0)
    before = random.normal(3, 1, 200)
    after = before - 0.01 + random.normal(0, 0.02, 200)
    ones = np.ones(200)
    found = paired_difference("x", BITS, Scores(before, ones), Scores(after, ones))
    assert found.interval == pytest.approx(tuple(ttest_rel(after, before).confidence_interval()))
    assert (found.verdict, found.better) == ("lower", True)
    assert ratio_interval(Scores(after, ones))[0][1] > before.mean()
    worse = paired_difference("x", BITS, Scores(after, ones), Scores(before, ones))
    assert (worse.verdict, worse.better) == ("higher", False)


def test_perplexities_are_compared_on_the_log_scale():
    random = np.random.default_rng(0)
    tokens = np.full(50, 100.0)
    nats = random.normal(3, 0.3, 50) * tokens
    later = nats - random.normal(0.1, 0.05, 50) * tokens
    found = paired_difference("x", PERPLEXITY, Scores(nats, tokens), Scores(later, tokens))
    before, after = (math.exp(one.sum() / 5000) for one in (nats, later))
    assert found.value == pytest.approx(after - before) and found.verdict == "lower"
    ends = ttest_rel(later / 100, nats / 100).confidence_interval()
    assert found.interval == pytest.approx(tuple(before * (math.exp(end) - 1) for end in ends))


def test_perplexities_beyond_what_numbers_hold_are_capped_and_told():
    tokens = [1.0, 1.0, 1.0]
    low, high = Scores([1.0, 1.5, 2.0], tokens), Scores([690.0, 699.0, 705.0], tokens)
    for before, after, verdict in ((low, high, "higher"), (high, low, "lower"), (high, high, "within noise")):
        found = paired_difference("x", PERPLEXITY, before, after)
        assert all(map(math.isfinite, (found.value, *found.interval))) and found.verdict == verdict
    assert paired_difference("x", PERPLEXITY, low, high).method.endswith("capped at e^700")
    ends, how = PERPLEXITY.interval(Scores([710.0, 720.0, 730.0], tokens))
    assert ends[1] == PERPLEXITY.value(Scores([720.0], [1.0])) == math.exp(700) and "capped" in how


def test_equal_models_and_other_rounding_are_within_noise():
    parts, ones = np.random.default_rng(0).normal(3, 1, 50), np.ones(50)
    for later in (parts, parts * (1 + 1e-8)):
        found = paired_difference("x", BITS, Scores(parts, ones), Scores(later, ones))
        assert found.verdict == "within noise" and found.better is None


def test_rates_without_a_better_way_have_a_direction_alone():
    ones = [1.0] * 30
    found = paired_difference("yesno", MEASURES["yes_rate"], Scores([0.0] * 30, ones), Scores(ones, ones))
    assert found.verdict == "higher" and found.better is None and "better" not in found.entry()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Scores([1.0], [2.0], None, ["a"]), "2 rows were scored before and 1 after"),
        (Scores([1.0, 1.0], [2.0, 3.0], None, ["a", "c"]), r"row 2 .*id b before, c after"),
        (Scores([1.0, 1.0], [2.0, 4.0], None, ["a", "b"]), r"row 2 .*size 3.0 before, 4.0 after"),
    ],
)
def test_other_rows_are_not_compared(other, said):
    with pytest.raises(AbovoError, match=f"task wikitext: {said}"):
        paired_difference("wikitext", BITS, Scores([1.0, 1.0], [2.0, 3.0], None, ["a", "b"]), other)


def test_mean_of_sets_weighs_each_alike_and_knows_how_well_each_is_known():
    value, (low, high) = combined([0.5, 0.9], [(0.4, 0.6), (0.8, 0.95)], [0.5, 0.5])
    assert value == pytest.approx(0.7)
    assert (value - low, high - value) == pytest.approx((math.hypot(0.05, 0.05), math.hypot(0.05, 0.025)))
