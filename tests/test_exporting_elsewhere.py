"""A model whose classes are ours takes them along: it is read elsewhere, by the loader's own choice, as it is here."""

import json
import shutil

import pytest
from small_training import integrators
from small_world import make_corpus, make_model, make_packed, make_tokenizer

from abovo.errors import AbovoError
from abovo.exporting.elsewhere import check_elsewhere
from abovo.exporting.folder import write_folder
from abovo.exporting.job import export_run
from abovo.modeling.family import family_named, open_model
from abovo.modeling.opened import open_scored
from abovo.provenance.manifest import read_manifest
from abovo.settings.export import ExportJob

CONTEXTS = ("causal_mean", "attention")
# Weights so large that a model without training does not merely repeat its last token.
SPREAD = 0.3
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Context -> the folder of an export with default settings."""
    folder = tmp_path_factory.mktemp("world")
    corpus = make_corpus(folder)
    tokenizer = make_tokenizer(folder, corpus)
    packed = make_packed(folder, corpus, tokenizer)
    made = {}
    for context in CONTEXTS:
        like = integrators(context)
        model = make_model(folder / context, "sft", tokenizer, packed, chat=True, like=like, initializer_range=SPREAD)
        made[context] = folder / context / "export"
        export_run(ExportJob(run="small", stage="sft"), model, None, made[context] / "manifest.json", __file__)
    return made


@pytest.mark.parametrize("context", CONTEXTS)
def test_export_carries_its_classes_and_leaves_gguf_out_with_a_word(exports, context):
    config = json.loads((exports[context] / "hf/config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "modeling_inl.InlConfig",
        "AutoModelForCausalLM": "modeling_inl.InlForCausalLM",
    }
    carried = (exports[context] / "hf/modeling_inl.py").read_bytes()
    assert carried == family_named("inl").own_classes.file.read_bytes() and b"abovo" not in carried
    manifest = read_manifest(exports[context] / "manifest.json")
    assert set(manifest["absent"].values()) == {"model_type 'inl' is not written as GGUF"} and not manifest["proofs"]
    assert not (exports[context] / "gguf").exists() and not (exports[context] / "Modelfile").exists()
    card = (exports[context] / "MODEL_CARD.md").read_text()
    assert "trust_remote_code=True)" in card and "| hf/modeling_inl.py | `" in card
    assert "no GGUF as f32, f16, q8_0, q4_k_m: model_type 'inl' is not written as GGUF" in card
    assert not (exports[context].parent / "sft/small/model/modeling_inl.py").exists()


def test_model_that_another_process_reads_otherwise_is_not_exported(exports, tmp_path):
    folder = shutil.copytree(exports["causal_mean"] / "hf", tmp_path / "hf")
    code = folder / "modeling_inl.py"
    text = code.read_text()
    code.unlink()
    code.write_text(text.replace("self.config.step_size *", "1.1 * self.config.step_size *"))
    assert code.read_text() != text
    with pytest.raises(AbovoError, match="without abovo gives other logits"):
        check_elsewhere(folder)


def test_code_of_a_folder_runs_by_the_loaders_own_choice_alone(exports, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = shutil.copytree(exports["attention"] / "hf", tmp_path / "hf")
    (folder / "modeling_inl.py").unlink()
    (folder / "modeling_inl.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert open_model(folder).config.context == "attention" and open_scored(folder).context == 64
    for auto in (AutoConfig, AutoModelForCausalLM):
        with pytest.raises(ValueError, match="trust_remote_code"):
            auto.from_pretrained(folder, trust_remote_code=False)
    write_folder(folder, tmp_path / "again", None, {})
    assert (tmp_path / "again/modeling_inl.py").read_bytes() == family_named("inl").own_classes.file.read_bytes()
    assert not (tmp_path / "ran").exists()
