"""Turn the tokenizer of a model that was trained elsewhere into the files of a model that was trained on from it: its
own byte for byte, and the chat template that was trained in.
"""

import json
import shutil
from pathlib import Path

from abovo.errors import AbovoError
from abovo.tokenizing.load import FILES, AdoptedTokenizer
from abovo.tokenizing.odd import ODD_STRINGS
from abovo.tokenizing.opened import open_tokenizer
from abovo.tokenizing.templates import Template


def carry_tokenizer(tokenizer: AdoptedTokenizer, folder: Path, template: Template | None = None) -> None:
    """Write the files to `folder`, and chat_template.jinja where the template is another than the tokenizer's own.

    Raises AbovoError unless transformers then gives our ids and texts for every odd string.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in tokenizer.manifest.names(f"{FILES}/"):
        shutil.copyfile(tokenizer.manifest.file(name), folder / Path(name).name)
    if template is not None and template.jinja != tokenizer.chat_template:
        (folder / "chat_template.jinja").write_text(template.jinja, encoding="utf-8")
    _prove(tokenizer, folder)


def _prove(tokenizer: AdoptedTokenizer, folder: Path) -> None:
    loaded = open_tokenizer(folder)
    for text in ODD_STRINGS:
        ids = tokenizer.encode(text)
        if loaded(text, add_special_tokens=False).input_ids != ids:
            what = f"its tokenizer gives other ids than {tokenizer.manifest.path} for {json.dumps(text)[:60]}"
            raise AbovoError(what, folder, f"remove {tokenizer.manifest.path} and make it again")
