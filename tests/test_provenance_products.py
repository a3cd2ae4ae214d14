"""An artifact is made once; its bytes are vouched for; a job that dies leaves nothing declared behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from abovo.errors import AbovoError
from abovo.provenance import code
from abovo.provenance.locks import exclusive
from abovo.provenance.manifest import read_manifest
from abovo.provenance.products import Job, Made, produce


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("x = 1\n")
    return path


def forget_code():
    """As a new process would: read the code again."""
    code._code_hash.cache_clear()
    code._module.cache_clear()


class Work:
    def __init__(self, text="hello"):
        self.text, self.calls = text, 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "part").mkdir()
        (folder / "part" / "data.txt").write_text(self.text)
        (folder / "clock.txt").write_text(str(time.time_ns()))
        return Made(counts={"documents": 1}, fields={"kind": "text"}, unhashed=("clock.txt",))


def job(tmp_path, script, **settings):
    return Job(tmp_path / "results" / "a" / "manifest.json", "abovo/test/1", {}, settings, script)


def test_a_rerun_says_what_changed(tmp_path, script, caplog):
    caplog.set_level("INFO", "abovo")
    produce(job(tmp_path, script, rate=0.1, shape={"width": 8, "depth": 2}), Work())
    assert "made for the first time here" in caplog.text
    produce(job(tmp_path, script, rate=0.2, shape={"width": 8, "depth": 3}), Work())
    assert "because these changed: setting rate 0.1 -> 0.2; setting shape.depth 2 -> 3" in caplog.text
    caplog.clear()
    script.write_text("x = 2\n")
    forget_code()
    produce(job(tmp_path, script, rate=0.2, shape={"width": 8, "depth": 3}), Work("other"))
    assert caplog.text.rstrip().endswith("because these changed: code")


def test_second_call_computes_nothing_and_restores_lost_outputs(tmp_path, script):
    work = Work()
    first = produce(job(tmp_path, script), work)
    data = tmp_path / "results" / "a" / "part" / "data.txt"
    data.unlink()
    first.path.unlink()
    second = produce(job(tmp_path, script), work)
    assert work.calls == 1
    assert data.read_text() == "hello"
    assert first.data == second.data


def test_putting_in_place_again_leaves_nothing_beside_the_outputs(tmp_path, script):
    folder = produce(job(tmp_path, script), Work()).path.parent
    listed = sorted(folder.rglob("*"))
    (folder / ".manifest.json.partial").write_text("left by a process that was killed")
    produce(job(tmp_path, script), Work())
    assert sorted(folder.rglob("*")) == listed


def test_changed_setting_computes_again_and_changing_it_back_does_not(tmp_path, script):
    work = Work()
    for seed in (1, 2, 1):
        produce(job(tmp_path, script, seed=seed), work)
    assert work.calls == 2


def test_comment_or_docstring_computes_nothing_but_code_does(tmp_path, script):
    work = Work()
    produce(job(tmp_path, script), work)
    forget_code()
    script.write_text('"""What it does."""\n# why\nx   =   1\n')
    produce(job(tmp_path, script), work)
    assert work.calls == 1
    forget_code()
    script.write_text("x = 2\n")
    digest = produce(job(tmp_path, script), work).digest
    assert work.calls == 2
    assert digest == produce(job(tmp_path, script), work).digest


def test_other_code_with_equal_bytes_is_an_equal_artifact(tmp_path, script):
    one = produce(job(tmp_path, script), Work())
    forget_code()
    script.write_text("x = 3\n")
    two = produce(job(tmp_path, script), Work())
    assert one["created_by"] != two["created_by"]
    assert one.digest == two.digest


def test_failing_work_leaves_nothing_declared_behind(tmp_path, script):
    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise AbovoError("broken", "record 7", "mend it")

    with pytest.raises(AbovoError):
        produce(job(tmp_path, script), fail)
    assert [path.name for path in (tmp_path / "results" / "a").iterdir()] == [".products"]
    assert [path.name for path in (tmp_path / "results" / "a" / ".products" / "manifest.json").iterdir()] == ["lock"]


def test_fewer_files_than_before_leave_no_stale_one(tmp_path, script):
    def many(names):
        def make(folder):
            (folder / "shards").mkdir()
            for name in names:
                (folder / "shards" / name).write_text(name)
            return Made(counts={})

        return make

    produce(job(tmp_path, script, n=2), many(["0", "1"]))
    manifest = produce(job(tmp_path, script, n=1), many(["0"]))
    assert manifest.names() == ["shards/0"]
    assert [path.name for path in (tmp_path / "results" / "a" / "shards").iterdir()] == ["0"]


def test_flipped_byte_is_named_and_the_kept_product_is_made_again(tmp_path, script):
    work = Work()
    manifest = produce(job(tmp_path, script), work)
    data = tmp_path / "results" / "a" / "part" / "data.txt"
    data.chmod(0o644)
    data.write_text("hellO")
    with pytest.raises(AbovoError, match=r"data\.txt: its bytes are not those"):
        manifest.file("part/data.txt")
    produce(job(tmp_path, script), work)
    assert work.calls == 2
    assert manifest.file("part/data.txt").read_text() == "hello"


def test_altered_manifest_is_refused(tmp_path, script):
    manifest = produce(job(tmp_path, script), Work())
    data = json.loads(manifest.path.read_text())
    data["counts"]["documents"] = 2
    manifest.path.chmod(0o644)
    manifest.path.write_text(json.dumps(data))
    with pytest.raises(AbovoError, match="altered"):
        read_manifest(manifest.path)


def test_missing_and_wrong_manifests_are_named(tmp_path, script):
    with pytest.raises(AbovoError, match="does not exist"):
        read_manifest(tmp_path / "no.json")
    manifest = produce(job(tmp_path, script), Work())
    with pytest.raises(AbovoError, match="expected abovo/packed/"):
        read_manifest(manifest.path, "abovo/packed/")
    with pytest.raises(AbovoError, match="does not list"):
        manifest.file("other.txt")


@pytest.mark.parametrize(("own", "used"), [("a" * 64, "b" * 64), (None, None), ("a" * 64, None), (None, "a" * 64)])
def test_tokenizer_hash_must_be_there_and_equal(make_manifest, own, used):
    manifest = make_manifest("t", "abovo/test/1", {}, tokenizer_sha256=own)
    with pytest.raises(AbovoError, match="tokenizer"):
        manifest.require_tokenizer(used)


def test_killed_job_is_followed_by_the_same_bytes(tmp_path, script):
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from abovo.provenance.products import Job, Made, produce
        def make(folder):
            (folder / "data.txt").write_text("half")
            print("half", flush=True)
            time.sleep(60)
        output = Path({str(tmp_path)!r}) / "out" / "manifest.json"
        produce(Job(output, "abovo/test/1", {{}}, {{}}, Path({str(script)!r})), make)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"half\n"
        lock = tmp_path / "out" / ".products" / "manifest.json" / "lock"
        with pytest.raises(AbovoError, match="at work here"), exclusive(lock, "me"):
            pass
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out" / "manifest.json").exists()
    output = tmp_path / "out" / "manifest.json"
    manifest = produce(Job(output, "abovo/test/1", {}, {}, script), Work())
    assert sorted(manifest.names()) == ["part/data.txt"]
    assert not (tmp_path / "out" / "data.txt").exists()


@pytest.mark.parametrize(("limits", "says"), [((70, 4096), ""), ((70, 200), "300 files have to be open at once")])
def test_as_many_files_may_be_open_as_a_job_needs_or_one_line_says_so(limits, says):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({}, {}))\n"
        "from abovo.provenance.files import allow_open_files; allow_open_files(300)\n"
        "files = [open('/dev/null') for _ in range(250)]"
    ).format(*limits)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode == 0) == (not says) and says in done.stderr
