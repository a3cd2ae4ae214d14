"""transformers 4.57.6, which knows other keys than 5, reads an export as 5 does."""

import json
import subprocess
import sys

import pytest
import torch
from small_training import integrators
from small_world import make_corpus, make_model, make_packed, make_tokenizer

from abovo.exporting.job import export_run
from abovo.settings.export import ExportJob

# What 4.57.6 asks for, beside all else that the newer one has.
EARLIER = ("transformers==4.57.6", "tokenizers==0.22.2", "huggingface_hub==0.36.0")
READ = """
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
sys.modules["abovo"] = None
print(json.dumps(transformers.__version__))
for folder, path, own in json.loads(sys.argv[1]):
    own = {"trust_remote_code": True} if own else {}
    model = AutoModelForCausalLM.from_pretrained(folder, **own)
    tokenizer = AutoTokenizer.from_pretrained(folder, **own)  # asks what the model's configuration is
    torch.save(model(torch.arange(8, 56)[None]).logits, path)
    turns = [{"role": "user", "content": "Is </s> text?"}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(asked)["input_ids"]
    writer = pipeline("text-generation", model=folder, **own)
    said = writer(turns, max_new_tokens=24, do_sample=False)[0]["generated_text"][-1]
    print(json.dumps({
        "ids": ids, "shown": tokenizer.decode(ids, skip_special_tokens=True),
        "stops": model.generation_config.eos_token_id, "said": said["content"],
    }))
"""
MODELS = {
    "a class of transformers": {"rope_theta": 500_000.0},
    "causal_mean": {"like": integrators("causal_mean")},
    "attention": {"like": integrators("attention")},
}


def read(exports, home, packages=()):
    """The version, and what it makes of each export: (folder, file for logits, whether it brings its classes)."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": ":".join(map(str, packages)),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", READ, json.dumps([[str(word) for word in export] for export in exports])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    version, *told = map(json.loads, done.stdout.splitlines()[-1 - len(exports) :])
    return version, told


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    packages = tmp_path_factory.mktemp("packages")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), *EARLIER]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution" in done.stderr + done.stdout:
        pytest.skip(f"the package index is not reachable: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return packages


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, packages):
    """Model -> what this version and the earlier one make of its export: what they tell, and the logits."""
    home = tmp_path_factory.mktemp("exports")
    exports = []
    for name, like in MODELS.items():
        place = home / name
        place.mkdir()
        corpus = make_corpus(place)
        tokenizer = make_tokenizer(place, corpus)
        packed = make_packed(place, corpus, tokenizer)
        model = make_model(place, "sft", tokenizer, packed, chat=True, initializer_range=0.3, **like)
        export_run(ExportJob(run="small", stage="sft", gguf=()), model, None, place / "export/manifest.json", __file__)
        exports.append((place / "export/hf", place, "own" if "like" in like else ""))
    found = {}
    for version, others in (("5", ()), ("4", (packages,))):
        asked = [(folder, place / f"{version}.pt", own) for folder, place, own in exports]
        told_version, told = read(asked, home, others)
        assert told_version == "4.57.6" if others else told_version > "5"
        for name, one, (_, logits, _) in zip(MODELS, told, asked, strict=True):
            found.setdefault(name, []).append((one, torch.load(logits)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_both_versions_give_the_same_logits_ids_and_stops(outcomes, name):
    (ours, wanted), (theirs, found) = outcomes[name]
    assert ours == theirs
    assert ours["shown"] == "user\nIs </s> text?\nassistant\n" and ours["stops"] == [2, 5]
    assert "<|im_" not in ours["said"]
    assert torch.allclose(found, wanted, atol=1e-5) and wanted.std() > 0.01
