"""Say which files of a folder in the Hugging Face layout are its tokenizer, and how many pieces it has."""

import json
from collections.abc import Iterable
from pathlib import Path

from abovo.errors import AbovoError

# What ids are made by: one of these is a tokenizer's vocabulary.
VOCABULARIES = ("tokenizer.json", "spm.model", "tokenizer.model", "vocab.json", "vocab.txt")
# What else a tokenizer may consist of.
BESIDE = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "spiece.model",
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip


def vocabularies_among(names: Iterable[str], folder: Path) -> list[str]:
    """The files that a folder's ids are made by. Raises AbovoError where there is none."""
    found = sorted(name for name in names if name in VOCABULARIES)
    if not found:
        what = f"holds no tokenizer ({', '.join(VOCABULARIES)})"
        raise AbovoError(what, folder, "save the model's tokenizer beside it")
    return found


def files_among(names: Iterable[str], folder: Path) -> list[str]:
    """All files of a folder's tokenizer. Raises AbovoError where there is none."""
    names = list(names)
    return sorted([*vocabularies_among(names, folder), *(name for name in names if name in BESIDE)])


def count_pieces(folder: Path) -> int | None:
    """The pieces of a tokenizer by its tokenizer.json alone, without any library; None where it does not say."""
    path = folder / "tokenizer.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = data["model"]["vocab"]
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        return max([*ids, *(token["id"] for token in data.get("added_tokens", ()))]) + 1
    except (OSError, ValueError, KeyError, TypeError):  # its own job tells what is wrong
        return None
