"""Turn the settings of a tokenizer into the number of its pieces, before it is made."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.settings.keys import build
from abovo.settings.tokenizer import AdoptedSettings, TokenizerSettings
from abovo.tokenizing.files import count_pieces


def counted(settings: AdoptedSettings) -> AdoptedSettings:
    """With the number of pieces, where the file does not say it and the folder does."""
    size = settings.vocabulary_size
    return settings if size else replace(settings, vocabulary_size=count_pieces(Path(settings.model_directory)))


def vocabulary_of(tokenizer: TokenizerSettings | AdoptedSettings, where: object) -> int:
    """The pieces of a tokenizer. Raises AbovoError where they are not known before it is made."""
    if tokenizer.vocabulary_size is None:
        what, mend = "the size of its tokenizer is not known before it is made", "set vocabulary_size in its file"
        raise AbovoError(what, where, mend)
    return tokenizer.vocabulary_size


def read_tokenizer(values: Mapping[str, Any], where: object = "settings") -> TokenizerSettings | AdoptedSettings:
    """The settings of a tokenizer from a mapping, by the keys of its kind."""
    if "model_directory" in values:
        return build(AdoptedSettings, values, where)
    return build(TokenizerSettings, values, where)
