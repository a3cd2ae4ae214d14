"""From a manifest all that stands behind it is found by role, wherever results/ lies now."""

import shutil
from pathlib import Path

import pytest

from abovo.errors import AbovoError
from abovo.provenance.chain import Chain
from abovo.provenance.manifest import read_manifest
from abovo.provenance.products import Job, Made, produce


def made(output, n=1, **inputs):
    """An artifact with the number `n` in it, made from other ones by role."""
    return produce(Job(output, "abovo/test/1", inputs, {"n": n}, Path(__file__)), lambda folder: Made({"n": n}))


@pytest.fixture
def top(tmp_path, monkeypatch):
    """A model of two sets of one corpus, made under relative paths as the workflow does."""
    monkeypatch.chdir(tmp_path)
    results = Path("results")
    corpus = made(results / "corpora/small/manifest.json")
    sets = {
        f"set/{name}": made(results / f"packed/{name}/manifest.json", len(name), corpus=corpus) for name in ("a", "bb")
    }
    return made(results / "pretrain/small/manifest.json", **sets)


def test_all_that_stands_behind_is_found_by_role_and_once(top):
    chain = Chain()
    assert list(chain.behind(top)) == ["set/a", "set/bb"]
    found = chain.all([top])
    assert list(found) == [
        "results/corpora/small/manifest.json", "results/packed/a/manifest.json", "results/packed/bb/manifest.json",
    ]  # fmt: skip
    corpora = [chain.input(one, "corpus") for one in chain.behind(top).values()]
    assert corpora[0] is corpora[1]
    with pytest.raises(
        AbovoError, match=r"pretrain/small/manifest.json: has no input 'corpus' \(it has set/a, set/bb\)"
    ):
        chain.input(top, "corpus")


@pytest.mark.parametrize("place", ["elsewhere/results", "backup/of/last-year"])
def test_results_are_found_where_they_were_moved_to(top, tmp_path, monkeypatch, place):
    (tmp_path / place).parent.mkdir(parents=True)
    shutil.move("results", place)
    found = Chain().all([read_manifest(tmp_path / place / "pretrain/small/manifest.json")])
    assert all(one.path.is_relative_to(tmp_path / place) for one in found.values()) and len(found) == 3
    monkeypatch.chdir(tmp_path / place)
    assert len(Chain().all([read_manifest(Path("pretrain/small/manifest.json"))])) == 3


def test_broken_link_is_one_line_that_names_both_files_and_the_mend(top, tmp_path):
    corpus = Path("results/corpora/small/manifest.json")
    made(corpus, 7)
    with pytest.raises(AbovoError) as error:
        Chain().all([top])
    for part in ("results/packed/", str(corpus), "another state of its input corpus", "snakemake --cores 1"):
        assert part in str(error.value)
    corpus.unlink()
    with pytest.raises(
        AbovoError, match=r"results/packed/.*its input corpus, results/corpora/small/manifest.json, is gone"
    ):
        Chain().all([top])
