"""transformers 4.57.6, which knows other keys than 5, reads an export as 5 does."""

import json
import subprocess
import sys

import pytest
from small_training import integrators
from small_world import make_corpus, make_model, make_packed, make_tokenizer

from abovo.exporting.job import export_run
from abovo.settings.export import ExportJob

# What 4.57.6 asks for, beside all else that the newer one has.
EARLIER = ("transformers==4.57.6", "tokenizers==0.22.2", "huggingface_hub==0.36.0")
READ = """
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
folder, path = sys.argv[1:3]
sys.modules["abovo"] = None
own = {"trust_remote_code": True} if sys.argv[3] == "own" else {}
model = AutoModelForCausalLM.from_pretrained(folder, **own)
tokenizer = AutoTokenizer.from_pretrained(folder, **own)  # asks what the model's configuration is
torch.save(model(torch.arange(8, 56)[None]).logits, path)
turns = [{"role": "user", "content": "Is </s> text?"}]
asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
ids = tokenizer(asked)["input_ids"]
writer = pipeline("text-generation", model=folder, **own)
said = writer(turns, max_new_tokens=24, do_sample=False)[0]["generated_text"][-1]
print(json.dumps({
    "version": transformers.__version__, "ids": ids, "shown": tokenizer.decode(ids, skip_special_tokens=True),
    "stops": model.generation_config.eos_token_id, "said": said["content"],
}))
"""


def read(folder, path, own, packages=()):
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(path.parent),
        "PYTHONPATH": ":".join(map(str, packages)),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", READ, str(folder), str(path), own]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    packages = tmp_path_factory.mktemp("packages")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), *EARLIER]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution" in done.stderr + done.stdout:
        pytest.skip(f"the package index is not reachable: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return packages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "like"),
    [("", {"rope_theta": 500_000.0}), *(("own", {"like": integrators(one)}) for one in ("causal_mean", "attention"))],
)
def test_both_versions_give_the_same_logits_ids_and_stops(tmp_path, packages, own, like):
    import torch

    corpus = make_corpus(tmp_path)
    tokenizer = make_tokenizer(tmp_path, corpus)
    packed = make_packed(tmp_path, corpus, tokenizer)
    model = make_model(tmp_path, "sft", tokenizer, packed, chat=True, initializer_range=0.3, **like)
    export_run(ExportJob(run="small", stage="sft", gguf=()), model, None, tmp_path / "export/manifest.json", __file__)
    ours = read(tmp_path / "export/hf", tmp_path / "ours.pt", own)
    theirs = read(tmp_path / "export/hf", tmp_path / "theirs.pt", own, [packages])
    assert theirs.pop("version") == "4.57.6" and ours.pop("version") > "5"
    assert ours == theirs
    assert ours["shown"] == "user\nIs </s> text?\nassistant\n" and ours["stops"] == [2, 5]
    assert "<|im_" not in ours["said"]
    found, wanted = torch.load(tmp_path / "theirs.pt"), torch.load(tmp_path / "ours.pt")
    assert torch.allclose(found, wanted, atol=1e-5) and wanted.std() > 0.01
