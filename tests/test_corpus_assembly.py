"""A corpus is a pure function of its settings: what is in it, in which order, and what its manifest says."""

import json
import subprocess
import sys

import pytest
from corpus_jobs import resolved, run_jobs, source_of

from abovo.corpus import held_out
from abovo.corpus.estimate import ratio_interval
from abovo.corpus.shards import read_documents
from abovo.corpus.shares import source_budget
from abovo.corpus.split import document_hash, is_validation
from abovo.errors import AbovoError
from abovo.settings.corpus import Corpus
from abovo.settings.keys import plain

SOURCE = {"type": "local", "licence": "CC0", "language": "en"}
CORPUS = {
    "description": "", "bytes_per_token": 3.0, "seed": 5, "validation_share": 0.1, "min_characters": 10,
    "max_characters": 5000, "sample_documents": 50, "shard_mb": 0.02, "deduplication": {"near": None},
}  # fmt: skip


def text_of(source, number):
    return f"{source} {number} " + "words that fill a line " * (1 + number * 7 % 40)


@pytest.fixture
def make_corpus(tmp_path, root):
    """Write the sources as .jsonl files and run all jobs on them; returns the corpus' manifest."""

    def make(sources, name="corpus", **settings):
        corpus = CORPUS | {"sources": {}} | settings
        for source, (rows, values) in sources.items():
            path = tmp_path / "raw" / name / f"{source}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
            corpus["sources"][source] = SOURCE | {"paths": str(path)} | values
        return run_jobs(corpus, tmp_path / name)

    return make


def rows(source, number):
    return [text_of(source, i) for i in range(number)]


def test_every_document_is_there_once_and_the_manifest_counts_it(make_corpus):
    both = rows("a", 300)
    manifest = make_corpus({"a": (both, {}), "b": (rows("b", 200) + both[:50], {})})
    documents = list(read_documents(manifest))
    assert sorted(d.text for d in documents) == sorted(text.strip() for text in both + rows("b", 200))
    counts = manifest["counts"]
    assert counts["documents"] == 500 and counts["duplicates"] == 50
    assert counts["sources"]["b"]["duplicates"] == 50 and counts["sources"]["a"]["duplicates"] == 0
    assert counts["tokens"] == sum(d.tokens for d in documents)
    assert counts["bytes"] == sum(len(d.text.encode()) for d in documents)
    assert len(manifest.names("shards/")) == counts["shards"] > 5


def test_of_equal_texts_the_first_source_and_the_smallest_id_stay(make_corpus):
    same = "the same words in every place"
    manifest = make_corpus({"a": ([text_of("a", 1), same, same], {}), "b": ([same, text_of("b", 2)], {})})
    (kept,) = (d for d in read_documents(manifest) if d.text == same)
    assert (kept.source, kept.id) == ("a", "a.jsonl#00000002")


def test_documents_equal_after_cleaning_are_duplicates(make_corpus):
    manifest = make_corpus({"a": (["caf\u00e9 on the corner", "cafe\u0301  on the corner\r\n", text_of("a", 3)], {})})
    assert manifest["counts"]["duplicates"] == 1


def test_order_depends_on_seed_and_texts_alone(make_corpus):
    texts = rows("a", 300)
    first = [d.text for d in read_documents(make_corpus({"a": (texts, {})}, "x"))]
    again = [d.text for d in read_documents(make_corpus({"a": (texts[::-1], {})}, "y"))]
    other = [d.text for d in read_documents(make_corpus({"a": (texts, {})}, "z", seed=6))]
    assert first == again
    assert first != other and sorted(first) == sorted(other)


def test_two_runs_give_equal_bytes(make_corpus):
    sources = {"a": (rows("a", 300), {}), "b": (rows("b", 100), {})}
    x, y = (make_corpus(sources, name) for name in ("x", "y"))
    assert x["outputs"] == y["outputs"]


def test_budget_is_kept_and_sources_stay_mixed_from_start_to_end(make_corpus):
    sources = {"a": (rows("a", 2000), {}), "b": (rows("b", 600), {})}
    manifest = make_corpus(sources, tokens=100_000, weights={"a": 0.5, "b": 0.5})
    counts = manifest["counts"]["sources"]
    for source in "ab":
        assert 50_000 <= counts[source]["tokens"] < 50_700
    documents = list(read_documents(manifest))
    half = len(documents) // 2
    shares = [sum(d.source == "b" for d in part) / len(part) for part in (documents[:half], documents[half:])]
    assert abs(shares[0] - shares[1]) < 0.1
    assert manifest["actual_over_planned"]["tokens"] == pytest.approx(1, abs=0.02)


def test_a_source_that_cannot_fill_its_share_gives_what_it_has_and_the_manifest_says_so(make_corpus, caplog):
    sources = {"a": (rows("a", 400), {}), "b": (rows("b", 20), {})}
    manifest = make_corpus(sources, tokens=40_000, weights={"a": 0.5, "b": 0.5})
    assert manifest["shortfalls"].keys() == {"b"}
    assert manifest["shortfalls"]["b"]["tokens"] == manifest["counts"]["sources"]["b"]["tokens"] < 20_000
    assert manifest["counts"]["sources"]["b"]["documents"] == 20


def test_own_tokens_take_the_place_of_the_weight(make_corpus):
    sources = {"a": (rows("a", 900), {"tokens": 5000}), "b": (rows("b", 900), {})}
    manifest = make_corpus(sources, tokens=20_000, weights={"b": 1.0})
    counts = manifest["counts"]["sources"]
    assert 5000 <= counts["a"]["tokens"] < 5400 and 20_000 <= counts["b"]["tokens"] < 20_400


def test_take_first_stops_reading_at_the_share_and_counts_only_what_it_read(make_corpus):
    sources = {"a": ([*rows("a", 3000)], {"take": "first"})}
    manifest = make_corpus(sources, tokens=20_000, weights={"a": 1.0})
    counts = manifest["counts"]["sources"]["a"]
    assert counts["read"] == counts["documents"] + counts["over_budget"] < 600


def test_max_samples_limits_records_before_filters_per_source_and_per_corpus(make_corpus):
    texts = ["x", *rows("a", 400)]
    manifest = make_corpus({"a": (texts, {"take": "first"}), "b": (rows("b", 99), {"max_samples": 20})}, max_samples=50)
    counts = manifest["counts"]["sources"]
    assert (counts["a"]["read"], counts["a"]["documents"], counts["b"]["read"]) == (50, 49, 20)


def test_refused_documents_are_counted_by_reason(make_corpus):
    manifest = make_corpus({"a": ([None, "", " \n", "short", "x" * 6000, *rows("a", 5)], {})})
    assert manifest["counts"]["sources"]["a"]["rejected"] == {"empty": 2, "null": 1, "too long": 1, "too short": 1}


def test_no_text_is_on_both_sides_of_the_split(make_corpus):
    manifest = make_corpus({"a": (rows("a", 800), {})})
    train, val = ({d.text for d in read_documents(manifest, split)} for split in ("train", "val"))
    assert not train & val and len(train) + len(val) == 800
    assert 0.05 < len(val) / 800 < 0.15
    assert manifest["counts"]["validation_documents"] == len(val)


def test_split_of_a_document_stays_when_the_share_grows():
    digests = [document_hash(str(number)) for number in range(2000)]
    small, large = ({d for d in digests if is_validation(d, share)} for share in (0.05, 0.2))
    assert small < large
    assert not any(is_validation(d, 0) for d in digests)


def test_licences_travel_and_the_plan_is_an_input(make_corpus):
    manifest = make_corpus({"a": (rows("a", 20), {"licence": "CC BY 4.0"})})
    assert manifest["sources"]["a"]["licence"] == "CC BY 4.0"
    assert manifest["inputs"]["plan"]["path"].endswith("plan.json")


@pytest.mark.parametrize(
    ("texts", "settings", "says"),
    [
        (["x"] * 5, {}, "source a: none of 5 sampled documents passes the filters"),
        (["fits, just about"], {"min_characters": 50, "max_characters": 40}, "key max_characters: is less than"),
        (["fits, just about"], {"tokens": -1}, "key tokens: -1 is less than the minimum"),
        (["fits, just about"], {"tokens": 10}, "key weights: no weight for the source a"),
        (["fits, just about"], {"tokens": 10, "weights": {"a": 0.5}}, "the weights add up to 0.5"),
        (["fits, just about"], {"tokens": 10, "weights": {"b": 1.0}}, "weight for an unknown source: b"),
        (["fits, just about"], {"bytes_per_token": None}, "needs either bytes_per_token or count_with"),
    ],
)
def test_settings_and_data_that_make_no_corpus_are_told(make_corpus, texts, settings, says):
    with pytest.raises(AbovoError) as caught:
        make_corpus({"a": (texts, {})}, **settings)
    assert says in str(caught.value)


def test_a_source_without_what_its_type_needs_is_named(make_corpus):
    with pytest.raises(AbovoError, match=r"key sources\.a: a source of type package needs `packages`"):
        make_corpus({"a": (["fits, just about"], {"type": "package"})})


@pytest.mark.parametrize("place", [-1, 40])
def test_a_flipped_byte_in_a_shard_is_named(make_corpus, place):
    manifest = make_corpus({"a": (rows("a", 300), {})})
    shard = manifest.path.parent / "shards" / "shard-00001.jsonl.zst"
    data = bytearray(shard.read_bytes())
    data[place] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    with pytest.raises(AbovoError, match=r"shard-00001\.jsonl\.zst"):
        list(read_documents(manifest))


def test_a_shard_cut_short_or_missing_is_named(make_corpus):
    manifest = make_corpus({"a": (rows("a", 300), {})})
    shard = manifest.path.parent / "shards" / "shard-00002.jsonl.zst"
    data = shard.read_bytes()
    shard.unlink()
    with pytest.raises(AbovoError, match=r"shard-00002\.jsonl\.zst: the shard is missing"):
        list(read_documents(manifest))
    shard.write_bytes(data[:-20])
    with pytest.raises(AbovoError, match=r"shard-00002\.jsonl\.zst: corrupt shard"):
        list(read_documents(manifest))


def test_interval_of_the_mean_holds_the_mean_and_shrinks_with_more_groups():
    mean, low, high = ratio_interval([100, 300, 200, 220], [1, 3, 2, 2])
    assert low < mean < high and mean == pytest.approx(102.5)
    wide, narrow = (ratio_interval([90, 110] * n, [1, 1] * n) for n in (3, 300))
    assert narrow[2] - narrow[1] < wide[2] - wide[1]


def test_budget_without_tokens_has_no_limit():
    assert source_budget(Corpus(sources={"a": source_of(type="package")}), "a") is None


def test_a_script_ends_a_bad_corpus_with_one_line_and_status_1(tmp_path, root):
    settings = resolved(CORPUS | {"sources": {"a": SOURCE | {"paths": str(tmp_path / "nowhere.jsonl")}}})
    command = [sys.executable, root / "workflow/scripts/plan_corpus.py", "--settings", json.dumps(plain(settings))]
    done = subprocess.run([*command, "--output", tmp_path / "plan.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (tmp_path / "plan.json").exists()
    assert done.stderr.strip().splitlines() == [
        f"error: {tmp_path}/nowhere.jsonl: the file does not exist; mend the source's `paths`"
    ]


def test_a_source_of_which_nothing_is_held_out_is_named_in_plan_manifest_and_on_the_screen(make_corpus, caplog):
    few = [text for text in rows("few", 40) if not is_validation(document_hash(text.strip()), 0.1)][:4]
    manifest = make_corpus({"many": (rows("many", 300), {}), "few": (few, {})})
    assert manifest["unvalidated"] == {"few": {"documents": 4, "expected": 0.4}}
    assert manifest["counts"]["sources"]["few"]["validation_documents"] == 0
    plan = json.loads((manifest.path.parent / "plan.json").read_text())
    assert plan["unvalidated"] == {"few": {"documents": 4, "expected": 0.4, "chance_of_none": 0.6561}}
    said = [record.getMessage() for record in caplog.records if "held out" in record.getMessage()]
    assert [line.partition(":")[0] for line in said] == ["source few (chance 66%)", "source few"]
    mend = "set validation_share to 0.53, or give it more documents"
    assert all("none of 4 documents is held out (0.4 expected)" in line for line in said)
    assert all(line.endswith("give it more documents") and mend not in line for line in said)
    assert make_corpus({"few": (few, {})}, "train_only", validation_share=0)["unvalidated"] == {}


def test_the_share_that_is_advised_holds_a_document_out():
    for documents in (5, 40, 1000):
        share = float(held_out.mend(documents).split()[3].rstrip(","))
        assert 0.03 < held_out.chance_of_none(documents, share) < 0.07
    assert held_out.mend(4) == "give it more documents"
