"""Documents that share 13 words in a row with an evaluation set are found, clean ones are left alone."""

import json
import random
import resource

import numpy as np
import pytest
from corpus_jobs import run_jobs, source_of

from abovo.config.corpora import check_tasks
from abovo.corpus.decontaminate import Decontaminator, collect, index_evaluation_sets, open_decontaminator, overlap
from abovo.corpus.keys import Part
from abovo.corpus.ngrams import LONGEST_WORD, WORDS_AT_ONCE, PlainWords
from abovo.corpus.shards import read_documents
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus, Decontaminate
from abovo.settings.decontamination import Decontamination, EvaluationSet
from abovo.settings.keys import build
from abovo.settings.task import TaskRowsOf, TaskSource

WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in ("n", "rt", "st", "mble", "")]


def prose(seed, words):
    """Sentences of random words with capitals and punctuation."""
    draw = random.Random(seed)
    drawn = [draw.choice(WORDS) for _ in range(words)]
    return " ".join(
        (word.capitalize() if number % 9 == 0 else word) + ("." if number % 9 == 8 else ",\n"[: number % 4 == 3])
        for number, word in enumerate(drawn)
    )


@pytest.fixture
def index(tmp_path, root):
    """An index of `rows` (JSON objects) per set name, each set with the columns given."""

    def make(columns=("question", "passage"), least=1, **sets):
        settings = {"ngram": 13, "least_ngrams": least, "least_share": 0.1, "sets": {}}
        for name, rows in sets.items():
            path = tmp_path / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            settings["sets"][name] = {
                "type": "local", "paths": str(path), "columns": list(columns), "tasks": [name],
            }  # fmt: skip
        script = root / "workflow/scripts/index_evaluation_sets.py"
        return index_evaluation_sets(build(Decontamination, settings), tmp_path / "index/manifest.json", script)

    return make


def passages(number, seed=1):
    return [{"question": prose(f"{seed} q {i}", 8), "passage": prose(f"{seed} p {i}", 90)} for i in range(number)]


def test_a_hundred_planted_passages_are_found_and_no_clean_document(index):
    rows = passages(300)
    judge = Decontaminator(index(boolq=rows), "remove")
    planted = 0
    for number in range(2000):
        text = prose(f"clean {number}", 150)
        if number % 20 == 0:
            passage = rows[number // 20]["passage"].upper().replace(" ", "  ").replace(".", " — ")
            text = text[:400] + f" “{passage}” " + text[400:]
        left, hit = judge.apply(text)
        assert (hit is not None) == (number % 20 == 0) == (left != text)
        if hit:
            planted += 1
            assert left == "" and hit["rows"] == {"boolq": [number // 20]}
            assert len(hit["ngram"].split()) == 13
    assert planted == 100


@pytest.mark.parametrize("sign", ["\u00ad", "\u200b", "\u2060", "\u200c", "\u200d", "\u200e", "\ufe0f", "\ufeff", ""])
def test_neither_invisible_characters_nor_wide_letters_hide_a_row(index, sign):
    """An empty sign stands for letters of full width."""
    rows = passages(2)
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    hidden = [sign.join(row["passage"]) if sign else row["passage"].translate(wide) for row in rows]
    removing, cutting = (Decontaminator(index(boolq=rows), action) for action in ("remove", "cut"))
    for number, passage in enumerate(hidden):
        assert removing.apply(f"before\n{passage}\nafter")[1]["rows"] == {"boolq": [number]}
        assert cutting.apply(f"be{sign}fore\n{passage}\naf{sign}ter")[0] == f"be{sign}fore\naf{sign}ter"
    turned = Decontaminator(index(boolq=[{"question": "", "passage": text} for text in hidden]), "remove")
    assert all(turned.apply(row["passage"])[1] for row in rows)


def test_one_word_less_than_an_ngram_is_no_contamination(index):
    rows = passages(3)
    judge = Decontaminator(index(boolq=rows), "remove")
    words = rows[1]["passage"].split()
    assert judge.apply("before " + " ".join(words[20:33]) + " after")[1]
    assert judge.apply("before " + " ".join(words[20:32]) + " after")[1] is None


def test_a_stock_phrase_is_no_passage_but_twenty_words_in_a_row_are(index):
    rows = passages(4)
    judge = Decontaminator(index(boolq=rows, least=8), "remove")
    words = rows[2]["passage"].split()
    for number in (13, 19, 20, 40):
        hit = judge.apply("one two " + " ".join(words[5 : 5 + number]) + " three")[1]
        assert (hit is None) == (number < 20)
    # Two rows that share a phrase with one document do not add up.
    other = rows[3]["passage"].split()
    assert judge.apply(" ".join(words[:18]) + " and " + " ".join(other[:18]))[1] is None


def test_a_tenth_of_a_short_row_is_enough(index):
    row = {"question": "", "passage": prose(3, 32)}
    judge = Decontaminator(index(piqa=[row], least=8), "remove")
    words = row["passage"].split()
    assert judge.apply(" ".join(words[:14]))[1] and judge.apply(" ".join(words[:13]))[1] is None


def test_cut_takes_the_lines_in_common_and_leaves_the_others(index):
    rows = [{"question": "short one", "passage": " ".join(prose(7, 60).split())}]
    judge = Decontaminator(index(boolq=rows), "cut")
    first, last = "Ünlike anything – else\n\nhere,", "the end\nof it"
    left, hit = judge.apply(f"{first}\nQuote: {rows[0]['passage']}\n{last}")
    assert left == f"{first}\n{last}" and hit["action"] == "cut"
    assert judge.apply(rows[0]["passage"]) == ("", hit | {"action": "remove"} | judge.apply(rows[0]["passage"])[1])
    assert judge.apply(left) == (left, None)


def test_lists_and_alternatives_give_one_text_each_and_short_rows_are_counted(index):
    endings = [prose(f"e{i}", 10) for i in range(3)]
    rows = [
        {"ctx": prose("c", 9), "endings": endings, "other": prose("o", 10)},
        {"ctx": "too short", "endings": ["a", "b"], "other": ""},
    ]
    manifest = index(columns=("ctx", "endings|other"), hellaswag=rows)
    assert manifest["sets"]["hellaswag"]["too_short"] == 1 and manifest["sets"]["hellaswag"]["rows"] == 2
    judge = Decontaminator(manifest, "remove")
    for ending in (*endings, rows[0]["other"]):
        assert judge.apply(f"x {rows[0]['ctx']} {ending} y")[1]["rows"] == {"hellaswag": [0]}


def test_overlap_counts_rows_once_and_every_set_apart(index, tmp_path):
    one, two = passages(10, 1), passages(20, 2)
    manifest = index(zpiqa=two, boolq=one)
    judge = Decontaminator(manifest, "remove")
    texts = [one[3]["passage"], one[3]["passage"] + " and more", f"{one[4]['passage']} then {two[19]['passage']}"]
    path = tmp_path / "contaminated.jsonl"
    path.write_text("".join(json.dumps(judge.apply(text)[1]) + "\n" for text in texts))
    found = overlap(manifest, [path])
    assert found["boolq"] == {"documents": 3, "rows_touched": 2, "rows": 10, "share": 0.2}
    assert found["zpiqa"] == {"documents": 1, "rows_touched": 1, "rows": 20, "share": 0.05}


def test_hashes_depend_on_words_alone_whatever_stretch_they_stand_in():
    words = random.Random(5).choices(WORDS, k=2 * WORDS_AT_ONCE + 40)
    whole = PlainWords(" ".join(words)).hashes(13)
    assert np.array_equal(
        whole[WORDS_AT_ONCE - 5 :], PlainWords(",  ".join(words[WORDS_AT_ONCE - 5 :]).title()).hashes(13)
    )
    assert np.unique(whole).size == whole.size


def test_an_endless_word_keeps_the_memory_and_the_lines_right():
    words = PlainWords("a\n" + "x" * 100_000 + "\nb c d\ne")
    assert words.bytes.size < 2 * LONGEST_WORD and words.hashes(2).size == 5
    assert [part.tolist() for part in words.lines(np.array([2, 4]), 2)] == [[2, 2], [2, 3]]


@pytest.mark.parametrize("text", ["", " ", "…", "one two", "«»", "\u3000"])
def test_texts_without_an_ngram_are_clean(index, text):
    judge = Decontaminator(index(boolq=passages(1)), "remove")
    assert judge.apply(text) == (text, None)


def test_mistakes_in_a_set_are_named(index):
    with pytest.raises(AbovoError, match=r"a\.jsonl, line 1: no column 'passage' \(has: question\)"):
        index(a=[{"question": "x"}])
    with pytest.raises(AbovoError, match="evaluation set b: none of its 1 rows has 13 words"):
        index(b=[{"question": "x", "passage": "y"}])


def test_rows_of_a_task_are_a_set_by_its_columns_or_by_all_that_hold_texts(tmp_path, root):
    rows = [{"n": 1, "q": prose(f"q {number}", 20), "a": [prose(f"a {number}", 20), "short"]} for number in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def touched(*columns):
        source = TaskSource(type="local", paths=str(path))
        task = TaskRowsOf(name="mine", source=source, decontaminate=columns)
        script = root / "workflow/scripts/index_evaluation_sets.py"
        settings = Decontamination(tasks={"mine": task}, least_ngrams=1)
        judge = Decontaminator(index_evaluation_sets(settings, tmp_path / "index/manifest.json", script), "remove")
        hits = [judge.apply(text)[1] for text in (rows[1]["q"], rows[2]["a"][0])]
        return [hit and hit["rows"] for hit in hits]

    assert touched() == touched("q", "a") == [{"mine": [1]}, {"mine": [2]}]
    assert touched("q") == [{"mine": [1]}, None]


def corpus(kind="huggingface", unchecked="block"):
    return Corpus(sources={"a": source_of(type=kind)}, decontaminate=Decontaminate(unchecked=unchecked))


def test_a_run_scored_on_a_task_that_its_corpus_was_not_cleaned_of_is_told_so():
    of_set = EvaluationSet(type="local", tasks=("boolq",), columns=("question",))
    of_task = TaskRowsOf(name="arc_easy", source=TaskSource(type="local"))
    sets = Decontamination(sets={"questions": of_set}, tasks={"arc_easy": of_task}).covered
    with pytest.raises(AbovoError, match=r"x\.yaml, key decontaminate: not decontaminated against piqa, which"):
        check_tasks(corpus(), sets, ["boolq", "piqa"], "x.yaml")
    check_tasks(corpus(), sets, ["boolq", "arc_easy"], "x.yaml")
    check_tasks(corpus(unchecked="allow"), {}, ["piqa"], "x.yaml")
    check_tasks(corpus("package"), {}, ["piqa"], "x.yaml")


def test_a_corpus_opens_its_own_judge_and_collects_what_all_parts_found(index, tmp_path):
    rows = passages(5)
    manifest = index(boolq=rows)
    wanted, other = (
        Corpus(sources={}, decontaminate=Decontaminate(against=against, action="remove")) for against in ("x", None)
    )
    assert open_decontaminator(other, None) == (None, {})
    with pytest.raises(AbovoError, match="give its --decontamination"):
        open_decontaminator(wanted, None)
    judge, inputs = open_decontaminator(wanted, manifest.path)
    assert inputs["decontamination"].digest == manifest.digest
    parts = []
    for number in range(2):
        lines = [
            {"id": f"{row}", "position": row, **judge.apply(rows[row]["passage"])[1]} for row in range(number, 5, 2)
        ]
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/contaminated.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        parts.append(Part(number, "web", Manifest(tmp_path / f"{number}/manifest.json", {}), 0))
    assert collect(manifest, [("web", 4, parts)], tmp_path / "all")["boolq"]["rows_touched"] == 4
    listed = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [(one["source"], one["id"], one["ngrams"]) for one in listed] == [
        ("web", f"{number}", 78) for number in range(4)
    ]


def test_lists_of_more_parts_than_files_may_be_open_become_one_in_order(index, tmp_path):
    manifest, rows = index(boolq=passages(5)), list(range(300))
    random.Random(1).shuffle(rows)
    parts = []
    for number in range(150):
        own = sorted(rows[2 * number : 2 * number + 2])
        (tmp_path / f"{number}").mkdir()
        lines = (json.dumps({"id": f"{row}", "position": row, "rows": {"boolq": [row % 5]}}) for row in own)
        (tmp_path / f"{number}/contaminated.jsonl").write_text("\n".join(lines) + "\n")
        parts.append(Part(number, "web", Manifest(tmp_path / f"{number}/manifest.json", {}), 0))
    (tmp_path / "out").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, limits[1]))
    try:
        collect(manifest, [("web", None, parts)], tmp_path / "out/all")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    listed = [json.loads(line)["id"] for line in (tmp_path / "out/all").read_text().splitlines()]
    assert listed == [f"{number}" for number in range(300)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all"]


@pytest.mark.parametrize(("action", "kept"), [("remove", 55), ("cut", 60)])
def test_a_corpus_is_without_the_passages_and_its_manifest_says_which_were_there(index, tmp_path, action, kept):
    rows = passages(20)
    texts = [prose(f"document {number}", 120).replace("\n", " ") for number in range(60)]
    texts = [f"{text}\n{rows[number]['passage']}" if number < 5 else text for number, text in enumerate(texts)]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    source = {"type": "local", "licence": "CC0", "language": "en", "paths": str(path)}
    corpus = {
        "description": "", "bytes_per_token": 3.0, "sources": {"web": source},
        "decontaminate": {"against": "x", "action": action},
    }  # fmt: skip
    evaluation_sets = index(boolq=rows)
    judge = Decontaminator(evaluation_sets, action)
    manifest = run_jobs(corpus, tmp_path / "corpus", decontamination=evaluation_sets.path)
    assert manifest["contamination"]["boolq"] == {"documents": 5, "rows_touched": 5, "rows": 20, "share": 0.25}
    listed = [json.loads(line) for line in manifest.file("contaminated.jsonl").read_text().splitlines()]
    assert [(one["source"], one["id"], one["action"]) for one in listed] == [
        ("web", f"texts.jsonl#{number:08d}", action) for number in range(1, 6)
    ]
    documents = list(read_documents(manifest))
    assert len(documents) == kept and all(judge.apply(document.text)[1] is None for document in documents)
