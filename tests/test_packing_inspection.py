"""What a model is about to be trained on is told as it is, and refused in one line where it is empty or suspicious."""

import logging

import pytest
from corpus_jobs import run_jobs
from small_given import byte_tokenizer
from small_world import make_corpus

from abovo.corpus.plain_text import write_text
from abovo.corpus.shards import Document, read_documents
from abovo.errors import AbovoError
from abovo.packing.inspection import _quoted, inspect_sets
from abovo.packing.pack import pack_corpus
from abovo.settings.inspection import Inspection
from abovo.settings.tokenizer import AdoptedSettings
from abovo.tokenizing.adopt import adopt_tokenizer
from abovo.tokenizing.load import load_tokenizer

PLACES = ("la rivière", "le village", "la forêt", "le marché", "la gare", "le port")
FRENCH = [f"Nous avons traversé {place} le {day} janvier, et la neige tombait encore." for place in PLACES
          for day in range(1, 21)]  # fmt: skip
ENGLISH = [f"We have crossed the river and the market on day {day}, and the snow was falling." for day in range(120)]
NUMBERS = [f"{number * 7919} {number * 104729} 12.5 %% 77 && {number}" for number in range(120)]
CHINESE = [f"我们在第{day}天穿过了村庄和森林，雪还在下。" for day in range(120)]


@pytest.fixture
def inspected(tmp_path, text_tokenizers):
    """What is said of a corpus of lines, and its manifest."""

    def inspect(lines, tokenizer=text_tokenizers["bpe"], length=32, language="fr", near=None, **bounds):
        (tmp_path / "text.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        text = {"type": "local", "paths": str(tmp_path / "text.txt"), "documents": "line", "language": language,
                "licence": "CC0"}  # fmt: skip
        corpus = {"sources": {"text": text}, "tokens": None, "bytes_per_token": 3.0, "min_characters": 1,
                  "validation_share": 0.2, "deduplication": {"near": near}}  # fmt: skip
        made = run_jobs(corpus, tmp_path / "corpus")
        packed = pack_corpus(made, tokenizer, length, tmp_path / "packed/manifest.json", __file__)
        output = tmp_path / "inspection.json"
        found = inspect_sets({"mine": packed}, tokenizer, Inspection(**bounds), output, tmp_path / "script.py")
        return found["corpora"]["mine"], made

    (tmp_path / "script.py").write_text("")
    return inspect


def test_samples_and_counts_are_those_of_the_corpus(inspected, text_tokenizers, caplog):
    caplog.set_level(logging.INFO, "abovo")
    found, corpus = inspected([*FRENCH, *FRENCH[:30]], samples=2, sample_characters=20)
    documents, tokenizer = list(read_documents(corpus)), text_tokenizers["bpe"]
    assert sum(found["documents"].values()) == len(documents) == len(FRENCH)
    assert [one["text"] for one in found["samples"]] == [one.text[:20] for one in documents[:2]]
    lengths = [len(tokenizer.encode(one.text)) for one in documents]
    assert sum(found["tokens"].values()) == sum(lengths) + len(documents), "each with its end"
    assert found["tokens_per_document"]["longest"] == max(lengths) + 1
    assert found["characters_per_token"] == pytest.approx(
        sum(len(one.text) for one in documents) / sum(lengths), abs=1e-3
    )
    assert found["duplicates"] == pytest.approx(30 / 150) and found["language"] == 1.0
    pieces = [tokenizer.processor.id_to_piece(number) for one in documents for number in tokenizer.encode(one.text)]
    spelt = sum("<0x" in piece for piece in pieces) / len(pieces)
    assert spelt > 0 and found["byte_pieces"] == pytest.approx(spelt, abs=1e-6)
    assert found["unknown_pieces"] == 0 and 0 < found["padding"] < 0.1
    assert documents[0].text[:20] in caplog.text and "held out" in caplog.text


@pytest.mark.parametrize(
    ("lines", "how", "said"),
    [
        (FRENCH[:1] * 300, {}, "no training document in the corpus; 299 more documents are equal|no validation"),
        ([*FRENCH[:20] * 30], {}, r"corpus mine: 96\.7% of its documents equal or nearly equal others, more than"
         r" inspection\.max_duplicates \(90%\); give it other text, or raise cpt\.inspection\.max_duplicates"),
        (FRENCH, {"min_documents": 500}, r"holds 120 documents, fewer than inspection\.min_documents \(500\)"),
        (NUMBERS, {}, r"of its characters are letters or blanks, less than inspection\.min_letters \(50%\)"),
        (ENGLISH, {}, r"0\.0% of its text is in the language of its sources, less than inspection\.min_language"),
        (CHINESE, {"language": "zh"}, r"of its tokens are single bytes, more than inspection\.max_byte_pieces"),
        (FRENCH[:20], {"length": 16384}, r"of its training rows is padding, more than inspection\.max_padding"),
    ],
)  # fmt: skip
def test_empty_and_suspicious_text_is_refused_in_one_line(inspected, lines, how, said):
    with pytest.raises(AbovoError, match=said) as error:
        inspected(lines, **how)
    assert "\n" not in str(error.value)


def test_the_most_frequent_line_is_told_and_bounded(inspected):
    found, _ = inspected(ENGLISH, language="en")
    assert found["frequent_lines"][0] == {"line": found["samples"][0]["text"], "times": 1}
    assert found["most_frequent_line"] == pytest.approx(1 / 120, abs=1e-6)
    with pytest.raises(AbovoError, match=r"of its lines are one and the same, more than inspection\.max_line \(0%\)"):
        inspected(ENGLISH, language="en", max_line=0.001)


def test_pieces_that_a_tokenizer_does_not_know_are_counted(inspected, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "Nous": 2, "avons": 3, ".": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>")
    fast.save_pretrained(tmp_path / "words")
    adopt_tokenizer(AdoptedSettings(model_directory=str(tmp_path / "words")), tmp_path / "own/t.json", __file__)
    with pytest.raises(AbovoError, match=r"of its tokens are unknown pieces, more than inspection\.max_unknown"):
        inspected(FRENCH, tokenizer=load_tokenizer(tmp_path / "own/t.json"))
    byte_tokenizer(("</s>",), eos_token="</s>").save_pretrained(tmp_path / "bytes")
    adopt_tokenizer(AdoptedSettings(model_directory=str(tmp_path / "bytes")), tmp_path / "other/t.json", __file__)
    found, _ = inspected(FRENCH, tokenizer=load_tokenizer(tmp_path / "other/t.json"))
    assert found["unknown_pieces"] == 0 and found["byte_pieces"] is None, "bytes are how it spells all text"


def test_text_on_request_has_a_document_on_each_line_of_its_split(inspected, tmp_path):
    _, corpus = inspected(FRENCH)
    made = write_text(corpus, tmp_path / "text/manifest.json", tmp_path / "script.py")
    for split in ("train", "val"):
        lines = (tmp_path / f"text/{split}.txt").read_text(encoding="utf-8").splitlines()
        assert lines == [one.text for one in read_documents(corpus, split)] and len(lines) == made["counts"][split]


def test_text_on_request_keeps_a_document_of_several_lines_on_one(tmp_path):
    items = [Document(f"d{number}", f"un {number}\n\n    deux\u2028trois", "speeches", 5) for number in range(20)]
    made = write_text(make_corpus(tmp_path, items), tmp_path / "text/manifest.json", __file__)
    lines = [line for split in ("train", "val") for line in (tmp_path / f"text/{split}.txt").open(encoding="utf-8")]
    assert sorted(lines) == sorted(f"un {number} deux trois\n" for number in range(20))
    assert made["counts"]["train"] + made["counts"]["val"] == 20


def test_no_text_that_is_told_moves_the_terminal():
    told = _quoted("« d\xa0é »\x1b[2J\x7f\x9b31m\u202eabc\u2028\n")
    assert told == '"« d\xa0é »\\u001b[2J\\u007f\\u009b31m\\u202eabc\\u2028\\n"'
