"""Whatever byte of a finished chain is flipped, verifying names the file; a sound chain is one line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from abovo.provenance.manifest import read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.provenance.verify import Verified

TOP = Path("results/sft/small/results.json")
SCRIPT = Path(__file__)


def made(output, files, unhashed=(), n=1, **inputs):
    def make(folder):
        for name in (*files, *unhashed):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(f"what {output} holds in {name}\n".encode() * 20)
        return Made({"files": len(files)}, unhashed=tuple(unhashed), measured={"seconds": 1.25})

    return produce(Job(Path("results") / output, "abovo/test/1", inputs, {"n": n}, SCRIPT), make)


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Every kind of file that a run has: listed and unlisted ones, in folders and beside manifests, a folder's too."""
    monkeypatch.chdir(tmp_path)
    corpus = made("corpora/small/manifest.json", ["shards/shard-00000.jsonl.zst"])
    tokenizer = made("tokenizers/small/tokenizer_config.json", ["spm.model", "spm.vocab"], corpus=corpus)
    packed = made("packed/small/manifest.json", ["train.bin", "train.docs"], corpus=corpus, tokenizer=tokenizer)
    files = ["adapter/adapter_model.safetensors", "model/model.safetensors", "metrics.jsonl"]
    model = made("sft/small/manifest.json", files, ["samples.jsonl", "timings.jsonl"], packed=packed)
    figure = made("report/small/sft/loss.json", ["loss.svg", "loss_by_source.html"], model=model)
    made("sft/small/results.json", [], model=model, figure=figure)
    return tmp_path


def flip(path, place=None):
    """One bit of the byte in the middle, or at `place`."""
    mode, data = path.stat().st_mode, bytearray(path.read_bytes())
    place = len(data) // 2 if place is None else place
    data[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(mode)


def broken(*tops):
    return [str(error) for error in Verified().broken([Path(top) for top in tops or (TOP,)])]


def files():
    return sorted(path for path in Path("results").rglob("*") if path.is_file() and ".products" not in path.parts)


def test_flipped_byte_in_each_file_of_a_chain_is_named(chain):
    assert len(files()) == 6 * 2 + 12
    for path in files():
        flip(path)
        assert any(path.as_posix() in line for line in broken()), path
        flip(path)
    assert broken() == []


@pytest.mark.parametrize("key", ["version", "seconds", "parameters", "outputs"])
def test_manifest_is_checked_whole_its_clocks_and_its_maker_too(chain, key):
    path = Path("results/packed/small/manifest.json")
    flip(path, path.read_bytes().index(f'"{key}": '.encode()) + len(key) // 2)
    assert any(path.as_posix() in line for line in broken())


def test_each_broken_link_has_a_line_of_its_own(chain):
    Path("results/tokenizers/small/spm.vocab").unlink()
    flip(Path("results/packed/small/train.docs"))
    shutil.rmtree("results/corpora")
    lines = broken()
    assert len(lines) == 4 and not any("\n" in line for line in lines)
    for part in ("spm.vocab: the file is missing", "train.docs: its bytes are not those", "its input corpus, results/"):
        assert any(part in line for line in lines)


def test_input_that_was_made_anew_is_told(chain):
    made("corpora/small/manifest.json", ["shards/shard-00001.jsonl.zst"], n=2)
    assert [line for line in broken() if "made from another state of its input corpus" in line]


def test_start_folder_without_a_manifest_is_hashed_too(chain):
    from abovo.provenance.manifest import describe_folder

    Path("start").mkdir()
    Path("start/model.safetensors").write_bytes(b"weights")
    made("pretrain/small/manifest.json", ["metrics.jsonl"], start=describe_folder(Path("start")))
    top = "results/pretrain/small/manifest.json"
    assert broken(top) == []
    flip(Path("start/model.safetensors"))
    assert broken(top) == [f"{top}: was made from another state of its input start, start"]


def test_script_names_broken_links_with_status_1_and_writes_nothing(chain, root):
    def verify():
        before = {path: path.stat().st_mtime_ns for path in chain.rglob("*")}
        command = [sys.executable, str(root / "workflow/scripts/verify.py"), str(TOP)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert {path: path.stat().st_mtime_ns for path in chain.rglob("*")} == before
        return done.returncode, done.stdout.splitlines()

    status, lines = verify()
    assert status == 0 and lines == ["sound: 6 manifests, 10 files, 0.0 MB"]
    flip(Path("results/report/small/sft/loss.svg"))
    status, lines = verify()
    assert status == 1 and len(lines) == 1 and "loss.svg: its bytes are not those" in lines[0]
    status, lines = verify_missing(root)
    assert status == 1 and lines == ["results/none.json: the file does not exist; make it first: snakemake --cores 1"
                                     " results/none.json"]  # fmt: skip


def verify_missing(root):
    command = [sys.executable, str(root / "workflow/scripts/verify.py"), "results/none.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_moved_results_are_verified_where_they_lie(chain):
    shutil.move("results", "elsewhere")
    assert broken("elsewhere/sft/small/results.json") == []
    assert read_manifest(Path("elsewhere/sft/small/results.json"))
