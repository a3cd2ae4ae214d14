"""Metrics are what their names say, on rows that can be checked by hand."""

import math
from dataclasses import dataclass, field

import pytest

from abovo.config.tasks import METRICS
from abovo.evaluation.measures import MEASURES
from abovo.evaluation.metrics import (
    byte_baselines,
    mean_metrics,
    row_scores,
    set_metrics,
    text_baselines,
    written_scores,
)
from abovo.evaluation.smoke import FORM, form_of, smoke_score

ABOUT = {"protocol": {"how": "x"}, "vocabulary": 600}


@dataclass(frozen=True)
class Asked:
    options: tuple[str, ...] = ()
    gold: int | None = None
    sizes: dict = field(default_factory=dict)
    answer: str | None = None


@dataclass(frozen=True)
class Likely:
    log_likelihood: float
    greedy: bool = False
    tokens: int = 1


def row(kind, item, *likely, id="0", **more):
    scored = [one if isinstance(one, Likely) else Likely(one) for one in likely]
    options = [{"tokens": one.tokens} for one in scored]
    return {"id": id, "options": options, "gold": item.gold, "scores": row_scores(kind, item, scored), **more}


def test_bits_and_perplexities_of_documents_are_sums_over_sums():
    rows = [
        row("rolling", Asked(("abcd",), sizes={"bytes": 4, "words": 1}), Likely(-4 * math.log(2), tokens=2), id="0",
            source="a"),
        row("rolling", Asked(("é" * 8,), sizes={"bytes": 16, "words": 3}), Likely(-32 * math.log(2), tokens=10), id="1",
            source="b"),
    ]  # fmt: skip
    found = set_metrics("rolling", rows, ABOUT)
    bits = found["bits_per_byte"]
    assert bits["value"] == pytest.approx(36 / 20) and (bits["n"], bits["bytes"], bits["unit"]) == (2, 20, "documents")
    assert bits["by_source"] == {"a": pytest.approx(1.0), "b": pytest.approx(2.0)}
    expected = {
        "token_perplexity": (2 ** (36 / 12), 600),
        "word_perplexity": (2**9, 256**5),
        "byte_perplexity": (2**1.8, 256),
    }
    for name, (value, uniform) in expected.items():
        assert found[name]["value"] == pytest.approx(value)
        assert list(found[name]["baseline"].values()) == [pytest.approx(uniform)]
    assert found["token_perplexity"]["tokens"] == 12 and found["word_perplexity"]["words"] == 4


def test_accuracies_compare_options_whole_by_character_and_by_byte():
    """The first option is the likeliest, the second one by character and the third one by byte."""
    item = Asked((" ab", " abcd", " éééé"), gold=1)
    found = row_scores("choice", item, [Likely(-3.0), Likely(-4.0), Likely(-5.0)])
    assert found == {
        "accuracy": (0.0, 1.0),
        "accuracy_per_character": (1.0, 1.0),
        "accuracy_per_byte": (0.0, 1.0),
    }
    assert row_scores("choice", Asked(item.options, gold=2), [Likely(-3.0), Likely(-4.0), Likely(-5.0)])[
        "accuracy_per_byte"
    ] == (1.0, 1.0)


def test_accuracy_yes_rate_and_the_measured_majority_of_questions():
    question = lambda gold, *likely, id: row("yes_no", Asked((" no", " yes"), gold), *likely, id=id)  # noqa: E731
    rows = [
        question(1, -2, -1, id="0"),
        question(0, -2, -1, id="1"),
        question(0, -1, -2, id="2"),
        question(0, -3, -1, id="3"),
    ]
    found = set_metrics("yes_no", rows, ABOUT)
    assert found["accuracy"]["value"] == 0.5 and found["yes_rate"]["value"] == 0.75
    assert found["accuracy"]["baseline"] == {"majority answer": 0.75, "chance": 0.5}
    assert found["yes_rate"]["baseline"] == {"share of questions whose answer is yes": 0.25}


def test_chance_is_the_mean_over_rows_with_different_numbers_of_options():
    rows = [
        row("choice", Asked((" a", " b"), 0), -1, -2),
        row("choice", Asked((" a", " b", " c", " d"), 2), *[-1] * 4, id="1"),
    ]
    found = set_metrics("choice", rows, ABOUT)
    assert found["accuracy"]["baseline"] == {"majority answer": 0.5, "chance": 0.375}


def test_row_with_several_right_options_is_guessed_as_often():
    rows = [row("choice", Asked((" a", " b", " c", " d"), 1), *[-1] * 4, id=str(n)) for n in range(2)]
    rows[0]["gold"] = [1, 3]
    assert set_metrics("choice", rows, ABOUT)["accuracy"]["baseline"] == {"majority answer": 1.0, "chance": 0.375}


def test_every_metric_of_every_kind_has_a_baseline_from_its_rows_alone():
    """Rows of lm-eval's tasks come without their texts; a result without a baseline would be refused."""
    for kind in ("rolling", "choice", "yes_no", "minimal_pair", "last_word", "packed_rows", "generation"):
        item = Asked((" a", " b")[: 1 if kind in ("rolling", "last_word") else 2], 0, {"bytes": 5, "words": 1})
        likely = [Likely(-2.0)] * len(item.options)
        scores = {"validation_loss": [2.0, 1]} if kind == "packed_rows" else {"exact_match": [1.0, 1.0]}
        if kind not in ("packed_rows", "generation"):
            scores = row_scores(kind, item, likely)
        one = {"id": "0", "gold": 0, "options": [{"tokens": 1}] * len(item.options), "scores": scores}
        assert all(entry["baseline"] for entry in set_metrics(kind, [one, {**one, "id": "1"}], ABOUT).values()), kind


def test_metric_that_may_stand_for_a_task_is_one_that_its_kind_gives():
    for kind, named in METRICS.items():
        item = Asked((" a", " b")[: 1 if kind in ("rolling", "last_word") else 2], 0, {"bytes": 5, "words": 1})
        likely = [Likely(-2.0)] * len(item.options)
        given = written_scores("a", "a") if kind == "generation" else row_scores(kind, item, likely)
        assert set(named) == {name for name in given if MEASURES[name].better}, kind


def test_questions_of_one_document_share_their_interval():
    rows = [row("choice", Asked((" a", " b"), n % 2), -1, -2, id=str(n), document=str(n // 4)) for n in range(40)]
    alone = [{**one, "document": None} for one in rows]
    shared, apart = (set_metrics("choice", some, ABOUT)["accuracy"] for some in (rows, alone))
    assert "over 10 documents" in shared["interval_method"] and apart["interval_method"] == "Wilson"


def test_equal_likelihoods_of_a_pair_count_half_whichever_stands_first():
    pair = Asked(("good", "bad"), gold=0)
    assert [
        row_scores("minimal_pair", pair, [Likely(a), Likely(b)])["accuracy"][0]
        for a, b in ((-1, -2), (-2, -1), (-3, -3))
    ] == [1.0, 0.0, 0.5]
    rows = [row("minimal_pair", pair, -1, -1, id=str(n)) for n in range(4)]
    found = set_metrics("minimal_pair", rows, ABOUT)["accuracy"]
    assert found["value"] == 0.5 and found["baseline"] == {"chance": 0.5} and found["unit"] == "pairs"


def test_last_words_have_a_perplexity_and_the_most_frequent_word_to_beat():
    items = [Asked((f" {word}",), 0) for word in ("door", "door", "Helen", "sea")]
    rows = [row("last_word", item, Likely(-math.log(8), n == 0, tokens=2), id=str(n)) for n, item in enumerate(items)]
    found = set_metrics("last_word", rows, ABOUT | {"baselines": text_baselines("last_word", items)})
    assert found["accuracy"]["value"] == 0.25 and found["accuracy"]["baseline"] == {
        "uniform over the vocabulary": pytest.approx(600.0**-2), "most frequent last word": 0.5,
    }  # fmt: skip
    assert found["word_perplexity"]["value"] == pytest.approx(8)
    assert found["word_perplexity"]["baseline"] == {"uniform over the vocabulary": 600.0**2}


def test_written_answers_match_whole():
    assert written_scores(" 42\n", "42")["exact_match"] == (1.0, 1.0)
    assert written_scores("42 or so", "42")["exact_match"] == (0.0, 1.0)
    told = {text: written_scores(text, "No.", ("Yes.", "No.")) for text in ("No.\n", "Yes.", "No. Yes.")}
    assert [(one["exact_match"][0], one["offered"][0]) for one in told.values()] == [(1, 1), (0, 1), (0, 0)]


def test_byte_baselines_are_those_of_the_text():
    found = byte_baselines([b"ab" * 500, b"ab" * 500])
    assert found["uniform over bytes"] == 8.0
    assert found["entropy of the same text's byte frequencies"] == pytest.approx(1.0)
    assert 0 < found["zstd level 19 on the same text"] < 1


def test_task_of_several_sets_has_their_unweighted_mean():
    pair = Asked(("good", "bad"), gold=0)
    sets = {
        "a": set_metrics("minimal_pair", [row("minimal_pair", pair, -1, -2, id=str(n)) for n in range(30)], ABOUT),
        "b": set_metrics(
            "minimal_pair", [row("minimal_pair", pair, -(n % 2) - 1, -1.5, id=str(n)) for n in range(10)], ABOUT
        ),
    }
    found = mean_metrics(sets)["accuracy"]
    assert found["value"] == pytest.approx(0.75) and found["n"] == 40 and found["sets"] == 2
    assert found["interval"][0] > sets["b"]["accuracy"]["interval"][0] and found["baseline"] == {"chance": 0.5}


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
    assert score["form"]["form_ends_its_turn"] == 0.75


def test_repetition_is_counted_within_each_text_and_a_loop_is_told():
    written = [
        {"text": "the sea the sea the sea the s", "ended": False},
        {"text": "so it is, it is, and it ends", "ended": True},
        {"text": "no no no", "ended": True},
        {"text": "", "ended": False},
    ]
    form = form_of(written)
    assert form["form_distinct_1"] == pytest.approx((3 / 8 + 5 / 8 + 1 / 3) / 3)
    assert form["form_distinct_3"] == pytest.approx((3 / 6 + 1 + 1) / 3)
    assert form["form_loops"] == 0.5 and form["form_ends_its_turn"] == 0.5
    assert form_of([{"text": "one", "ended": True}])["form_distinct_2"] is None
    assert form.keys() == FORM.keys()
    assert not any(measure.headline and name.startswith("form") for name, measure in MEASURES.items())
