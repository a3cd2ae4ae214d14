"""A model that was trained elsewhere, or in another run, goes on training from where it stands and stays what it is."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from small_given import LENGTH, RECIPE, SCRIPT, Given
from small_training import Killed, changed
from transformers import AutoTokenizer, GenerationConfig

from abovo.errors import AbovoError
from abovo.evaluation.given import describe_model
from abovo.modeling.layout import read_config
from abovo.provenance.manifest import read_manifest
from abovo.settings.keys import plain
from abovo.tokenizing.load import load_tokenizer
from abovo.training import loop


@pytest.fixture(scope="module")
def gpt2(gpt2_folder, tmp_path_factory):
    return Given(gpt2_folder, tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def llama(llama_folder, tmp_path_factory):
    return Given(llama_folder, tmp_path_factory.mktemp("llama"))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_model_learns_on_and_keeps_its_class_rows_and_tokenizer(kind, request):
    given = request.getfixturevalue(kind)
    made = given.train("tuned")
    folder = given.folder / "tuned/model"
    assert made["validation_loss_first"] == pytest.approx(given.loss(given.model), rel=1e-5)
    assert made["validation_loss"] == pytest.approx(given.loss(folder), rel=1e-4)
    assert made["validation_loss"] < made["validation_loss_first"] - 0.05
    before, after = read_config(given.model), read_config(folder)
    same = ("model_type", "architectures", "vocab_size")
    assert [before[key] for key in same] == [after[key] for key in same]
    tokenizer = load_tokenizer(given.folder / given.tokenizer)
    names = [path.name for path in (given.folder / "tokenizer/files").iterdir()]
    assert {"tokenizer.json", "tokenizer_config.json"} <= set(names)
    assert all((folder / name).read_bytes() == (given.model / name).read_bytes() for name in names)
    text = "The people, 1862.\n\tÉ"
    assert AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False).input_ids == tokenizer.encode(text)
    writes = GenerationConfig.from_pretrained(folder)
    assert (writes.eos_token_id, writes.pad_token_id) == ([tokenizer.eos], tokenizer.pad)
    assert made["base_model_sha256"] == read_manifest(given.folder / given.start)["model_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_killed_fine_tuning_of_a_given_model_ends_with_the_same_bytes(kind, request, monkeypatch):
    """With all that is random in it: the dropout of the adapters, and of a GPT-2 itself."""
    given, ask = request.getfixturevalue(kind), loop.learning_rate_factor
    whole = given.train("whole", seed=3)

    def dies(schedule, step, steps):
        if step == 6:
            raise Killed
        return ask(schedule, step, steps)

    monkeypatch.setattr(loop, "learning_rate_factor", dies)
    with pytest.raises(Killed):
        given.train("killed", seed=3)
    monkeypatch.setattr(loop, "learning_rate_factor", ask)
    again = given.train("killed", seed=3)
    assert again["outputs"] == whole["outputs"] and again["model_sha256"] == whole["model_sha256"]


@pytest.mark.slow
def test_finished_fine_tuning_is_a_start_with_its_adapters_merged(llama):
    first = llama.train("first", seed=5)
    with contextlib.chdir(llama.folder):
        start = describe_model(first, LENGTH, Path("given-first/manifest.json"), SCRIPT)
        assert start["inputs"].keys() == {"folder", "model"}
    second = llama.train("second", start=start.path, seed=6, adapters=None)
    assert second["base_model_sha256"] == first["model_sha256"] == start["model_sha256"]
    assert second["validation_loss_first"] == pytest.approx(first["validation_loss"], rel=1e-4)
    weights = llama.folder / "first/model/model.safetensors"
    kept = weights.read_bytes()
    weights.unlink()  # a hard link to a product that is never written to
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(AbovoError, match=r"the files of first/model are not those that it was written for"):
        llama.train("third", start=start.path, seed=6, adapters=None)
    weights.write_bytes(kept)


def test_model_with_another_tokenizer_is_told(gpt2, llama):
    with pytest.raises(AbovoError, match=r"made with tokenizer \w{12}, but the tokenizer in use is"):
        gpt2.train("other", start=llama.folder / llama.start)


def test_model_with_fewer_rows_than_its_tokenizer_has_pieces_is_told(llama_folder, tmp_path):
    shutil.copytree(llama_folder, tmp_path / "model")
    path = tmp_path / "model/tokenizer.json"
    data = json.loads(path.read_text())
    data["added_tokens"].append({**data["added_tokens"][-1], "id": 401, "content": "<|more|>"})
    path.write_text(json.dumps(data))
    (tmp_path / "made").mkdir()
    given = Given(tmp_path / "model", tmp_path / "made")
    with pytest.raises(AbovoError, match="its output matrix has 401 rows, the run's tokenizer needs 402"):
        given.train("tuned")


@pytest.mark.slow
def test_generation_settings_that_no_longer_hold_are_told(gpt2, caplog):
    path = gpt2.model / "generation_config.json"
    kept = path.read_text()
    path.write_text(json.dumps({**json.loads(kept), "do_sample": False, "temperature": 0.5}))
    with contextlib.chdir(gpt2.folder):
        start = describe_model(Path("elsewhere"), LENGTH, Path("given-odd/manifest.json"), SCRIPT).path
    gpt2.train("odd", start=start, tokens=4 * LENGTH, training=plain(changed(RECIPE, checkpoint_interval=1000)))
    path.write_text(kept)
    writes = GenerationConfig.from_pretrained(gpt2.folder / "odd/model")
    assert writes.eos_token_id == [0] and writes.temperature in (None, 1.0)
    assert any("how the model is to write is not kept" in record.message for record in caplog.records)
