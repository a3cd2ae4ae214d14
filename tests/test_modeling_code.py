"""Code in the folder of a model runs where the file of a run says so, and nowhere else."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from small_given import LENGTH, SCRIPT, Given, llama_folder

from abovo.config import inputs
from abovo.config.jobs import job_settings
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.evaluation.given import describe_model
from abovo.modeling.family import open_model
from abovo.modeling.opened import open_scored
from abovo.provenance.hashing import sha256_file

CODE = """
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own_llama"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, *args, **more):
        found = super().forward(*args, **more)
        found.logits = found.logits * 0.5
        return found
"""
NAMES = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama with halved logits, whose class lies beside its weights."""
    made = llama_folder(tmp_path_factory.mktemp("own") / "model")
    config = json.loads((made / "config.json").read_text())
    config |= {"model_type": "own_llama", "architectures": ["OwnForCausalLM"], "auto_map": NAMES}
    (made / "config.json").write_text(json.dumps(config))
    (made / "modeling_own.py").write_text(CODE)
    return made


def configured(tmp_path, folder, **more) -> Configuration:
    config = Path(shutil.copytree("config", tmp_path / "config", dirs_exist_ok=True))
    run = {"model_directory": str(folder), "cpt": "quebec", "evaluation": "text", "sequence_length": LENGTH, **more}
    (config / "runs/own.yaml").write_text(json.dumps(run))
    return Configuration(config)


def test_dry_run_refuses_code_that_the_run_does_not_trust(folder, tmp_path):
    said = r"own\.yaml, key model_directory: transformers has no causal model of model_type 'own_llama', and .*"
    mend = r"/modeling_own\.py would have to run; read that code, then set trust_remote_code: true"
    with pytest.raises(AbovoError, match=said + mend):
        inputs.given_files(configured(tmp_path, folder), {"run": "own"})
    trusting = configured(tmp_path, folder, trust_remote_code=True)
    assert str(folder / "modeling_own.py") in inputs.given_files(trusting, {"run": "own"})
    assert job_settings(trusting, "given", {"run": "own"})["trust_remote_code"] is True
    for opening in (open_model, open_scored):
        with pytest.raises(AbovoError, match=r"modeling_own\.py would have to run"):
            opening(folder)


@pytest.mark.slow
def test_trusted_code_is_run_trained_hashed_and_kept_beside_what_was_trained(folder, tmp_path):
    world = Given(folder, tmp_path, trusted=True)
    made = world.train("tuned", adapters=None, tokens=2 * 4 * LENGTH)
    assert made["trust_remote_code"] is True
    assert made["outputs"]["model/modeling_own.py"]["sha256"] == sha256_file(folder / "modeling_own.py")
    opened = open_scored(tmp_path / "tuned/model", LENGTH, trusted=True)
    assert type(opened.model).__name__ == "OwnForCausalLM"
    ids = torch.tensor([[1, 5, 9, 30]])
    with torch.no_grad():
        hidden = opened.model.model(ids).last_hidden_state
        assert torch.allclose(opened.model(ids).logits, opened.model.lm_head(hidden) * 0.5, atol=1e-6)
    with pytest.raises(AbovoError, match="would have to run"):
        open_scored(tmp_path / "tuned/model", LENGTH)
    with contextlib.chdir(tmp_path):
        before = describe_model(Path("elsewhere"), LENGTH, Path("one/manifest.json"), SCRIPT, trusted=True)
        path = Path("elsewhere/modeling_own.py")
        path.write_text(path.read_text() + "\n")
        after = describe_model(Path("elsewhere"), LENGTH, Path("two/manifest.json"), SCRIPT, trusted=True)
    assert before.digest != after.digest, "other code is another model"
