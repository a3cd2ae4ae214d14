"""Cleaning keeps what a reader or a compiler sees, and nothing that a tokenizer cannot give back."""

import random

import pytest

from abovo.corpus.clean import clean

ODD = [
    "a",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\v",
    "\x85",
    "\u2028",
    "\ufeff",
    "\x00",
    "\x9f",
    "\u2581",
    "e\u0301",
    "é",
    "中",
    "🙂",
    ".",
]


def test_paragraphs_and_lines_are_kept():
    assert clean("One.\nTwo.\n\nThree.\n\n\nFour.", "prose")[0] == "One.\nTwo.\n\nThree.\n\n\nFour."


def test_more_than_two_blank_lines_become_one():
    assert clean("a\n\n\n\nb\n \n\t\n\n\nc", "prose")[0] == "a\n\nb\n\nc"


def test_line_ends_and_byte_order_marks_become_newlines_and_nothing():
    assert clean("\ufeffa\r\nb\rc\x85d\u2028e\vf", "prose")[0] == "a\nb\nc\nd\ne\nf"


def test_control_characters_go_and_composition_comes_after_that():
    assert clean("a\x00b\x1bc\x7f\x9f", "prose")[0] == "abc"
    assert clean("a\ud800b", "prose")[0] == "ab"
    assert clean("e\x00\u0301", "prose")[0] == "é"


def test_blank_mark_is_replaced_and_counted():
    assert clean("a\u2581b\u2581", "prose") == ("a_b_", 2)


def test_prose_loses_runs_of_blanks_within_lines_but_keeps_verse():
    assert clean("a  b \t c\n    indented  line", "prose")[0] == "a b c\n    indented line"


def test_code_keeps_columns_and_indentation():
    code = "def f(x):\n    return  x   # two\n\tx\ty"
    assert clean(code + "  \n \n", "code")[0] == code


@pytest.mark.parametrize("kind", ["prose", "code"])
def test_cleaning_twice_changes_nothing(kind):
    draw = random.Random(7)
    for _ in range(3000):
        text = "".join(draw.choices(ODD, k=draw.randint(0, 14)))
        once = clean(text, kind)[0]
        assert clean(once, kind) == (once, 0), repr(text)
