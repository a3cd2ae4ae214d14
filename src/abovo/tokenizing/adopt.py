"""Turn the tokenizer of a folder in the Hugging Face layout into an artifact: its files byte for byte, and how they are
opened here."""

import logging
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError, first_line
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_file, sha256_of_files
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.keys import decisive
from abovo.settings.tokenizer import AdoptedSettings
from abovo.tokenizing.files import files_among, vocabularies_among
from abovo.tokenizing.load import FILES, OPENED
from abovo.tokenizing.opened import open_tokenizer

log = logging.getLogger("abovo")


def adopt_tokenizer(settings: AdoptedSettings, output: Path, script: Script | Path) -> Manifest:
    """Copy the tokenizer's files, and write the form in which all jobs open it.

    Raises AbovoError where transformers cannot open it as a fast tokenizer, or where it ends no text.
    """
    source = Path(settings.model_directory)
    names = files_among((path.name for path in source.glob("*") if path.is_file()), source)
    hashes = {name: sha256_file(source / name) for name in names}

    def make(folder: Path) -> Made:
        own = folder / FILES
        own.mkdir()
        for name in names:
            (own / name).write_bytes((source / name).read_bytes())
        fields = _open(own, source, folder / OPENED)
        vocabulary = {name: hashes[name] for name in vocabularies_among(names, source)}
        fields["tokenizer_sha256"] = sha256_of_files(vocabulary)
        _write_card(folder / "TOKENIZER_CARD.md", source, fields)
        return Made({}, fields)

    return produce(Job(output, "abovo/tokenizer/1", {}, {**decisive(settings), "files": hashes}, script), make)


def _open(folder: Path, source: Path, output: Path) -> dict[str, Any]:
    """What the manifest says of a tokenizer; the form in which it is opened goes to `output`."""
    opened = _opened(folder, source)
    ends = opened.eos_token_id
    if ends is None:
        what = "its tokenizer has no eos_token, so nothing would end a text"
        raise AbovoError(what, source / "tokenizer_config.json", "name eos_token there")
    fast = opened.backend_tokenizer
    fast.no_padding()
    fast.no_truncation()
    output.write_text(fast.to_str(), encoding="utf-8")
    added = sorted(fast.get_added_tokens_decoder().items())
    if opened.pad_token_id is None:
        log.info("%s: its tokenizer has no pad_token; rows are filled with %s", source, opened.eos_token)
    templates = opened.chat_template
    return {
        "vocabulary_size": max(fast.get_vocab(with_added_tokens=True).values()) + 1,
        "eos": ends,
        "pad": ends if opened.pad_token_id is None else opened.pad_token_id,
        "bos": _beginning(opened),
        "pieces": {str(token.content): number for number, token in added},
        "named": {name: piece for name, piece in opened.special_tokens_map.items() if isinstance(piece, str)},
        "chat_template": templates.get("default") if isinstance(templates, dict) else templates,
        "split_special_tokens": bool(getattr(opened, "split_special_tokens", False)),
    }


def _opened(folder: Path, source: Path) -> Any:
    """The tokenizer of the files in `folder`, of the class that the library chooses for the model of `source`."""
    try:
        opened = open_tokenizer(folder, source / "config.json")
    except Exception as error:  # libraries raise what they like at a file that is cut short
        what = f"its tokenizer cannot be opened ({first_line(error)})"
        raise AbovoError(what, source, "save the model's tokenizer beside it again") from None
    if not opened.is_fast:
        what = f"its tokenizer ({type(opened).__name__}) has no fast form"
        raise AbovoError(what, source, "save it as tokenizer.json, which transformers does for most classes")
    return opened


def _beginning(opened: Any) -> int | None:
    """The id that the tokenizer puts before every text; None where it puts none."""
    bos = opened.bos_token_id
    with_special, without = opened("a").input_ids, opened("a", add_special_tokens=False).input_ids
    return bos if with_special[:1] == [bos] and without[:1] != [bos] else None


def _write_card(path: Path, source: Path, fields: dict[str, Any]) -> None:
    pieces = ", ".join(f"{number} `{piece!r}`" for piece, number in fields["pieces"].items())
    begins = "no id is put before a text" if fields["bos"] is None else f"id {fields['bos']} begins a text"
    text = f"""# Tokenizer

{fields["vocabulary_size"]:,} pieces, the tokenizer of `{source.as_posix()}` as it is.

Id {fields["eos"]} ends a text, id {fields["pad"]} fills rows, {begins}. In documents special pieces are characters like
all others. Special ids: {pieces}.
"""
    path.write_text(text, encoding="utf-8")
