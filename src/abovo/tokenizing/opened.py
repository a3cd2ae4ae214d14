"""Turn a folder in the Hugging Face layout into its tokenizer, of the class that transformers chooses."""

import json
from pathlib import Path
from typing import Any


def open_tokenizer(folder: Path, of_model: Path | None = None) -> Any:
    """The tokenizer in a folder; no code of it is run. Raises whatever the library raises at files that it cannot read.

    The library looks into config.json for a class of tokenizers that goes with the model's; `of_model` is that file
    where it lies elsewhere. Of a model that it has no class for it would warn, and go on with what the file says, as is
    done here without a word.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, AutoTokenizer, PretrainedConfig

    path, config = of_model or folder / "config.json", None
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if "model_type" in values and values["model_type"] not in CONFIG_MAPPING:
        config = PretrainedConfig.from_dict(values)
    elif of_model is not None and "model_type" in values:
        config = AutoConfig.from_pretrained(path.parent, local_files_only=True, trust_remote_code=False)
    return AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True, trust_remote_code=False)
