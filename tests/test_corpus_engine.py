"""The corpus engine: parts, budgets and near-duplicates give the same corpus however the work is cut."""

import json
import random

import numpy as np
import pytest
from corpus_jobs import resolved, run_jobs

from abovo.corpus.choose import Share, SharedDocuments, _ranges, choose
from abovo.corpus.clean import clean
from abovo.corpus.duplicates import shared_documents
from abovo.corpus.examine import Examiner, Found
from abovo.corpus.keys import DOCUMENTS, KEY, KeyWriter, Part, parts_of
from abovo.corpus.minhash import bands_of, probability
from abovo.corpus.reading import Reading
from abovo.corpus.records import Record
from abovo.corpus.shards import read_documents
from abovo.corpus.split import document_hash, is_validation
from abovo.corpus.words import words_of
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Near

NEAR = Near()
DRAW = random.Random(3)
VOCABULARY = ["".join(DRAW.choices("abcdefghijklmnopqrstuvwxyz", k=DRAW.randint(2, 9))) for _ in range(3000)]


def prose(draw, words):
    return " ".join(draw.choices(VOCABULARY, k=words))


def edited(draw, text, share):
    """A copy with `share` of its words replaced."""
    words = text.split(" ")
    for place in draw.sample(range(len(words)), round(share * len(words))):
        words[place] = draw.choice(VOCABULARY)
    return " ".join(words)


def texts(number, seed):
    """Documents, a tenth of them edited copies of others and a twentieth exact copies."""
    draw = random.Random(seed)
    made = [prose(draw, draw.randint(30, 200)) for _ in range(number)]
    made += [edited(draw, text, 0.01) for text in made[: number // 10]] + made[-number // 20 :]
    draw.shuffle(made)
    return made


@pytest.fixture
def make(tmp_path):
    def run(name, sources, **settings):
        corpus = {
            "description": "", "bytes_per_token": 3.0, "min_characters": 10, "sample_documents": 20, "shard_mb": 0.05,
            "validation_share": 0.2, "sources": {},
        } | settings  # fmt: skip
        for source, (files, values) in sources.items():
            folder = tmp_path / name / "raw" / source
            folder.mkdir(parents=True)
            for file, rows in files.items():
                (folder / file).write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
            corpus["sources"][source] = {
                "type": "local",
                "licence": "CC0",
                "language": "en",
                "paths": str(folder),
            } | values
        return run_jobs(corpus, tmp_path / name / "made")

    return run


def files(rows, number):
    return {f"{place}.jsonl": rows[place::number] for place in range(number)}


def of_parts(manifest, key):
    """A count of each part of the source `a` of a corpus."""
    paths = sorted(manifest.path.parent.glob("sources/a/*/manifest.json"))
    return [json.loads(path.read_text())["counts"][key] for path in paths]


@pytest.mark.parametrize(("take", "number"), [("spread", 1), ("spread", 3), ("first", 1), ("first", 24)])
def test_one_two_or_eight_parts_and_jobs_give_the_same_bytes_and_counts(make, take, number):
    made = []
    for parts, jobs in ((1, 1), (2, 3), (8, 2)):
        sources = {
            name: (files([*texts(200, seed), "short", "\u2581" * 30], number), {"parts": parts, "take": take})
            for seed, name in enumerate(("a", "b"))
        }
        settings = {"tokens": 24_000, "weights": {"a": 0.6, "b": 0.4}, "deduplication": {"jobs": jobs}}
        made.append(make(f"{parts}", sources, **settings))
        if take == "first":
            # 14,400 tokens, the reserve, and for each part what it reads at once (8 KB).
            assert sum(of_parts(made[-1], "tokens")) < 14_688 * (1.2 if number > 1 else 1) + parts * 3000
    assert made[0]["counts"]["near_duplicates"] + made[0]["counts"]["duplicates"] > 0
    for other in made[1:]:
        assert other["outputs"] == made[0]["outputs"] and other["counts"] == made[0]["counts"]


@pytest.mark.parametrize("number", [1, 24])
def test_a_limit_on_records_holds_for_all_parts_together_and_is_shared_by_them(make, number):
    made = []
    for parts in (1, 8):
        sources = {"a": (files(texts(200, 1), number), {"parts": parts, "max_samples": 80})}
        made.append(make(f"{parts}", sources))
        assert sum(of_parts(made[-1], "read")) == 80 and min(of_parts(made[-1], "read")) == 80 // parts
    assert made[0]["outputs"] == made[1]["outputs"]


def test_parts_do_not_begin_files_that_the_plan_says_the_budget_does_not_reach(make):
    rows, made = files(texts(400, 2), 8), []
    for parts in (1, 4):
        made.append(
            make(f"{parts}", {"a": (rows, {"take": "first", "parts": parts})}, tokens=3_000, weights={"a": 1.0})
        )
    assert sum(one > 0 for one in of_parts(made[1], "read")) == 1
    assert made[0]["outputs"] == made[1]["outputs"] and made[0]["counts"] == made[1]["counts"]


def test_parts_stop_each_at_its_place_where_files_differ_and_what_is_missing_is_read_on(make, caplog):
    """The first file is nearly empty, so the second part's idea of how much lies before its place is far too high."""
    caplog.set_level("INFO", "abovo")
    draw = random.Random(4)
    rows = {"0.jsonl": [prose(draw, 60)], "1.jsonl": [prose(draw, 60) for _ in range(400)]}
    rows |= {f"{place}.jsonl": [prose(draw, 60) for _ in range(5)] for place in range(2, 9)}
    made = [
        make(f"{parts}", {"a": (rows, {"take": "first", "parts": parts})}, tokens=20_000, weights={"a": 1.0})
        for parts in (1, 3)
    ]
    assert "reading on" in caplog.text
    assert made[0]["outputs"] == made[1]["outputs"] and made[0]["counts"] == made[1]["counts"]


INVISIBLE = ("\u00ad", "\u200b", "\u200c", "\u200d", "\u200e", "\u2060", "\ufe0f", "\ufeff", "\u061c", "\U000e0041")


@pytest.mark.parametrize("near", [None, {}])
def test_neither_invisible_characters_nor_wide_letters_make_another_document(make, near):
    """Twenty documents, and copies of each that a reader cannot tell from it, in another file."""
    draw = random.Random(4)
    plain = [prose(draw, 60) for _ in range(20)]
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
    copies = [text.replace("e", "e" + INVISIBLE[number % len(INVISIBLE)]) for number, text in enumerate(plain)]
    rows = plain + copies + [plain[0].translate(wide)]
    kept = set()
    for name, own, parts in (("one", rows, 1), ("two", rows[::-1], 2)):
        made = make(name, {"a": (files(own, 3), {"parts": parts})}, deduplication={"near": near})
        assert (made["counts"]["documents"], made["counts"]["duplicates"]) == (20, 21)
        found = [document.text for document in read_documents(made)]
        assert set(found) <= {clean(text, "prose")[0] for text in rows}
        kept.add(tuple(sorted(found)))
    assert len(kept) == 1, "which copy stays depends on the order of reading"


def test_a_copy_with_invisible_characters_lies_on_the_same_side_of_the_split():
    text = "Some words that are split by what they are compared as."
    assert document_hash(text) == document_hash("\u200d".join(text)) == document_hash(text.replace(" ", "\u00a0"))
    assert document_hash(text) != document_hash(text.lower())


def test_budget_is_met_within_one_document_per_source(make):
    sources = {name: (files(texts(300, seed), 1), {}) for seed, name in enumerate(("a", "b"))}
    manifest = make("x", sources, tokens=24_000, weights={"a": 0.5, "b": 0.5})
    longest = max(document.tokens for document in read_documents(manifest))
    for counts in manifest["counts"]["sources"].values():
        assert 12_000 <= counts["tokens"] < 12_000 + longest


@pytest.mark.parametrize("parts", [1, 3])
def test_a_source_full_of_duplicates_is_read_on_until_its_budget_is_met(make, parts, caplog):
    draw = random.Random(1)
    rows = [text for text in (prose(draw, 60) for _ in range(40)) for _ in range(6)]
    rows += [prose(draw, 60) for _ in range(400)]
    caplog.set_level("INFO", "abovo")
    manifest = make("x", {"a": (files(rows, 1), {"take": "first", "parts": parts})}, tokens=12_000, weights={"a": 1.0})
    counts = manifest["counts"]["sources"]["a"]
    assert 12_000 <= counts["tokens"] < 12_300
    assert counts["duplicates"] > 100 and counts["read"] < len(rows)
    assert "reading on" in caplog.text
    kept = [document.id for document in read_documents(manifest)]
    assert len(set(kept)) == len(kept)


@pytest.mark.parametrize("parts", [1, 3])
def test_records_that_were_read_on_are_counted_once(make, parts):
    """So many duplicates that reading on ends with the source, its budget not met."""
    draw = random.Random(1)
    rows = [text for text in (prose(draw, 60) for _ in range(40)) for _ in range(6)] + ["short"] * 7
    sources = {"a": (files(rows, 3), {"take": "first", "parts": parts})}
    counts = make("x", sources, tokens=9_000, weights={"a": 1.0})["counts"]["sources"]["a"]
    assert counts["read"] == len(rows) and counts["rejected"] == {"too short": 7}
    assert counts["read"] == counts["documents"] + counts["duplicates"] + 7 and counts["over_budget"] == 0


def test_files_in_another_order_keep_the_same_texts(make):
    rows = texts(200, 5)
    first = make("x", {"a": (files(rows, 2), {})})
    other = make("y", {"a": (files(rows[::-1], 3), {})})
    assert [d.text for d in read_documents(first)] == [d.text for d in read_documents(other)]


def test_no_near_duplicates_stand_on_both_sides_of_the_split(make):
    rows = texts(300, 6)
    documents = list(read_documents(make("x", {"a": (files(rows, 1), {}), "b": (files(rows[:50], 1), {})})))
    words = words_of([document.text.encode() for document in documents])
    bands = bands_of(words, np.arange(len(documents), dtype=np.uint64), NEAR)
    held_out = np.array([is_validation(document.hash, 0.2) for document in documents])
    assert held_out.any() and not np.isin(bands[held_out], bands[~held_out]).any()


def test_a_document_beyond_its_sources_budget_pushes_nothing_out(make):
    """The copies in b of what a holds stay in the corpus when a's budget does not reach its own."""
    rows = texts(200, 7)
    sources = {"a": (files(rows, 1), {"tokens": 100}), "b": (files(rows, 1), {})}
    counts = make("x", sources)["counts"]["sources"]
    alone = make("y", {"b": (files(rows, 1), {})})["counts"]["sources"]["b"]
    assert counts["b"]["documents"] >= alone["documents"] - counts["a"]["documents"]


def jaccard(one, other, size=5):
    runs = [
        {tuple(words[i : i + size]) for i in range(len(words) - size + 1)} for words in (one.split(), other.split())
    ]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def test_planted_near_duplicates_are_found_and_clean_documents_are_not():
    draw = random.Random(8)
    originals = [prose(draw, draw.randint(60, 300)) for _ in range(3000)]
    copies = [edited(draw, text, draw.choice((0.005, 0.01, 0.015))) for text in originals[:1000]]
    both = [text.encode() for text in originals + copies]
    bands = np.concatenate([
        bands_of(words_of(both[at : at + 500]), np.arange(len(both[at : at + 500]), dtype=np.uint64), NEAR)
        for at in range(0, len(both), 500)
    ])  # fmt: skip
    alike = [number for number in range(1000) if jaccard(originals[number], copies[number]) >= 0.85]
    found = [number for number in alike if (bands[number] == bands[3000 + number]).any()]
    assert len(alike) > 500
    assert len(found) >= 0.95 * len(alike)
    clean = bands[1000:3000]
    _, counts = np.unique(clean, return_counts=True)
    assert (counts > 1).sum() <= 0.001 * len(clean)
    assert probability(0.85, NEAR) > 0.98 and probability(0.3, NEAR) < 0.001


def test_a_sketch_does_not_depend_on_the_batch_that_its_document_came_in():
    draw = random.Random(9)
    data = [prose(draw, number).encode() for number in (3, 5, 80, 4000, 17)]
    digests = np.arange(len(data), dtype=np.uint64)
    together = bands_of(words_of(data), digests, NEAR)
    for number, text in enumerate(data):
        alone = bands_of(words_of([text]), digests[number : number + 1], NEAR)
        assert (alone[0] == together[number]).all()


def made_part(folder, number, source, hashes, bands, seed=0):
    """A part whose documents have the given hashes; their places are drawn."""
    folder.mkdir(parents=True)
    keys = np.zeros(len(hashes), KEY)
    keys["position"], keys["high"], keys["low"] = np.arange(len(hashes)), hashes, hashes
    keys["place"] = np.random.default_rng(seed).permutation(len(hashes)).astype(np.uint64) << np.uint64(40)
    keys["tokens"], keys["bytes"] = 10, 30
    writer = KeyWriter(folder, bands.shape[1])
    writer.write(keys, bands)
    writer.close()
    (folder / DOCUMENTS).write_bytes(b"")
    data = {"counts": {"documents": len(hashes)}, "outputs": {}, "until": None}
    return Part(number, source, Manifest(folder / "manifest.json", data), bands.shape[1])


@pytest.mark.parametrize("memory_mb", [0.02, 1.0, 512])
def test_little_memory_gives_the_same_choice(tmp_path, memory_mb):
    draw = np.random.default_rng(4)
    hashes = draw.integers(0, 1500, 4000).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bands = draw.integers(0, 1 << 63, (4000, 3)).astype(np.uint64)
    bands[::7, 1] = bands[0, 1]
    part = made_part(tmp_path / "part", 0, "a", hashes, bands)
    counts = shared_documents([part], memory_mb, tmp_path / "found")
    share = Share("a", [part], "spread", 5000)
    choose([share], SharedDocuments([tmp_path / "found"], [counts["groups"]], [counts["exact_groups"]]), memory_mb)
    assert len(list(_ranges(share, memory_mb))) == max(1, round(4000 * 400 / (memory_mb * 1e6)))
    # The rule, spelled out: in the order of places, none that shares a hash or a band with one before it.
    keys, seen, expected, tokens = np.concatenate([rows for _, rows in part.key_records()]), set(), set(), 0
    for index in np.argsort(keys["place"]):
        own = {("text", int(hashes[index])), *(("band", place, int(bands[index, place])) for place in range(3))}
        if own & seen:
            continue
        seen |= own
        expected.add(int(index))
        tokens += 10
        if tokens >= 5000:
            break
    assert set(np.flatnonzero(share.kept[0]).tolist()) == expected


def test_records_that_do_not_fit_the_documents_are_named(tmp_path):
    part = made_part(tmp_path / "part", 0, "a", np.arange(5, dtype=np.uint64), np.zeros((5, 2), np.uint64))
    (tmp_path / "part/keys.bin").write_bytes(b"short")
    with pytest.raises(AbovoError, match=r"keys\.bin: does not hold the records of 5 documents"):
        next(part.key_records())
    assert parts_of({"a": [part.manifest], "b": []}, 2)[0].source == "a"


def test_permutations_that_make_no_equal_bands_are_told(make):
    with pytest.raises(AbovoError, match=r"100 permutations cannot be cut into 14 equal bands"):
        make("x", {"a": (files(["some text here"], 1), {})}, deduplication={"near": {"permutations": 100}})


class Judge:
    """Takes out whatever holds a word."""

    def apply(self, text):
        return ("", {"row": 1}) if "secret" in text else (text, None)


def test_documents_that_share_text_with_evaluation_sets_are_refused_by_that_name():
    corpus = resolved({
        "description": "", "bytes_per_token": 3.0, "min_characters": 5,
        "sources": {"a": {"type": "local", "licence": "CC0", "language": "en", "paths": "x"}},
    })  # fmt: skip
    examiner = Examiner(Reading.of(corpus, "a", {}), Judge())
    rows = ["a secret passage", "an open passage", None]
    verdicts = examiner.examine([Found(n, Record(str(n), row)) for n, row in enumerate(rows)]).verdicts
    assert [verdict.reason for verdict in verdicts] == ["contaminated", "", "null"]
    assert verdicts[0].shared == {"row": 1}
