"""Turn a SentencePiece model into the files that transformers loads, and prove that both give equal ids.

Converters guess at the settings of a model (a blank in front, special pieces found in plain text); this one writes
down those of ours, and nothing is exported before every odd string came out equal.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.files import write_json
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.odd import ODD_STRINGS
from abovo.tokenizing.special import EOS, IM_END, IM_START, PAD, PIECES, UNK

BLANK = "\u2581"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# Below every real score, so that text which looks like a byte piece or a special piece is never taken for one.
NEVER = -100.0


def export_tokenizer(tokenizer: Tokenizer, folder: Path, model_max_length: int, chat: bool) -> None:
    """Write tokenizer.json and tokenizer_config.json (and the ChatML template with `chat`) for AutoTokenizer.

    No BOS; EOS ends a text, whether `chat` or not. Raises AbovoError unless the loaded folder gives SentencePiece's
    ids and text for every odd string.
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
        # "</s>" inside a text is five characters, not the end of a document.
        "split_special_tokens": True,
        "tokenizer_sha256": tokenizer.sha256,
    }
    if chat:
        config["chat_template"] = CHAT_TEMPLATE
    write_json(folder / "tokenizer_config.json", config)
    _prove(tokenizer, folder)


def build(processor: Any, model_type: str) -> Any:
    """A tokenizers.Tokenizer with the pieces of a SentencePiece model."""
    import tokenizers
    from tokenizers import decoders, normalizers

    result = tokenizers.Tokenizer(MODELS[model_type](processor))
    result.normalizer = normalizers.Replace(" ", BLANK)
    result.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])
    markers = [tokenizers.AddedToken(PIECES[i], special=False, normalized=False) for i in (IM_START, IM_END)]
    result.add_tokens(markers)
    return result


def _bpe(processor: Any) -> Any:
    """A merge for every way to split a piece into two pieces, in the order in which SentencePiece would merge."""
    from tokenizers import models

    size = processor.get_piece_size()
    pieces = {processor.id_to_piece(i): i for i in range(size)}
    normal = {piece: i for piece, i in pieces.items() if _is_normal(processor, i)}
    merges: list[tuple[str, str]] = []
    for piece, _ in sorted(normal.items(), key=lambda item: (-processor.get_score(item[1]), item[1])):
        splits = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        found = [split for split in splits if split[0] in normal and split[1] in normal]
        merges += sorted(found, key=lambda split: (normal[split[0]], normal[split[1]]))
    return models.BPE(pieces, merges, unk_token=PIECES[UNK], fuse_unk=True, byte_fallback=True)


def _unigram(processor: Any) -> Any:
    from tokenizers import models

    pieces = [
        (processor.id_to_piece(i), processor.get_score(i) if _is_normal(processor, i) else _score(i))
        for i in range(processor.get_piece_size())
    ]
    return models.Unigram(pieces, unk_id=UNK, byte_fallback=True)


def _score(number: int) -> float:
    """Newline and tab are always pieces of their own, since no other piece holds them."""
    return 0.0 if IM_END < number < len(PIECES) else NEVER


def _is_normal(processor: Any, number: int) -> bool:
    return number >= len(PIECES) and not processor.is_byte(number)


MODELS = {"bpe": _bpe, "unigram": _unigram}


def differences(processor: Any, exported: Any, texts: Iterable[str]) -> list[str]:
    """The texts whose ids differ between the SentencePiece model and the exported tokenizer."""
    return [text for text in texts if processor.encode(text) != exported.encode(text, add_special_tokens=False).ids]


def _prove(tokenizer: Tokenizer, folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for text in ODD_STRINGS:
        ids = tokenizer.encode(text)
        what = ""
        if loaded.encode(text) != ids:
            what = "gives other ids than spm.model"
        elif loaded.decode(ids, skip_special_tokens=False) != tokenizer.decode(ids):
            what = "gives other text than spm.model"
        if what:
            raise AbovoError(f"the exported tokenizer {what} for {json.dumps(text)[:60]}", folder, "report this")
    ends = (loaded.eos_token_id, loaded.pad_token_id, loaded.unk_token_id, loaded.bos_token_id)
    if ends != (EOS, PAD, UNK, None):
        raise AbovoError(f"the exported tokenizer has special ids {ends}", folder, "report this")
