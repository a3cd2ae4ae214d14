"""Turn one file of config/ into the settings of its kind, checked and filled with defaults."""

import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from abovo.errors import AbovoError
from abovo.modeling.family import family_named
from abovo.settings.corpus import Corpus
from abovo.settings.decontamination import Decontamination
from abovo.settings.engine import Engine
from abovo.settings.evaluation import Evaluation
from abovo.settings.hardware import Hardware
from abovo.settings.instruction import Instruction
from abovo.settings.keys import build
from abovo.settings.model import Model
from abovo.settings.run import RunFile
from abovo.settings.sft import SftFile
from abovo.settings.tokenizer import TokenizerSettings
from abovo.settings.training import Training

# Folder of config/ -> what its files say.
KINDS: dict[str, type] = {
    "runs": RunFile,
    "models": Model,
    "corpora": Corpus,
    "tokenizers": TokenizerSettings,
    "training": Training,
    "sft": SftFile,
    "instruction": Instruction,
    "evaluation": Evaluation,
    "engines": Engine,
    "hardware": Hardware,
    "decontamination": Decontamination,
}
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


# The config/ that comes with the library, beside src/.
SHIPPED = Path(__file__).resolve().parents[3] / "config"


def names(kind: str, *folders: Path) -> list[str]:
    """The names that {kind}/ offers in any of the folders, sorted."""
    return sorted({path.stem for folder in folders for path in (folder / kind).glob("*.yaml")})


def find(kind: str, name: str, *folders: Path) -> Path:
    """The file of a name: that of the first folder which has one. Raises AbovoError for a name that none has."""
    for folder in folders:
        if (folder / kind / f"{name}.yaml").is_file():
            return folder / kind / f"{name}.yaml"
    known = names(kind, *folders)
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
    places = " and ".join(str(folder / kind) for folder in folders)
    raise AbovoError(f"there is no {name!r} in {places}", "config", hint)


def load(kind: str, name: str, *folders: Path, values: Mapping[str, Any] | None = None) -> Any:
    """Read {kind}/{name}.yaml of the first folder that has it, lay `values` (dotted keys) over it, and build the
    settings of its kind.

    Raises AbovoError naming file and key for an unknown name, an unknown key, a wrong type or a value out of range.
    """
    path = find(kind, name, *folders)
    data = _read_yaml(path)
    for key, value in (values or {}).items():
        _set(data, key, value, path)
    return build(class_of(kind, data, path), data, path)


def class_of(kind: str, data: Mapping[str, Any], path: Path) -> type:
    """What a file may say; a model's family has keys of its own."""
    return family_named(data.get("family", ""), f"{path}, key family").settings if kind == "models" else KINDS[kind]


@functools.cache
def results_schema(config: Path) -> dict[str, Any]:
    """What results.json must hold: the one schema that no settings class gives."""
    return _read_yaml(config / "schemas/results.schema.yaml")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except FileNotFoundError:
        raise AbovoError("the file does not exist", path, "restore it from the repository") from None
    except yaml.YAMLError as error:
        raise AbovoError(f"not valid YAML: {error}", path, "mend the line that it names") from None
    if not isinstance(data, dict):
        raise AbovoError("holds no keys", path, "write `key: value` lines")
    return data


def _set(data: dict[str, Any], dotted: str, value: Any, path: Path) -> None:
    *folders, last = dotted.split(".")
    for part in folders:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise AbovoError(f"{part} holds a value, not keys", f"{path}, key {dotted}", "check the key's name")
    data[last] = value
