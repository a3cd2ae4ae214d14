"""An artifact's request changes exactly when the artifact is due, whatever Snakemake remembers and clocks say."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.manifest import digest_of, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.provenance.requests import ask, hand_over, level_clocks, place_of_request

RAW, PACKED = Path("results/raw/manifest.json"), Path("results/packed/manifest.json")
SETTINGS = {"length": 8, "near": None}
SCRIPT = Script(Path(__file__), SETTINGS)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def wanted(output, told=None, code=SCRIPT.code, **settings):
    """The bytes of the request, and whether the artifact is older than it."""
    told = [] if told is None else told
    place = ask(output, SETTINGS | settings, code, told.append)
    newer = not output.exists() or place.stat().st_mtime_ns > output.stat().st_mtime_ns
    return place.read_bytes(), newer


def make(output, settings=None, **inputs):
    def write(folder):
        (folder / "rows").mkdir()
        (folder / "rows/train.bin").write_bytes(b"12345678")
        return Made({})

    given = SETTINGS | (settings or {})
    return produce(Job(output, "abovo/test/1", inputs, {"length": given["length"]}, Script(SCRIPT.path, given)), write)


def chain():
    """Two artifacts, made as the workflow makes them: requested first."""
    wanted(RAW), wanted(PACKED)
    return make(PACKED, raw=make(RAW))


def test_what_stands_is_asked_for_in_the_same_words_and_nothing_is_told():
    chain()
    told = []
    first = wanted(PACKED, told)
    assert first[1] is False and wanted(PACKED, told) == first and told == []


def test_changed_setting_or_code_is_a_new_request_and_the_old_value_the_old_one():
    chain()
    told = []
    before, _ = wanted(PACKED)
    changed, newer = wanted(PACKED, told, length=16)
    assert changed != before and newer
    assert told == [f"{PACKED}: is made again, because length changed from 8 to 16"]
    assert wanted(PACKED) == (before, False)
    assert wanted(PACKED, told, code="other")[1] and told[-1].endswith("its code changed")
    shutil.rmtree("results/settings")
    assert wanted(PACKED) == (before, False)


@pytest.mark.parametrize("gone", ["results/packed/rows/train.bin", "results/packed/rows", str(PACKED)])
def test_what_is_gone_renews_the_request_until_it_is_made_again(gone):
    chain()
    told = []
    before, _ = wanted(PACKED)
    shutil.rmtree(gone) if Path(gone).is_dir() else Path(gone).unlink()
    renewed, newer = wanted(PACKED, told)
    assert renewed != before and newer and wanted(PACKED) == (renewed, True)
    assert gone == str(PACKED) or "is made again, because results/packed/rows/train.bin is gone" in told[0]
    make(PACKED, raw=make(RAW))
    assert wanted(PACKED) == (renewed, False)


def test_shortened_file_and_another_state_of_an_input_are_noticed():
    chain()
    told = []
    file = Path("results/packed/rows/train.bin")
    file.unlink(), file.write_bytes(b"123")
    assert wanted(PACKED, told)[1] and "another size" in told[0]
    make(PACKED, raw=make(RAW))
    make(RAW, {"length": 9})
    assert wanted(PACKED, told)[1] and f"another state of its input raw, {RAW}" in told[-1]


def test_copied_results_stand_whatever_their_clocks_say():
    chain()
    before = wanted(PACKED)
    shutil.copytree("results", "copy")
    shutil.rmtree("results"), Path("copy").rename("results")
    for number, path in enumerate((PACKED, place_of_request(PACKED), RAW)):
        os.utime(path, ns=(time.time_ns(), time.time_ns() + number * 10**9))
    told = []
    level_clocks()
    assert wanted(PACKED, told) == before and told == []
    assert RAW.stat().st_mtime_ns == PACKED.stat().st_mtime_ns
    assert wanted(PACKED, told, length=9)[1] and len(told) == 1
    level_clocks()
    assert wanted(PACKED, told, length=9)[1]


def test_clocks_stay_where_snakemake_remembers_something():
    chain()
    Path(".snakemake/metadata").mkdir(parents=True)
    Path(".snakemake/metadata/record").write_text("{}")
    os.utime(RAW, ns=(time.time_ns(), time.time_ns() + 10**9))
    before = RAW.stat().st_mtime_ns
    level_clocks()
    assert RAW.stat().st_mtime_ns == before


def test_results_without_their_kept_products_are_told_by_their_manifests():
    chain()
    shutil.rmtree(PACKED.parent / ".products")
    assert wanted(PACKED)[1] is False
    assert wanted(PACKED, length=9)[1] is True


def test_script_that_is_run_by_hand_with_other_settings_answers_no_request():
    chain()
    make(PACKED, {"length": 9}, raw=make(RAW))
    told = []
    assert wanted(PACKED, told)[1] and "made with other settings" in told[0]


def test_input_that_is_gone_for_good_is_told_and_reruns_nothing():
    chain()
    shutil.rmtree(RAW.parent)
    told = []
    assert wanted(PACKED, told)[1] is False
    assert told == [f"{RAW}: is gone, {PACKED} was made from it and stands; make it: snakemake --cores 1 {RAW}"]


def test_a_hundred_artifacts_are_looked_at_in_a_second():
    made = make(RAW)
    outputs = [Path(f"results/many/{number}/manifest.json") for number in range(100)]
    for output in outputs:
        wanted(output)
        make(output, raw=made)
    json.loads(RAW.read_text())
    started = time.monotonic()
    for output in outputs:
        wanted(output)
    assert time.monotonic() - started < 1


def test_results_of_a_version_that_named_no_roles_are_made_again(tmp_path):
    make(PACKED, raw=make(RAW))
    data = json.loads(PACKED.read_text())
    data["inputs"] = {entry["path"]: entry["digest"] for entry in data["inputs"].values()}
    PACKED.chmod(0o644)
    PACKED.write_text(json.dumps(data | {"digest": digest_of(data)}))  # the kept product is the same file
    with pytest.raises(AbovoError, match="earlier version"):
        read_manifest(PACKED)
    told = []
    assert wanted(PACKED, told)[1] and "an earlier version" in told[0]
    make(PACKED, raw=make(RAW))
    assert set(read_manifest(PACKED)["inputs"]) == {"raw"}
    assert not wanted(PACKED)[1]


@pytest.mark.parametrize("prefix", ["", "models/", "my results/x/"])
def test_what_a_job_was_given_stays_when_other_settings_are_planned(prefix):
    """A job that waits for its turn would take the settings of a dry run else."""
    output = Path(f"{prefix}results/raw/manifest.json")
    given = hand_over(output, SETTINGS)
    other = hand_over(output, SETTINGS | {"length": 9})
    assert given != other and given.parent == other.parent == Path(f"{prefix}results/settings/raw/manifest")
    assert json.loads(given.read_text()) == SETTINGS
    given.write_text('{"length": 9}')  # whatever lies there, a job is told what was asked
    assert hand_over(output, SETTINGS) == given
    assert json.loads(given.read_text()) == SETTINGS


def test_clocks_of_a_job_at_work_are_left_alone():
    """Its lock's time says that it lives."""
    chain()
    live = [Path("results/packed/.products/manifest.json/lock.lease"), Path("results/packed/state/metrics.jsonl")]
    live.append(Path("results/packed/state/lock.lease"))
    for path in live:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, ns=(time.time_ns(), time.time_ns() + 5 * 10**9))
    before = [path.stat().st_mtime_ns for path in live]
    level_clocks()
    assert [path.stat().st_mtime_ns for path in live] == before
    assert RAW.stat().st_mtime_ns == PACKED.stat().st_mtime_ns


@pytest.mark.parametrize("text", ["{}", "[]", "[" * 100_000, '{"settings": 1, "code": 2, "digest": 3}', "\0"])
def test_a_damaged_memory_of_a_request_is_none(text):
    chain()
    before = wanted(PACKED)
    memory = Path("results/packed/.products/manifest.json/request.json")
    assert memory.is_file()
    memory.unlink(), memory.write_text(text)
    told = []
    assert wanted(PACKED, told) == before and told == []


@pytest.mark.parametrize("text", ['{"digest": 5, "inputs": []}', "[]", "[" * 100_000])
def test_a_damaged_manifest_is_made_again(text):
    chain()
    PACKED.unlink(), PACKED.write_text(text)
    told = []
    assert wanted(PACKED, told)[1]
