"""The plan of a corpus says from a small sample what reading it all will take, and the manifest how right it was."""

import json
import random

import pytest
from corpus_jobs import SCRIPTS, resolved, run_jobs

from abovo.corpus.records import Record
from abovo.corpus.sample import UNITS, Sampling, available, draw
from abovo.corpus.sources import Source
from abovo.corpus.survey import plan_corpus
from abovo.provenance.manifest import read_manifest
from abovo.tokenizing.count import measures_of

DRAW = random.Random(3)
VOCABULARY = ["".join(DRAW.choices("abcdefghijklmnopqrstuvwxyz", k=DRAW.randint(2, 9))) for _ in range(3000)]


def prose(draw_, words):
    return " ".join(draw_.choices(VOCABULARY, k=words))


def write(folder, files):
    folder.mkdir(parents=True)
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return {"type": "local", "licence": "CC0", "language": "en", "paths": str(folder)}


def corpus(sources, **settings):
    defaults = {"description": "", "bytes_per_token": 3.0, "min_characters": 10, "sample_documents": 200}
    return defaults | settings | {"sources": sources}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A corpus of two sources whose files differ tenfold in length and are sorted by it, with duplicates in and between
    them; the second one is read up to its budget."""
    folder, lot = tmp_path_factory.mktemp("uneven"), random.Random(5)
    lengths = {"a.jsonl": 20, "b.jsonl": 60, "c.jsonl": 200}
    files = {name: [prose(lot, words + number // 4) for number in range(400)] for name, words in lengths.items()}
    files["b.jsonl"] += files["a.jsonl"][:100]
    twin = [*(prose(lot, 40) for _ in range(900)), *lot.sample(files["c.jsonl"], 100)]
    twin = twin + twin[:450]
    lot.shuffle(twin)
    sources = {"a": write(folder / "a", files), "b": write(folder / "b", {"x.jsonl": twin}) | {"take": "first"}}
    settings = corpus(sources, tokens=80_000, weights={"a": 0.5, "b": 0.5})
    return run_jobs(settings, folder / "made"), settings, folder


def test_documents_tokens_and_bytes_come_out_as_planned_where_files_differ(uneven):
    manifest, *_ = uneven
    ratios = manifest["actual_over_planned"]
    for source in "ab":
        assert ratios["sources"][source]["within_interval"]["documents"]
        assert ratios["sources"][source]["tokens"] == pytest.approx(1, abs=0.02)
        assert ratios["sources"][source]["bytes"] == pytest.approx(1, abs=0.05)
    assert ratios["documents"] == pytest.approx(1, abs=0.2) and ratios["within_interval"]["documents"]
    assert ratios["sources"]["a"]["documents_to_read"] == 1, "all of it is read, and was counted"
    assert ratios["sources"]["b"]["documents_to_read"] == pytest.approx(1, abs=0.4)
    assert ratios["shards"] == 1 and ratios["disk_bytes"] == pytest.approx(1, abs=0.3)


def test_duplicates_of_the_sample_are_scaled_to_the_source_and_the_interval_holds_the_truth(uneven):
    manifest, _, folder = uneven
    plan = json.loads((folder / "made/plan.json").read_text())["sources"]
    assert plan["a"]["duplicates"]["in_sample"]["like_another_source"] == 0
    assert plan["b"]["duplicates"]["in_sample"]["exact"] > plan["b"]["duplicates"]["in_sample"]["near"] == 0
    for source in "ab":
        planned, ratios = (manifest[key]["sources"][source] for key in ("planned", "actual_over_planned"))
        low, high = planned["intervals"]["duplicates"]
        assert 0 < planned["duplicates"] < high and low < planned["duplicates"]
        assert ratios["within_interval"]["duplicates"], (source, planned, manifest["counts"]["sources"][source])


def test_clocks_stand_outside_the_digest_and_time_is_compared_too(uneven, tmp_path):
    manifest, settings, folder = uneven
    settings = resolved(settings)
    first = read_manifest(folder / "made/plan.json")
    again = plan_corpus(settings, measures_of(settings), tmp_path / "plan.json", SCRIPTS / "plan_corpus.py")
    assert again.digest == first.digest
    assert again["measured"]["cpu_seconds"] > 0 and again["measured"]["sources"]["a"]["cpu_seconds_per_mb"] > 0
    assert "cpu_seconds" not in json.dumps({key: value for key, value in first.data.items() if key != "measured"})
    assert "cpu_seconds" not in manifest.path.read_text(), "the corpus' manifest has the same bytes on every machine"
    time = manifest.record["reading_cpu_seconds"]
    assert time["actual"] > 0 and time["actual_over_planned"] == pytest.approx(time["actual"] / time["planned"], 0.01)


def made_of(sizes, opened):
    """A source of units of so many records; notes which were opened."""

    def read(unit, start=0):
        opened.append(unit)
        return (Record(f"{unit}#{row}", f"{unit} {row} " * 20) for row in range(start, sizes[int(unit)]))

    return Source({}, tuple(map(str, range(len(sizes)))), read)


@pytest.mark.parametrize(("remote", "most"), [(True, UNITS), (False, 5 * UNITS)])
def test_a_small_sample_opens_few_files(remote, most):
    opened = []
    source = made_of([5] * 500, opened)
    how = Sampling(size=300, bytes=1e9, seed=1)
    drawn = list(draw(source, source.units, how, remote))
    assert len(set(opened)) == len(opened) <= most and opened == list(source.units[: len(opened)])
    assert sum(len(records) for _, records in drawn) == min(300, 5 * len(opened))
    assert available([one for one, _ in drawn], source.units, {}, how) == (2500, False)


def test_a_sample_is_drawn_from_all_that_is_read_of_a_unit_and_no_more_is_read_than_allowed():
    source = made_of([100_000], [])
    ((stretch, records),) = draw(source, source.units, Sampling(size=50, bytes=2e6, seed=1), remote=False)
    assert len(records) == 50 and 1.9e6 < stretch.bytes < 2.1e6 and stretch.held is None
    rows = [found.order for found in records]
    assert rows == sorted(rows) and min(rows) < 0.2 * stretch.read and max(rows) > 0.8 * stretch.read
    again = list(draw(source, source.units, Sampling(size=50, bytes=2e6, seed=1), remote=False))
    assert again == [(stretch, records)]
    other = list(draw(source, source.units, Sampling(size=50, bytes=2e6, seed=2), remote=False))
    assert other[0][1] != records


def test_where_only_the_first_records_count_the_sample_is_of_those():
    source = made_of([7] * 50, [])
    how = Sampling(size=20, bytes=1e9, seed=1, limit=30)
    ((stretch, records),) = draw(source, source.units, how, remote=False)
    assert (stretch.read, len(records)) == (30, 20) and max(found.record.id for found in records) <= "4#1"
    assert available([stretch], source.units, {}, how) == (30, True)
