"""Turn a tokenizer and a chat template into the files that transformers loads, and prove that both mean the same.

Nothing is exported before every odd string, and a conversation with its mask, came out equal.
"""

import json
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.files import write_json
from abovo.tokenizing.huggingface import build, markers
from abovo.tokenizing.load import TrainedTokenizer
from abovo.tokenizing.odd import ODD_STRINGS
from abovo.tokenizing.opened import open_tokenizer
from abovo.tokenizing.special import EOS, PAD, PIECES, UNK
from abovo.tokenizing.templates import Template

# A conversation with every role, blanks and lines.
TALK = [
    {"role": "system", "content": "Be  brief.\n"},
    {"role": "user", "content": " Who spoke?\n\n  And when? "},
    {"role": "assistant", "content": " A president,\n\tin December. "},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "(It is the law.)"},
]


def export_tokenizer(
    tokenizer: TrainedTokenizer, folder: Path, model_max_length: int, template: Template | None = None
) -> None:
    """Write tokenizer.json and tokenizer_config.json for AutoTokenizer, and chat_template.jinja where there is one.

    No BOS; EOS ends a text, with a template or without. Both, and the markers of a chat, are hidden where special
    tokens are skipped. Raises AbovoError unless the loaded folder gives, for every odd
    string, SentencePiece's ids and text, and for a conversation our ids and mask.
    """
    if tokenizer.manifest["export_differences"]:
        what = f"the Hugging Face form gave other ids on {tokenizer.manifest['export_differences']} texts"
        raise AbovoError(what, tokenizer.manifest.path, "train a bpe tokenizer in its place")
    folder.mkdir(parents=True, exist_ok=True)
    build(tokenizer.processor, tokenizer.manifest["model_type"]).save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model_max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "bos_token": None,
        "eos_token": PIECES[EOS],
        "pad_token": PIECES[PAD],
        "unk_token": PIECES[UNK],
        "clean_up_tokenization_spaces": False,
        # "</s>" inside a text is four characters, not the end of a document; the model itself finds the markers.
        "split_special_tokens": True,
        "additional_special_tokens": markers(tokenizer.processor),
        "tokenizer_sha256": tokenizer.sha256,
    }
    if template is not None:
        (folder / "chat_template.jinja").write_text(template.jinja, encoding="utf-8")
    write_json(folder / "tokenizer_config.json", config)
    _prove(tokenizer, folder, template)


def _without(marked: list[str], text: str) -> str:
    for marker in marked:
        text = text.replace(marker, "")
    return text


def _prove(tokenizer: TrainedTokenizer, folder: Path, template: Template | None) -> None:
    loaded = open_tokenizer(folder)
    marked = markers(tokenizer.processor)
    for text in ODD_STRINGS:
        ids = tokenizer.encode(text)
        what = ""
        if loaded.encode(text) != ids:
            what = "gives other ids than spm.model"
        elif loaded.decode(ids, skip_special_tokens=False) != tokenizer.decode(ids):
            what = "gives other text than spm.model"
        elif loaded.decode([*ids, EOS], skip_special_tokens=True) != _without(marked, text):
            what = "does not hide its special tokens"
        if what:
            raise AbovoError(f"the exported tokenizer {what} for {json.dumps(text)[:60]}", folder, "report this")
    ends = (loaded.eos_token_id, loaded.pad_token_id, loaded.unk_token_id, loaded.bos_token_id)
    if ends != (EOS, PAD, UNK, None):
        raise AbovoError(f"the exported tokenizer has special ids {ends}", folder, "report this")
    if template is not None:
        found: Any = loaded.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = template.encode(TALK, tokenizer)
        # of a template that marks nothing, transformers has no mask
        if found["input_ids"] != ids or (template.marked and found["assistant_masks"] != mask):
            what = f"the exported template {template.name} gives other ids or another mask"
            raise AbovoError(what, folder, "mend the template: what the assistant says must begin and end at a piece")
