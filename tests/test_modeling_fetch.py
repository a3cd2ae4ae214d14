"""A model comes from the hub into a folder: weights, configuration and tokenizer of one commit, nothing that runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub

ROOT = Path(__file__).parents[1]
NAME = "people/small-llama"
SECRET = "hf_never_to_be_seen"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("model")
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=64, **shape)).save_pretrained(folder)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    return kept | {"tokenizer.json": b"{}", "pytorch_model.bin": b"a pickle", "modeling_small.py": b"raise SystemExit"}


@pytest.fixture
def hub(files):
    with Hub() as hub:
        hub.sha = hub.publish(NAME, files)
        yield hub


def fetch(hub, tmp_path, *words):
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": SECRET, "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, ROOT / "workflow/tools/model.py", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert SECRET not in done.stdout + done.stderr
    return done


def files_sent(hub):
    return sum(sent for _, path, _, sent in hub.requests if "/resolve/" in path)


def test_a_model_is_fetched_at_one_commit_without_code_and_pickles(hub, files, tmp_path):
    done = fetch(hub, tmp_path, "--hub", NAME, "--folder", "models/small")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "models/small"
    found = {path.name for path in folder.iterdir() if path.is_file()}
    assert found == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "fetched_from.json",
    }
    assert all((folder / name).read_bytes() == files[name] for name in found - {"fetched_from.json"})
    assert json.loads((folder / "fetched_from.json").read_text()) == {"hub": NAME, "revision": hub.sha}
    assert f"Bearer {SECRET}" in hub.tokens
    before = files_sent(hub)
    assert fetch(hub, tmp_path, "--hub", NAME, "--folder", "models/small").returncode == 0
    assert files_sent(hub) == before > 0, "what is there is not fetched again"


@pytest.mark.parametrize(
    ("fault", "words", "said"),
    [
        (
            {"status": 403, "headers": {"X-Error-Code": "GatedRepo"}},
            [],
            f"accept its terms at https://huggingface.co/{NAME}",
        ),
        ({}, ["--hub", "people/none"], "model people/none: is not on the hub"),
        ({}, ["--revision", "none"], "has no revision none"),
        ({}, ["--run", "nano"], "config/runs/nano.yaml, key hub: names no model of the hub"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(hub, tmp_path, fault, words, said):
    if fault:
        hub.fault("status", match="/(api|resolve)/", **fault)
    (tmp_path / "config").symlink_to(ROOT / "config")
    done = fetch(hub, tmp_path, *(["--hub", NAME] if "--hub" not in words and "--run" not in words else []), *words,
                 "--folder", "models/small")  # fmt: skip
    assert done.returncode == 1 and said in done.stderr + done.stdout, done.stderr
    assert "Traceback" not in done.stderr
