"""Settings of a small corpus, filled with the defaults that its schema gives."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from abovo.config.load import load


def resolved(root: Path, folder: Path, corpus: dict[str, Any]) -> dict[str, Any]:
    """The corpus as a job gets it."""
    config = folder / "config"
    shutil.copytree(root / "config/schemas", config / "schemas", dirs_exist_ok=True)
    (config / "corpora").mkdir(exist_ok=True)
    (config / "corpora/small.yaml").write_text(yaml.safe_dump({"description": "small"} | corpus))
    settings = load("corpora", "small", config)
    return {key: value for key, value in settings.items() if key != "description"}
