"""Values, intervals and baselines are what their names say, on cases that can be checked by hand."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from abovo.errors import AbovoError
from abovo.evaluation.generate import smoke_score
from abovo.evaluation.metrics import byte_baselines, choice_metrics, document_metrics, public_metrics
from abovo.evaluation.statistics import Scores, bootstrap, paired_difference, wilson
from abovo.settings.stages import Resampling

FEW = Resampling(bootstrap_draws=200, seed=7)


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (137, 300)])
def test_wilson_interval_is_scipys(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_bootstrap_covers_the_value_and_depends_on_nothing_but_its_seed():
    parts = np.random.default_rng(0).normal(3, 1, 400).tolist()
    scores = Scores(parts, [1.0] * 400)
    low, high = bootstrap(scores, 500, 1)
    assert low < scores.value < high and high - low == pytest.approx(4 * 1 / 20, rel=0.3)
    assert (low, high) == bootstrap(scores, 500, 1) != bootstrap(scores, 500, 2)


def test_paired_difference_sees_what_two_intervals_hide():
    before = np.random.default_rng(0).normal(3, 1, 200)
    change = paired_difference(Scores(before, np.ones(200)), Scores(before - 0.01, np.ones(200)), 500, 1)
    assert change == pytest.approx((-0.01, -0.01), abs=1e-6)
    with pytest.raises(ValueError, match="same items"):
        paired_difference(Scores([1], [1]), Scores([1, 2], [1, 1]), 10, 1)


def sample(number, text, nats, source="a"):
    return {"doc_id": number, "doc": {"text": text, "source": source}, "resps": [[(-nats, False)]]}


def test_bits_per_byte_and_token_perplexity_are_sums_over_sums():
    samples = [sample(0, "abcd", 4 * math.log(2)), sample(1, "é" * 8, 32 * math.log(2), "b")]
    found, scores = document_metrics(samples, [2, 10], 600, {"how": "x"}, FEW)
    bits = found["bits_per_byte"]
    assert bits["value"] == pytest.approx(36 / 20) and bits["n"] == 2 and bits["bytes"] == 20
    assert bits["by_source"] == {"a": pytest.approx(1.0), "b": pytest.approx(2.0)}
    assert found["token_perplexity"]["value"] == pytest.approx(2 ** (36 / 12))
    assert found["token_perplexity"]["baseline"] == {"uniform over the vocabulary": 600.0}
    assert scores.value == pytest.approx(1.8)


def test_byte_baselines_are_those_of_the_text():
    found = byte_baselines([b"ab" * 500, b"ab" * 500])
    assert found["uniform over bytes"] == 8.0
    assert found["entropy of the same text's byte frequencies"] == pytest.approx(1.0)
    assert 0 < found["zstd level 19 on the same text"] < 1


def question(label, *scores):
    return {"target": label, "resps": [[(score, False)] for score in scores], "doc": {}}


def test_accuracy_yes_rate_and_majority_baseline():
    samples = [question(1, -2, -1), question(0, -2, -1), question(0, -1, -2), question(0, -3, -1)]
    found, _ = choice_metrics(samples, {"how": "x"})
    assert found["accuracy"]["value"] == 0.5 and found["yes_rate"]["value"] == 0.75
    assert found["accuracy"]["baseline"] == {"majority answer": 0.75, "chance": 0.5}
    assert found["yes_rate"]["baseline"] == {"share of questions whose answer is yes": 0.25}


def test_four_options_have_no_yes_rate():
    found, scores = choice_metrics([question(2, -4, -3, -1, -2), question(0, -4, -3, -1, -2)], {"how": "x"})
    assert list(found) == ["accuracy"] and list(scores.parts) == [1.0, 0.0]
    assert found["accuracy"]["baseline"]["chance"] == 0.25


def test_public_task_is_recomputed_from_its_samples_beside_its_majority_baseline():
    rows = [
        {**question(1, -2, -1), "acc": 1.0, "filter": "none"},
        {**question(0, -2, -1), "acc": 0.0, "filter": "none"},
        {**question("0", -2, -1), "acc": 0.0, "filter": "none"},
        {**question("0", -1, -2), "acc": 1.0, "filter": "none"},
    ]
    found, _ = public_metrics("boolq", rows, {"version": 2.0}, {"how": "x"}, FEW)
    assert found["accuracy"]["value"] == 0.5 and found["accuracy"]["baseline"] == {
        "majority answer": 0.75,
        "chance": 0.5,
    }
    assert found["second_option_rate"]["value"] == 0.75
    words = [
        {**question("a word", -2, -1, -3), **rows[0], "target": "a word"},
        {**rows[0], "resps": rows[0]["resps"] * 2},
    ]
    found, _ = public_metrics("other", words, {}, {"how": "x"}, FEW)
    assert found["accuracy"]["baseline"] == {"chance": 0.375}
    pages = [{"filter": "none", "bits_per_byte": (-8 * math.log(2), 4)}]
    found, _ = public_metrics("wikitext", pages, {}, {"how": "x"}, FEW)
    assert found["bits_per_byte"]["value"] == pytest.approx(2.0)
    with pytest.raises(AbovoError, match="task odd: neither acc nor bits_per_byte"):
        public_metrics("odd", [{"filter": "none", "exact_match": 1.0}], {}, {}, FEW)


def test_smoke_score_names_form_and_not_quality():
    done = [
        {"text": "Nonsense of the right length", "ended": True},
        {"text": "cut off by the limit", "ended": False},
        {"text": "", "ended": True},
        {"text": "Right.", "ended": True},
    ]
    score = smoke_score(done)
    assert score["value"] == 0.25 and score["n"] == 4
    assert "form only, not quality" in score["measures"]
