"""Turn a folder in the Hugging Face layout into a model to ask: ours, or any causal one that transformers has."""

import functools
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from abovo.console.progress import Progress
from abovo.errors import AbovoError, first_line
from abovo.modeling.adapted import adapted, check_adapter, whole_model
from abovo.modeling.family import Family, family_of_type, open_model
from abovo.modeling.layout import positions_of, read_config
from abovo.tokenizing.opened import open_tokenizer

if TYPE_CHECKING:
    from abovo.modeling.generate import Reader

log = logging.getLogger("abovo")
Precision = Literal["float32", "bfloat16"]
# Taken where neither configuration nor tokenizer says anything.
UNSAID = 2048


@dataclass(frozen=True)
class Opened:
    """A model in evaluation mode with its tokenizer.

    `context` is how many ids it is given at most; `prefix` the id before a text without a context. `family` is None for
    a model that is not of ours.
    """

    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    family: Family | None
    context: int
    prefix: int
    device: str
    precision: Precision

    def reader(self) -> "Reader":
        """What reads one batch of texts through the model, for the generator."""
        from abovo.modeling.generate import ModelReader, StockReader

        return StockReader(self.model, self._reads_on) if self.family is None else ModelReader(self.model)

    @functools.cached_property
    def stops(self) -> set[int]:
        """The ids at which the model ends what it writes: EOS, and what its generation_config names."""
        named = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        return {self.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}

    @functools.cached_property
    def _reads_on(self) -> bool:
        from abovo.modeling.generate import reads_on

        return reads_on(self.model, rows_of(self.model, None))


def open_scored(
    folder: Path,
    context: int | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
    trusted: bool = False,
) -> Opened:
    """Open the model in `folder` on the GPU where there is one; no pickle of the folder is read, and no code unless it
    is `trusted`.

    Of a folder with an adapter alone it is the model which that makes of its base. Without `context` a model is given
    as many ids as it has positions. Raises AbovoError in one line for a folder without weights or tokenizer, an adapter
    for another base, ids that the model has no rows for, a context beyond its positions.
    """
    import torch

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # cores are shared out by whoever starts the job
    base = whole_model(folder)
    if base != folder:
        check_adapter(folder, base)
    config = read_config(base)
    with bars_of(progress):
        family = family_of_type(config.get("model_type"))
        model: Any = open_model(base, trusted)
        if base != folder:
            model = adapted(model, folder)
        tokenizer = _tokenizer(folder)
    _check_rows(tokenizer, rows_of(model, family), folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.config.use_cache = False
    model = model.to(device, getattr(torch, precision)).eval()
    if family is not None:
        family.prepare(model)
    length = _context(model, tokenizer, folder, context)
    return Opened(model, tokenizer, family, length, prefix_of(tokenizer), device, precision)


def prefix_of(tokenizer: Any) -> int:
    """The id before a text without a context, as lm-eval has it: BOS where there is one (ours have none), else EOS."""
    found = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if found is None:
        what = "its tokenizer has neither BOS nor EOS, so the first token of a text has nothing to follow"
        raise AbovoError(what, tokenizer.name_or_path, "name eos_token in tokenizer_config.json")
    return int(found)


def _tokenizer(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json", "vocab.json")):
        raise AbovoError("holds no tokenizer (tokenizer.json)", folder, "save the model's tokenizer beside it")
    try:
        return open_tokenizer(folder)
    except Exception as error:  # the library of tokenizers raises no kind of its own
        what = f"its tokenizer cannot be opened ({first_line(error)})"
        raise AbovoError(what, folder, "save the model's tokenizer beside it") from None


def rows_of(model: Any, family: Family | None) -> int:
    """How many ids a model knows."""
    return len(family.output(model)) if family is not None else int(model.config.get_text_config().vocab_size)


def _check_rows(tokenizer: Any, rows: int, folder: Path) -> None:
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        what = f"its tokenizer's ids go up to {highest}, the model has {rows} rows"
        raise AbovoError(what, folder, "put the tokenizer there that the model was trained with")


def _context(model: Any, tokenizer: Any, folder: Path, context: int | None) -> int:
    said = positions_of(model.config.get_text_config().to_dict())
    if context is not None:
        if said is not None and context > said:
            what = f"has {said} positions, a context of {context} was asked for"
            raise AbovoError(what, folder / "config.json", f"ask for at most {said}")
        if context < 2:
            raise AbovoError(f"a context of {context} holds no text and what follows it", folder, "ask for 2 at least")
        return context
    if said is None:
        said = int(tokenizer.model_max_length) if tokenizer.model_max_length < 10**9 else UNSAID
    return said


class Bars(io.TextIOBase):
    """Takes the libraries' progress bars and hands them on as our progress line, at its own pace."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.screen = progress, sys.stderr

    def write(self, text: str) -> int:
        line = text.rsplit("\r", 1)[-1].strip()
        if line:
            with redirect_stderr(self.screen):
                self.progress.update(line[:100])
        return len(text)


@contextmanager
def bars_of(progress: Progress | None) -> Iterator[None]:
    """Libraries' bars go into `progress`, where there is one."""
    if progress is None:
        yield
        return
    with redirect_stderr(Bars(progress)):
        yield
