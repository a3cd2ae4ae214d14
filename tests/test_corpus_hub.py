"""A data set of the hub is read to the same bytes whatever the network does, or ends with one clear line."""

import gzip
import io
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard
from corpus_jobs import resolved
from hub_server import Hub

from abovo.settings.keys import plain

READER = Path(__file__).with_name("hub_reader.py")
SETTINGS = {
    "type": "huggingface", "dataset": "people/letters", "config": None, "data_dir": None, "split": "train",
    "revision": None,
    "column": "text", "documents": "line", "timeout": 0.5, "give_up": 6, "deadline": 60,
}  # fmt: skip
DATA = "/resolve/.*(parquet|gz|zst|txt)$"
SECRET = "hf_a_token_that_stays_here"


def texts(number, seed=1):
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefgh \nöé", k=draw.randrange(200))) for _ in range(number)]


def lines(rows):
    return b"".join(json.dumps({"id": 7, "text": row}).encode() + b"\n" for row in rows)


def parquet(rows, group, **options):
    import pyarrow
    import pyarrow.parquet

    buffer, other = io.BytesIO(), [random.Random(number).randbytes(600) for number in range(len(rows))]
    table = pyarrow.table({"other": other, "text": rows})
    pyarrow.parquet.write_table(table, buffer, row_group_size=group, **options)
    return buffer.getvalue()


class Reader:
    """The process that reads from the hub."""

    def __init__(self, hub, home):
        env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": SECRET}
        self.hub = hub
        self.process = subprocess.Popen(
            [sys.executable, str(READER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )

    def __call__(self, dataset="people/letters", **order):
        values = {key: order.pop(key) for key in list(order) if key in SETTINGS}
        order["settings"] = SETTINGS | {"dataset": dataset} | values
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


SETS = {
    "people/letters": {
        "README.md": b"---\nlicense: cc0-1.0\n---\n",
        "data/train-00000-of-00002.parquet": parquet(texts(900), 200),
        "data/train-00001-of-00002.parquet": parquet(texts(700, 2), 200),
        "data/test-00000-of-00001.parquet": parquet(texts(5, 3), 200),
    },
    "people/packed": {
        "README.md": b"---\nconfigs:\n- config_name: en\n  data_files:\n  - split: train\n    path: en/*.json.gz\n"
        b"- config_name: fr\n  data_files: fr/*.jsonl.zst\n---\n",
        "en/part-0.json.gz": gzip.compress(lines(texts(900, 4)), mtime=0),
        "en/part-1.json.gz": gzip.compress(lines(texts(300, 5)), mtime=0),
        "fr/part-0.jsonl.zst": zstandard.compress(lines(texts(900, 6))),
    },
    "people/code": {
        "README.md": b"---\nlicense: other\n---\n",
        "data/c/data-00000-of-00001.parquet": parquet(texts(300, 8), 200),
        "data/python/data-00000-of-00001.parquet": parquet(texts(500, 9), 200),
    },
    "people/plain": {"train.txt": b"\n".join(text.encode() for text in texts(400, 7))},
}


@pytest.fixture(scope="module")
def hub():
    with Hub() as hub:
        for repo, files in SETS.items():
            hub.publish(repo, files)
        yield hub


@pytest.fixture(scope="module")
def reader(hub, tmp_path_factory):
    reader = Reader(hub, tmp_path_factory.mktemp("home") / "huggingface")
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def undisturbed(reader):
    """What each data set gives when nothing goes wrong."""
    return {
        "people/letters": reader("people/letters"),
        "people/packed": reader("people/packed", config="en"),
    }


@pytest.fixture(autouse=True)
def healthy(hub):
    hub.heal()
    yield
    hub.heal()


def test_parquet_is_read_row_by_row_and_only_its_text(hub, reader, undisturbed):
    found = undisturbed["people/letters"]
    assert found["records"] == 1600
    names = [name for name in SETS["people/letters"] if "train" in name]
    assert [item["name"] for item in found["revision"]["files"]] == names
    assert len(found["units"]) == 9 and found["units"][0] == "data/train-00000-of-00002.parquet@0/5"
    hub.heal()
    again = reader(planned=found["revision"])
    assert again["sha256"] == found["sha256"]
    sent = sum(sent for _, path, _, sent in hub.requests if "parquet" in path)
    # Each footer once (64 KB of the end), and of the rows the text without the other column.
    assert sent < 0.3 * sum(len(data) for name, data in SETS["people/letters"].items() if "train" in name)
    assert not [path for _, path, _, _ in hub.requests if path.startswith("/api/datasets")]


def test_configs_splits_and_packed_lines_are_found_as_the_library_finds_them(reader, undisturbed):
    assert undisturbed["people/packed"]["records"] == 1200
    assert undisturbed["people/packed"]["units"] == ["en/part-0.json.gz", "en/part-1.json.gz"]
    assert reader("people/packed", config="fr")["records"] == 900
    assert reader(split="test")["records"] == 5
    lines_of_text = SETS["people/plain"]["train.txt"].count(b"\n") + 1
    assert reader("people/plain", documents="line")["records"] == lines_of_text
    assert reader("people/plain", documents="file")["records"] == 1


def test_a_folder_of_a_data_set_is_read_alone(reader):
    found = reader("people/code", data_dir="data/python")
    assert found["records"] == 500
    assert [item["name"] for item in found["revision"]["files"]] == ["data/python/data-00000-of-00001.parquet"]
    assert reader("people/code")["records"] == 800


def test_the_order_stops_with_the_caller_and_fetches_only_what_was_read(hub, reader, undisturbed):
    revision = undisturbed["people/letters"]["revision"]
    hub.heal()
    assert reader(planned=revision, stop=150)["records"] == 150
    ranges = [span for _, path, span, _ in hub.requests if "parquet" in path]
    assert len(ranges) == 2, "the footer and one row group"


def test_reading_goes_on_in_the_middle_of_a_unit(reader, undisturbed):
    # 900 rows in row groups of 200 are five units, the last of 100; then 700 in four, the last of 100.
    revision = undisturbed["people/letters"]["revision"]
    assert reader(planned=revision, start=150)["records"] == 7 * 50
    packed = undisturbed["people/packed"]["revision"]
    assert reader("people/packed", config="en", planned=packed, start=250)["records"] == 650 + 50


FAULTS = {
    "503 at first, everywhere": {"kind": "status", "first": True},
    "429 at first, everywhere": {"kind": "status", "status": 429, "first": True, "headers": {"Retry-After": "0"}},
    "429 that asks to wait": {"kind": "status", "status": 429, "times": 1, "headers": {"Retry-After": "1"}},
    "408, every other request": {"kind": "status", "status": 408, "every": 2},
    "500 from the interface": {"kind": "status", "status": 500, "match": "/api/", "every": 2},
    "504 on data, three in a row": {"kind": "status", "status": 504, "match": DATA, "times": 3},
    "connections dropped in the middle": {"kind": "cut", "after": 3000, "match": DATA, "every": 2},
    "connections dropped again and again": {"kind": "cut", "after": 20_000, "match": DATA},
    "connections dropped in the interface": {"kind": "cut", "after": 30, "match": "/api/", "every": 2},
    "ranges half sent": {"kind": "half", "match": DATA},
    "ranges that start elsewhere": {"kind": "wrong", "match": DATA, "every": 2},
    "ranges without a label": {"kind": "unlabelled", "match": DATA, "every": 2},
    "ranges ignored": {"kind": "whole", "match": DATA},
    "ranges ignored now and then": {"kind": "whole", "match": DATA, "every": 2},
    "silence in the middle": {"kind": "silent", "after": 2000, "match": DATA, "every": 2, "seconds": 5, "times": 2},
    "slow answers": {"kind": "drip", "after": 20_000, "match": DATA, "seconds": 0.03},
}


# The other pairs of data set and fault are slow tests.
FAST = {
    "people/letters": (
        "503 at first, everywhere", "429 at first, everywhere", "connections dropped in the middle",
        "ranges half sent", "ranges ignored", "silence in the middle", "slow answers",
    ),
    "people/packed": ("connections dropped again and again", "ranges ignored now and then"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "fault"),
    [
        pytest.param(dataset, fault, marks=[] if fault in FAST[dataset] else pytest.mark.slow)
        for dataset in FAST
        for fault in FAULTS
    ],
)
def test_a_disturbed_reading_ends_with_the_same_bytes(hub, reader, undisturbed, dataset, fault):
    hub.fault(**FAULTS[fault])
    found = reader(dataset, config="en" if dataset == "people/packed" else None)
    assert found.get("error") is None
    assert {key: found[key] for key in ("sha256", "records", "revision", "units")} == {
        key: undisturbed[dataset][key] for key in ("sha256", "records", "revision", "units")
    }
    assert any(fault.done for fault in hub.faults)


@pytest.mark.parametrize(
    "fault", ["ranges ignored", "ranges that start elsewhere", "ranges half sent", "503 at first, everywhere"]
)
def test_whole_rows_go_through_the_same_retries(hub, reader, fault):
    hub.fault(**FAULTS[fault])
    found = reader(rows=True)
    assert found.get("error") is None
    assert found["rows"] == texts(900) + texts(700, 2) and found["keys"] == ["other", "text"]
    packed = reader("people/packed", config="en", rows=True)
    assert packed["rows"] == texts(900, 4) + texts(300, 5) and packed["keys"] == ["id", "text"]


@pytest.mark.parametrize("xet", [False, True])
@pytest.mark.parametrize("rows", [False, True])
def test_files_that_lie_on_another_server_are_read_from_there_without_the_token(hub, reader, undisturbed, rows, xet):
    """302 to another host and port, as the hub answers for large files; what it offers by Xet is read by ranges too."""
    hub.stores, hub.xet, hub.told_elsewhere = True, xet, set()
    hub.fault("cut", after=3000, match="/stored/", times=2)
    found = reader(rows=rows)
    assert found.get("error") is None
    if rows:
        assert found["rows"] == texts(900) + texts(700, 2)
    else:
        assert found["sha256"] == undisturbed["people/letters"]["sha256"]
    assert "range" in hub.told_elsewhere and "authorization" not in hub.told_elsewhere
    assert f"Bearer {SECRET}" in hub.tokens and not [path for _, path, _, _ in hub.requests if "xet" in path]


@pytest.mark.parametrize(("stores", "former"), [(True, False), (True, True), (False, True)])
def test_other_bytes_behind_a_redirect_are_told(hub, reader, stores, former):
    hub.publish("people/behind", SETS["people/letters"])
    planned = reader("people/behind")["revision"]
    name = "data/train-00000-of-00002.parquet"
    hub.stores, data = stores, SETS["people/letters"][name]
    hub.commits["people/behind"][planned["sha"]] = SETS["people/letters"] | {name: data[:-5] + bytes(5)}
    if former:
        hub.renamed = {"people/before": "people/behind"}
        planned["dataset"] = "people/before"
    found = reader("people/before" if former else "people/behind", planned=planned)
    assert f"{name}: the hub has other bytes at the planned commit" in found["error"]


@pytest.mark.parametrize("stores", [False, True])
def test_a_data_set_that_was_renamed_is_read_under_its_former_name(hub, reader, undisturbed, stores):
    hub.renamed, hub.stores = {"people/notes": "people/letters"}, stores
    found = reader("people/notes")
    again = reader("people/notes", planned=found.get("revision"))
    assert (found.get("error"), again.get("error")) == (None, None)
    assert found["sha256"] == again["sha256"] == undisturbed["people/letters"]["sha256"]


def test_a_branch_that_moves_after_the_plan_changes_nothing(hub, reader, undisturbed):
    planned = undisturbed["people/letters"]["revision"]
    sha = hub.publish("people/letters", SETS["people/letters"] | {"README.md": b"new"})
    assert reader(planned=planned)["sha256"] == undisturbed["people/letters"]["sha256"]
    assert reader()["revision"]["sha"] == sha
    hub.publish("people/letters", SETS["people/letters"])


@pytest.mark.parametrize("how", ["gone", "other bytes", "longer"])
def test_a_planned_revision_that_the_hub_does_not_have_any_more_is_told(hub, reader, how):
    sha = hub.publish("people/changing", SETS["people/letters"])
    planned = reader("people/changing")["revision"]
    name = "data/train-00000-of-00002.parquet"
    data = bytearray(SETS["people/letters"][name])
    data[len(data) // 2] ^= 1
    if how == "gone":
        del hub.commits["people/changing"][sha]
    else:
        changed = {name: bytes(data) + (b"more" if how == "longer" else b"")}
        hub.commits["people/changing"][sha] = SETS["people/letters"] | changed
    error = reader("people/changing", planned=planned)["error"]
    says = "the hub does not have it any more" if how == "gone" else "the hub has other bytes"
    assert f"{name}: {says} at the planned commit {sha[:12]}" in error and "plan.json" in error


@pytest.mark.parametrize(
    ("fault", "values", "says"),
    [
        ({"kind": "status"}, {"give_up": 0.3}, "the hub has failed for"),
        ({"kind": "status", "match": DATA}, {"give_up": 0.3}, "(status 503); start again later, or raise"),
        ({"kind": "status", "status": 429, "headers": {"Retry-After": "900"}}, {}, "asks to wait 900 s"),
        ({"kind": "status", "status": 429, "headers": {"RateLimit": '"api";r=0;t=700'}}, {}, "asks to wait 700 s"),
        ({"kind": "silent", "match": DATA, "after": 10, "seconds": 9}, {"give_up": 0.5, "timeout": 0.2}, "failed for"),
        (
            {"kind": "drip", "match": DATA, "after": 40, "seconds": 0.05},
            {"give_up": 0.5, "timeout": 0.2},
            "less than 65536 bytes",
        ),
        ({"kind": "drip", "match": DATA, "after": 9000, "seconds": 0.2}, {"deadline": 0.8}, "its deadline of 0.8 s"),
        ({"kind": "cut", "match": DATA, "after": 0}, {"give_up": 0.3}, "RemoteProtocolError"),
        ({"kind": "status", "status": 403, "match": DATA}, {}, "access is refused (status 403); check HF_TOKEN"),
    ],
)
def test_patience_ends_in_time_with_one_line(hub, reader, fault, values, says):
    hub.fault(**fault)
    found = reader(**values)
    assert says in found["error"] and "people/letters" in found["error"] and "\n" not in found["error"]
    assert found["seconds"] < 5


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"dataset": "people/nobody"}, "data set people/nobody: the hub does not know it"),
        ({"revision": "v9"}, "data set people/letters: no revision 'v9'; set the source's `revision`"),
        ({"split": "dev"}, "no split 'dev' (known: train, test)"),
        ({"config": "de", "dataset": "people/packed"}, "'de' not found. Available: ['en', 'fr']"),
        ({"column": "body"}, "no column 'body' (has: other, text); set the source's `column`"),
        ({"column": "other"}, "row 1: not UTF-8 (byte 0)"),
    ],
)
def test_settings_that_fit_no_data_are_told(reader, values, says):
    assert says in reader(**values)["error"]


def test_code_of_a_data_set_is_never_executed(hub, reader, tmp_path):
    trap = tmp_path / "executed"
    script = f"from pathlib import Path\nPath({str(trap)!r}).touch()\n".encode()
    hub.publish("people/script", {"script.py": script, "data.csv": b"text\nx\n"})
    assert "its code is not executed" in reader("people/script")["error"]
    assert not trap.exists()
    hub.publish("people/table", {"data.tar": b""})
    assert "no reader for its file data.tar" in reader("people/table")["error"]


def test_the_token_is_sent_to_the_hub_and_shown_nowhere(hub, reader, undisturbed):
    assert f"Bearer {SECRET}" in hub.tokens
    assert SECRET not in json.dumps(undisturbed)


def test_memory_does_not_grow_with_a_row_group(hub, reader):
    rows = [text * 150 for text in texts(4000, 8)]
    pages = {"compression": "zstd", "use_dictionary": False, "write_batch_size": 64}
    hub.publish("people/large", {"train.parquet": parquet(rows, 4000, **pages)})
    found = reader("people/large")
    assert found["records"] == 4000 and sum(map(len, rows)) > 55_000_000
    assert found["more_memory"] < 55_000_000


def plan(root, tmp_path, endpoint, **values):
    """The script that plans a corpus of one data set, in a process of its own."""
    keys = {key: value for key, value in SETTINGS.items() if value is not None}
    source = keys | values | {"licence": "CC0", "language": "en"}
    settings = resolved({"description": "", "bytes_per_token": 3.0, "sources": {"letters": source}})
    command = [sys.executable, str(root / "workflow/scripts/plan_corpus.py"), "--settings", json.dumps(plain(settings))]
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home")}
    started = time.monotonic()
    done = subprocess.run(
        [*command, "--output", tmp_path / "plan.json"], capture_output=True, text=True, check=False, env=env
    )
    return done, time.monotonic() - started


def test_a_corpus_is_planned_from_the_hub_and_its_revision_is_in_the_plan(root, tmp_path, hub, undisturbed):
    done, _ = plan(root, tmp_path, hub.url)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "plan.json").read_text()
    assert json.loads(text)["sources"]["letters"]["revision"] == undisturbed["people/letters"]["revision"]
    assert SECRET not in text and hub.url not in text


def test_a_plan_opens_few_files_of_a_data_set_of_many(root, tmp_path, hub):
    hub.publish("people/many", {f"data/{number:03d}.jsonl": lines(texts(90, number)) for number in range(80)})
    done, _ = plan(root, tmp_path, hub.url, dataset="people/many")
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "plan.json").read_text())["sources"]["letters"]
    assert (made["sampled"], made["sampled_units"], made["units"]) == (400, 16, 80)
    assert made["available_documents"] == pytest.approx(80 * 90, rel=0.1)
    opened = {path for _, path, _, sent in hub.requests if path.endswith(".jsonl") and sent}
    assert len(opened) == 16


def test_without_a_network_one_line_says_so(root, tmp_path):
    done, seconds = plan(root, tmp_path, "http://127.0.0.1:9", give_up=2)
    assert done.returncode == 1 and seconds < 20 and not (tmp_path / "plan.json").exists()
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    line = done.stderr.strip()
    assert line.startswith("error: data set people/letters: the hub cannot be reached (ConnectError")
    assert line.endswith("check the network and HF_ENDPOINT")


@pytest.mark.slow
def test_without_a_network_the_default_patience_ends_within_60_seconds(root, tmp_path):
    done, seconds = plan(root, tmp_path, "http://127.0.0.1:9", give_up=300, timeout=30)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1 and seconds < 60
