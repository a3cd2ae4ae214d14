"""The tokenizer of a model that was trained elsewhere is taken over as it is, with the ids that it gives there."""

import json
import shutil

import numpy as np
import pytest
import small_world as world
from transformers import AutoTokenizer

from abovo.errors import AbovoError
from abovo.packing.bins import open_bin
from abovo.packing.pack import pack_corpus
from abovo.settings.tokenizer import AdoptedSettings
from abovo.tokenizing.adopt import adopt_tokenizer
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.odd import ODD_STRINGS
from abovo.training.sets import open_rows


def adopted(folder, output):
    made = adopt_tokenizer(AdoptedSettings(model_directory=str(folder)), output / "tokenizer_config.json", world.SCRIPT)
    return load_tokenizer(made.path)


@pytest.fixture(scope="module")
def gpt2(gpt2_folder, tmp_path_factory):
    return adopted(gpt2_folder, tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def llama(llama_folder, tmp_path_factory):
    return adopted(llama_folder, tmp_path_factory.mktemp("llama"))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_ids_and_texts_are_those_that_transformers_gives(kind, request):
    tokenizer, theirs = (
        request.getfixturevalue(kind),
        AutoTokenizer.from_pretrained(request.getfixturevalue(f"{kind}_folder")),
    )
    talk = "<|turn|>user\nWho?<|done|>\n" + theirs.eos_token
    for text in (*ODD_STRINGS, talk):
        ids = tokenizer.encode(text)
        assert ids == theirs(text, add_special_tokens=False).input_ids, repr(text)
        assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
    assert tokenizer.vocabulary_size == len(theirs)


def test_files_are_carried_byte_for_byte(llama, llama_folder):
    files = llama.manifest.path.parent / "files"
    names = sorted(path.name for path in files.iterdir())
    assert names == ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]
    assert all((files / name).read_bytes() == (llama_folder / name).read_bytes() for name in names)


def test_special_pieces_are_those_of_the_tokenizer(gpt2, llama):
    assert (gpt2.eos, gpt2.pad, gpt2.bos, gpt2.pieces) == (0, 0, None, {"<|endoftext|>": 0})
    assert (llama.eos, llama.pad, llama.bos, llama.beginning) == (1, 2, 0, 0)
    assert llama.pieces["<|done|>"] == llama.vocabulary_size - 1
    assert llama.named == {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    assert llama.chat_template == AutoTokenizer.from_pretrained(llama.manifest.path.parent / "files").chat_template


def test_special_pieces_in_a_document_are_characters(gpt2):
    (ids,) = gpt2.encode_arrays(["a<|endoftext|>b"])
    assert 0 not in ids and gpt2.decode(ids.tolist()) == "a<|endoftext|>b"


def test_document_begins_and_ends_as_its_tokenizer_asks_and_an_end_that_pads_is_learned_once(gpt2, llama, tmp_path):
    corpus = world.make_corpus(tmp_path)
    texts = [item.text for item in world.read_documents(corpus, "train")]
    for name, tokenizer in (("gpt2", gpt2), ("llama", llama)):
        packed = pack_corpus(corpus, tokenizer, 64, tmp_path / name / "manifest.json", world.SCRIPT)
        begin = [] if tokenizer.bos is None else [tokenizer.bos]
        wanted = [one for text in texts for one in (*begin, *tokenizer.encode(text), tokenizer.eos)]
        rows = open_bin(packed, "train")
        flat = rows.reshape(-1).tolist()
        assert flat[: len(wanted)] == wanted and set(flat[len(wanted) :]) <= {tokenizer.pad}
        counts = open_rows(packed, "train").counts
        counts[:, 0] = True
        learned = np.ones(len(flat), bool)
        learned[len(wanted) :] = False
        learned[:: rows.shape[1]] = True
        assert counts.reshape(-1).tolist() == learned.tolist()


def test_tokenizer_that_ends_no_text_is_told(llama_folder, tmp_path):
    shutil.copytree(llama_folder, tmp_path / "model")
    path = tmp_path / "model/tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in config.items() if key != "eos_token"}))
    with pytest.raises(AbovoError, match="has no eos_token, so nothing would end a text"):
        adopted(tmp_path / "model", tmp_path / "made")


@pytest.mark.parametrize(
    ("name", "keep", "told"),
    [("tokenizer.json", 0.5, "its tokenizer cannot be opened"), ("tokenizer.json", 0, "holds no tokenizer")],
)
def test_tokenizer_that_was_copied_in_part_is_told(llama_folder, tmp_path, name, keep, told):
    shutil.copytree(llama_folder, tmp_path / "model")
    path = tmp_path / "model" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)]) if keep else path.unlink()
    with pytest.raises(AbovoError, match=told):
        adopted(tmp_path / "model", tmp_path / "made")
