"""An export says what the model says: in transformers, in llama.cpp, and on its card."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from small_world import make_corpus, make_model, make_packed, make_tokenizer

from abovo.errors import AbovoError
from abovo.exporting.card import told_absent
from abovo.exporting.chat import chat_of
from abovo.exporting.gguf_forms import expected_of, write_forms
from abovo.exporting.job import export_run
from abovo.exporting.modelfile import go_template
from abovo.exporting.proof import prove
from abovo.exporting.vocabulary import vocabulary_of
from abovo.provenance.chain import Chain
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.settings.export import ExportJob
from abovo.tokenizing.jinja import render
from abovo.tokenizing.load import load_tokenizer

SCRIPT = Path(__file__)
# Weights so large that a model without training does not merely repeat its last token.
SPREAD = 0.5
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    corpus = make_corpus(folder)
    tokenizer = make_tokenizer(folder, corpus)
    packed = make_packed(folder, corpus, tokenizer)
    return make_model(folder, "sft", tokenizer, packed, chat=True, initializer_range=SPREAD)


def behind(model, kind):
    return next(one for one in Chain().all([model]).values() if one["schema"].startswith(f"abovo/{kind}/"))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    settings = ExportJob(run="small", stage="sft", licence="mit", gguf=("f32", "q8_0", "q4_k_m"))
    place = tmp_path_factory.mktemp("export")
    export_run(settings, model, None, place / "manifest.json", SCRIPT)
    return place


def test_gguf_is_read_by_llama_cpp_as_the_model_reads(exported):
    proofs = read_manifest(exported / "manifest.json")["proofs"]
    assert proofs["f32"]["equal"] == proofs["f32"]["tokens"] > 200 and proofs["f32"]["texts"] > 100
    assert proofs["f32"]["unread"] == 0
    assert set(proofs) == {"f32", "q8_0", "q4_k_m"} and proofs["q8_0"]["equal"] > 0
    sizes = [(exported / f"gguf/small-{form}.gguf").stat().st_size for form in ("f32", "q8_0", "q4_k_m")]
    assert sizes == sorted(sizes, reverse=True)


def test_llama_with_a_template_that_names_a_beginning_is_read_alike(model, tmp_path):
    """Its queries and keys are turned otherwise in llama.cpp, which has a beginning of text where the tokenizer has
    none."""
    tokenizer = load_tokenizer(behind(model, "tokenizer").path)
    values = {"chat": True, "family": "llama", "initializer_range": SPREAD}
    made = make_model(tmp_path, "sft", tokenizer.manifest.path, behind(model, "packed"), **values)
    folder = shutil.copytree(made.path.parent / "model", tmp_path / "other")
    template = folder / "chat_template.jinja"
    text = "{{- bos_token -}}" + template.read_text()
    template.unlink()
    template.write_text(text)
    proofs, absent = write_forms(folder, tokenizer, chat_of(folder), [], ("f32",), tmp_path / "gguf", "small", {})
    assert not absent and proofs["f32"]["equal"] == proofs["f32"]["tokens"] > 200


def test_gguf_of_another_model_is_told(model, exported, tmp_path):
    tokenizer = load_tokenizer(behind(model, "tokenizer").path)
    other = (
        make_model(
            tmp_path,
            "sft",
            tokenizer.manifest.path,
            behind(model, "packed"),
            chat=True,
            seed=2,
            initializer_range=SPREAD,
        ).path.parent
        / "model"
    )
    expected = expected_of(other, tokenizer, chat_of(other), [], 64)
    assert len({one for row in expected.continued for one in row}) > 100
    vocabulary = vocabulary_of(tokenizer.processor, 640, tokenizer.eos, tokenizer.pad)
    found = prove(exported / "gguf/small-f32.gguf", expected, vocabulary, ["<|im_start|>", "<|im_end|>"], exact=True)
    assert re.fullmatch(r"\d+ of \d+ greedy tokens are equal", found)


def test_unigram_and_unknown_families_have_no_gguf_and_one_line_says_why(model, tmp_path):
    tokenizer = load_tokenizer(behind(model, "tokenizer").path)
    marked = Manifest(tokenizer.manifest.path, {**tokenizer.manifest.data, "model_type": "unigram"})
    unigram = dataclasses.replace(tokenizer, manifest=marked)
    forms, folder = ("f32", "q8_0"), model.path.parent / "model"
    found = write_forms(folder, unigram, None, [], forms, tmp_path / "gguf", "small", {})
    why = "llama.cpp has no tokenizer that gives the ids of ours of kind unigram"
    assert found == ({}, dict.fromkeys(forms, why)) and told_absent(found[1]) == [f"no GGUF as f32, q8_0: {why}"]
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/config.json").write_text('{"model_type": "odd"}')
    _, absent = write_forms(tmp_path / "odd", tokenizer, None, [], forms, tmp_path / "gguf", "small", {})
    assert (
        absent == dict.fromkeys(forms, "model_type 'odd' is not written as GGUF") and not (tmp_path / "gguf").exists()
    )


def test_exported_folder_gives_the_logits_of_the_model_and_hides_its_markers(model, exported):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = torch.arange(8, 40)[None]
    logits = [
        AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        for folder in (model.path.parent / "model", exported / "hf")
    ]
    assert torch.equal(*logits)
    tokenizer = AutoTokenizer.from_pretrained(exported / "hf")
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert asked == "<|im_start|>user\nHi<|im_end|>\n"
    assert tokenizer.decode(tokenizer(asked)["input_ids"], skip_special_tokens=True) == "user\nHi\n"


def test_weights_say_of_which_run_they_are(model, exported):
    from safetensors import safe_open

    with safe_open(exported / "hf/model.safetensors", framework="pt") as weights:
        said = weights.metadata()
    assert said["run"] == "small" and said["licence"] == "mit" and said["model_sha256"] == model["model_sha256"]


def test_card_is_read_by_the_hubs_own_library(exported):
    from huggingface_hub import ModelCard

    card = ModelCard.load(exported / "hf/README.md")
    assert card.data.license == "mit" and card.data.language == ["en"]
    assert card.data.pipeline_tag == "text-generation" and "conversational" in card.data.tags
    assert (exported / "MODEL_CARD.md").read_bytes() == (exported / "hf/README.md").read_bytes()


def test_modelfile_says_the_chat_template_in_gos_form(model, exported):
    text = (exported / "Modelfile").read_text()
    assert text.startswith("FROM ./gguf/small-q4_k_m.gguf\n") and 'PARAMETER stop "<|im_end|>"' in text
    template = go_template(chat_of(model.path.parent / "model").render)
    assert f'TEMPLATE """{template}"""' in text
    assert '{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n' in template
    assert template.endswith("{{ end }}{{ end }}<|im_start|>assistant\n")


@pytest.mark.parametrize("name", ["chatml", "alpaca", "llama3", "gemma"])
def test_go_form_is_found_of_templates_that_put_fixed_texts_around_messages(name):
    text = Path(f"config/templates/{name}.jinja").read_text()

    def rendered(messages, answer):
        names = {"bos_token": "<b>", "add_generation_prompt": answer}
        return "".join(part for part, _ in render(text, messages=list(messages), **names))

    template = go_template(rendered)
    if name == "gemma":  # its system text stands inside the first request
        assert template is None
        return
    assert template.startswith("<b>{{ range .Messages }}" if name == "llama3" else "{{ range .Messages }}")
    talk = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "He."}]
    parts = dict(re.findall(r'eq .Role "(\w+)" }}(.*?)(?={{ else|{{ end)', template, re.DOTALL))
    filled = "".join(parts[one["role"]].replace("{{ .Content }}", one["content"]) for one in talk)
    assert template.partition("{{ range")[0] + filled == rendered(talk, False)


def test_results_of_another_model_are_refused(model, tmp_path):
    other = Manifest(tmp_path / "results.json", {"models": {"sft": {"model_sha256": "0" * 64}}})
    with pytest.raises(AbovoError, match="tells of another model"):
        export_run(ExportJob(run="small", stage="sft"), model, other, tmp_path / "manifest.json", SCRIPT)


def test_bfloat16_halves_the_weights(model, tmp_path):
    settings = ExportJob(run="small", stage="sft", precision="bfloat16", gguf=())
    export_run(settings, model, None, tmp_path / "manifest.json", SCRIPT)
    assert json.loads((tmp_path / "hf/config.json").read_text())["dtype"] == "bfloat16"
    whole = (model.path.parent / "model/model.safetensors").stat().st_size
    assert (tmp_path / "hf/model.safetensors").stat().st_size < 0.55 * whole
