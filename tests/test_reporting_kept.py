"""A list and a curve show what models on the way score, with intervals, and what could not be had."""

import pytest

from abovo.reporting.kept import curves, markdown
from abovo.reporting.learning import draw_curves, page


def share(value, **more):
    entry = {"value": value, "interval": [value - 0.01, value + 0.01], "n": 500, "unit": "pairs"}
    return {**entry, "baseline": {"chance": 0.5}, **more}


def models(words=True):
    """Three models that learn; the second was scored while a task was out of reach."""
    listed = []
    for number, amount in enumerate((10**6, 10**7, 10**8)):
        metrics = {
            "blimp_fast.passive_1.accuracy": share(0.5 + 0.05 * number),
            "blimp_fast.accuracy": share(0.52 + 0.1 * number),
            "validation.bits_per_byte": share(2.0 - 0.4 * number, interval=None, baseline={}, unit="documents"),
        }
        absent = {}
        if number == 1:
            del metrics["blimp_fast.accuracy"], metrics["blimp_fast.passive_1.accuracy"]
            absent = {"blimp_fast": "evaluation_data/fast_eval does not exist <sorry>"}
        listed.append(
            {"name": f"chck_{amount // 10**6}M", "step": 10 * amount, "tokens": 2 * amount, "metrics": metrics,
             "words": amount if words else None, "absent": absent}
        )  # fmt: skip
    return listed


def test_metrics_worth_a_line_are_those_of_whole_tasks():
    assert [name for name, _ in curves(models())] == ["validation.bits_per_byte", "blimp_fast.accuracy"]


def test_list_has_a_row_for_each_model_and_the_reason_for_each_gap():
    lines = markdown(models()).splitlines()
    assert lines[0] == "| model | step | tokens | words | bits per byte | accuracy on blimp_fast |"
    assert lines[2] == "| chck_1M | 10,000,000 | 2,000,000 | 1,000,000 | 2 | 0.52 (0.51 to 0.53) |"
    assert lines[3].endswith("| 10,000,000 | 1.6 |  |")
    assert lines[-1] == "* blimp_fast is absent: evaluation_data/fast_eval does not exist <sorry>"


def test_page_says_the_same_with_what_is_markup_in_it_told_as_text():
    text = page(models(), "a & b")
    assert "<h1>a &amp; b</h1>" in text and "<td>0.52 (0.51 to 0.53)</td>" in text
    assert "blimp_fast is absent: evaluation_data/fast_eval does not exist &lt;sorry&gt;" in text


@pytest.mark.parametrize("words", [True, False])
def test_figure_is_the_same_file_each_time_and_says_what_is_counted(tmp_path, words):
    for name in ("one.svg", "two.svg"):
        draw_curves(models(words), "a run, learning curve", tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert f"{'words' if words else 'tokens'} seen, repeated ones each time" in text
    assert "accuracy on blimp_fast" in text and "bits per byte" in text and "passive_1" not in text


def test_list_without_scores_has_the_amounts_alone(tmp_path):
    bare = [{name: value for name, value in one.items() if name != "metrics"} for one in models()]
    assert markdown(bare).splitlines()[0] == "| model | step | tokens | words |"
    draw_curves(bare, "nothing measured", tmp_path / "figure.svg")
