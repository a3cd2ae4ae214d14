"""What transformers loads gives the ids of SentencePiece, or is never written."""

import dataclasses

import pytest
from small_world import CHATML, IM_END, IM_START

from abovo.corpus.shards import read_documents
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.tokenizing.export import export_tokenizer
from abovo.tokenizing.huggingface import build, differences
from abovo.tokenizing.odd import ODD_STRINGS
from abovo.tokenizing.special import EOS, PAD, UNK
from abovo.tokenizing.templates import template_for

CHAT = [
    {"role": "system", "content": "Be  brief.\n"},
    {"role": "user", "content": " Who spoke in 1862? "},
    {"role": "assistant", "content": "Abraham Lincoln,\n\tin December."},
]


@pytest.fixture(scope="module")
def loaded(text_tokenizers, tmp_path_factory):
    from transformers import AutoTokenizer

    made = {}
    for kind, tokenizer in text_tokenizers.items():
        for chat in (False, True):
            folder = tmp_path_factory.mktemp("export")
            export_tokenizer(tokenizer, folder, 512, template_for(CHATML if chat else None, tokenizer))
            made[kind, chat] = AutoTokenizer.from_pretrained(folder)
    return made


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_exported_tokenizer_gives_equal_ids_on_odd_strings_and_on_whole_documents(
    text_tokenizers, loaded, text_corpus, kind
):
    texts = [*ODD_STRINGS, *(document.text for document in read_documents(text_corpus))]
    tokenizer, exported = text_tokenizers[kind], loaded[kind, False]
    assert [exported(text)["input_ids"] for text in texts] == tokenizer.encode_batch(texts)
    assert [exported.decode(ids) for ids in tokenizer.encode_batch(texts)] == texts


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_text_that_is_the_name_of_a_piece_stays_text_wherever_it_stands(text_tokenizers, loaded, kind):
    tokenizer, exported = text_tokenizers[kind], loaded[kind, True]
    names = [tokenizer.processor.id_to_piece(i).replace("\u2581", " ") for i in range(tokenizer.vocabulary_size)]
    texts = [text for name in names for text in (name, f"a{name} b", f"<|im_start|>{name}<|im_end|>")]
    assert [exported(text)["input_ids"] for text in texts] == tokenizer.encode_batch(texts)


def test_markers_and_the_end_of_a_text_are_hidden_where_special_tokens_are_skipped(text_tokenizers, loaded):
    ids = [*text_tokenizers["bpe"].encode("<|im_start|>user\nWrite </s> <pad>.<|im_end|>\n"), EOS, PAD]
    assert loaded["bpe", True].decode(ids, skip_special_tokens=True) == "user\nWrite </s> <pad>.\n"
    assert loaded["bpe", True].decode(ids) == "<|im_start|>user\nWrite </s> <pad>.<|im_end|>\n</s><pad>"
    assert {EOS, PAD, IM_START, IM_END} <= set(loaded["bpe", True].all_special_ids)


@pytest.mark.parametrize("chat", [False, True])
def test_special_ids_survive_the_export(loaded, chat):
    exported = loaded["bpe", chat]
    assert (exported.eos_token_id, exported.pad_token_id, exported.unk_token_id) == (EOS, PAD, UNK)
    assert exported.bos_token_id is None
    assert exported.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]) == [IM_START, IM_END]
    assert len(exported) == exported.vocab_size == 600
    assert exported.model_max_length == 512


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_chat_template_round_trips_through_tokenizer_and_export(text_tokenizers, loaded, kind):
    text = loaded[kind, True].apply_chat_template(CHAT, tokenize=False)
    expected = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in CHAT)
    assert text == expected
    ids = text_tokenizers[kind].encode(text)
    assert loaded[kind, True](text)["input_ids"] == ids
    assert text_tokenizers[kind].decode(ids) == loaded[kind, True].decode(ids) == expected
    asked = loaded[kind, True].apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True)
    assert expected.startswith(asked) and asked.endswith("<|im_start|>assistant\n")


def test_base_model_has_no_chat_template(loaded):
    assert loaded["bpe", False].chat_template is None


def test_a_difference_is_found(text_tokenizers):
    bpe, unigram = (text_tokenizers[kind].processor for kind in ("bpe", "unigram"))
    assert differences(bpe, build(unigram, "unigram"), ["the people of the United States"])


def test_a_tokenizer_whose_export_differs_is_refused(text_tokenizers, tmp_path):
    tokenizer = text_tokenizers["bpe"]
    marked = Manifest(tokenizer.manifest.path, {**tokenizer.manifest.data, "export_differences": 3})
    with pytest.raises(AbovoError, match="other ids on 3 texts"):
        export_tokenizer(dataclasses.replace(tokenizer, manifest=marked), tmp_path / "hf", 512)
    other = Manifest(tokenizer.manifest.path, {**tokenizer.manifest.data, "model_type": "unigram"})
    with pytest.raises(AbovoError, match=r"the exported tokenizer gives other ids than spm\.model for"):
        export_tokenizer(dataclasses.replace(tokenizer, manifest=other), tmp_path / "hf", 512)
