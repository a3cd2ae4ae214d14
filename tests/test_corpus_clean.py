"""Cleaning keeps what a reader or a compiler sees, and nothing that a tokenizer cannot give back."""

import random
from unicodedata import combining, decomposition, normalize

import pytest

from abovo.corpus.characters import INVISIBLE, comparable, composed
from abovo.corpus.clean import clean
from abovo.settings.corpus import Cleaning

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
    "\u00ad",
    "\u200b",
    "\u200d",
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


@pytest.mark.parametrize("kind", ["prose", "code", "verbatim"])
def test_cleaning_twice_changes_nothing(kind):
    draw = random.Random(7)
    for _ in range(3000):
        text = "".join(draw.choices(ODD, k=draw.randint(0, 14)))
        once = clean(text, kind)[0]
        assert clean(once, kind) == (once, 0), repr(text)


def test_invisible_places_for_breaks_go_and_joiners_stay():
    assert clean("exam\u00adple ze\u200bro wo\u2060rd \ufeffend", "code")[0] == "example zero word end"
    kept = "می\u200cخواهم क्\u200dष 👩\u200d👧 ❤\ufe0f \u200fא"
    assert clean(kept, "prose")[0] == kept


def test_a_soft_hyphen_or_control_that_was_a_byte_of_a_letter_is_repaired_before_it_could_go():
    repair = Cleaning(repair_encoding=True)
    assert clean("MarÃ\u00ada itâ\x80\x99s â\x80\x9cÃ\x85\u00e5â\x80\x9d", "prose", repair)[0] == "María it’s “Åå”"


def test_long_runs_of_blanks_become_what_short_ones_become():
    blanks = " \t" * 20_000
    assert clean(f"a{blanks}\nb{blanks}c\n{blanks}d{blanks}", "prose")[0] == f"a\nb c\n{blanks}d"
    assert clean(f"a{blanks}\nb{blanks}c{blanks}", "code")[0] == f"a\nb{blanks}c"


def test_long_runs_of_marks_are_composed_as_python_composes_them():
    draw = random.Random(3)
    marks = [sign for sign in map(chr, range(0x300, 0x1000)) if combining(sign)] + ["\u0344", "\u0f73", "é", "\u0958"]
    for _ in range(300):
        text = "".join(draw.choices(marks, k=draw.randint(1, 120))) + "a" * draw.randint(0, 2)
        assert composed("xe" + text) == normalize("NFC", "xe" + text)


def test_mailboxes_go_wherever_the_last_one_ended():
    gone = Cleaning(repair_encoding=False, remove_emails=True)
    for text, left in {
        "write to a.b+c@d-e.org, or not": "write to , or not",
        "a@b.com1.x@c.de end": " end",
        "@b.com@c.de @x.yz": "@ @x.yz",
        "a@b a@b.c a@b.cd": "a@b a@b.c",
        "a@b.1.com.2.de.3": ".3",
    }.items():
        assert clean(text, "code", gone)[0] == left, text


def test_runs_of_marks_are_cut_to_the_longest_and_other_runs_stay():
    for longest in (1, 2, 3, 5, 40):
        cut = Cleaning(repair_encoding=False, longest_mark_run=longest)
        for length in (0, 1, longest - 1, longest, longest + 1, 3 * longest, 3 * longest + 1):
            text = "x" + "-" * length + "é" + "a" * length + "\\" * length + "z"
            kept = min(length, longest)
            assert clean(text, "code", cut)[0] == "x" + "-" * kept + "é" + "a" * length + "\\" * kept + "z"


def test_the_frame_of_a_book_goes():
    strip = Cleaning(repair_encoding=False, strip_gutenberg=True)
    head = "The Project Gutenberg EBook of X\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n"
    credit = "\nProduced by A and\nB\n\n"
    end = "\nEnd of the Project Gutenberg EBook\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\nlicence"
    assert clean(head + credit + "Text.\nMore." + end, "prose", strip)[0] == "Text.\nMore."
    assert clean("Text *** END OF THE PROJECT GUTENBERG EBOOK", "prose", strip)[0].startswith("Text ***")


def test_what_is_compared_is_nfkc_without_what_nobody_sees():
    unseen = {chr(code) for first, last in INVISIBLE for code in range(first, last + 1)}
    draw = random.Random(5)
    signs = [sign for sign in map(chr, range(0x80, 0x1FBFF)) if decomposition(sign) or combining(sign)]
    for number in range(1000):
        pool = (signs, draw.choices(signs, k=5) + list("ae \n…½"), [sign for sign in signs if combining(sign)])[
            number % 3
        ]
        text = "".join(draw.choices(pool, k=60)) + draw.choice("\u00ad\u034f\u200d\ufe0f\U000e0100\uffa0a")
        text += "".join(draw.choices(pool, k=60))
        expected = normalize("NFKC", "".join(sign for sign in text if sign not in unseen))
        assert comparable(text) == expected == comparable(expected)
    assert comparable("plain\t") == "plain\t"
