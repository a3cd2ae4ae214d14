"""Turn one file of config/ into the settings of its kind, checked and filled with defaults."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.modeling.family import family_named
from abovo.settings.check import Keys, Where, dotted
from abovo.settings.corpus import Corpus
from abovo.settings.cpt import CptFile
from abovo.settings.decontamination import DecontaminationFile
from abovo.settings.engine import Engine
from abovo.settings.evaluation import Evaluation
from abovo.settings.hardware import Hardware
from abovo.settings.instruction import Instruction
from abovo.settings.keys import build, references
from abovo.settings.model import Model
from abovo.settings.names import ALLOWED, NAME, close
from abovo.settings.run import GivenFile, RunFile
from abovo.settings.sft import SftFile
from abovo.settings.strict_yaml import Read, read_yaml
from abovo.settings.task import TaskFile
from abovo.settings.tokenizer import AdoptedSettings, TokenizerSettings
from abovo.settings.training import Training

# Folder of config/ -> what its files say.
KINDS: dict[str, type] = {
    "runs": RunFile,
    "models": Model,
    "corpora": Corpus,
    "tokenizers": TokenizerSettings,
    "training": Training,
    "cpt": CptFile,
    "sft": SftFile,
    "instruction": Instruction,
    "evaluation": Evaluation,
    "evaluation/tasks": TaskFile,
    "engines": Engine,
    "hardware": Hardware,
    "decontamination": DecontaminationFile,
}
# The same of files that name a model_directory: what was trained elsewhere.
GIVEN: dict[str, type] = {"runs": GivenFile, "tokenizers": AdoptedSettings}


def names(kind: str, *folders: Path) -> list[str]:
    """The names that {kind}/ offers in any of the folders, sorted; what editors and systems leave there is none."""
    found = {path.stem for folder in folders for path in (folder / kind).glob("*.yaml")}
    return sorted(name for name in found if NAME.fullmatch(name))


def misnamed(kind: str, folder: Path) -> list[Path]:
    """Files of {kind}/ that no name stands for, hidden ones apart."""
    found = [path for ending in ("yaml", "yml") for path in (folder / kind).glob(f"*.{ending}")]
    bad = (path for path in found if path.suffix == ".yml" or not NAME.fullmatch(path.stem))
    return sorted(path for path in bad if not path.name.startswith("."))


def find(kind: str, name: str, *folders: Path, asked: str = "") -> Path:
    """The file of a name: that of the first folder which has one; `asked` says who wants it.

    Raises AbovoError for a name that none has, or that cannot be one.
    """
    if not NAME.fullmatch(name):
        raise AbovoError(f"{name!r} is no name of a file in config/{kind}", asked, ALLOWED)
    for folder in folders:
        if (folder / kind / f"{name}.yaml").is_file():
            return folder / kind / f"{name}.yaml"
    places = " and ".join(str(folder / kind) for folder in folders)
    other = next((folder for folder in folders if (folder / kind / f"{name}.yml").is_file()), None)
    hint = f"rename {other / kind / name}.yml to {name}.yaml" if other else close(name, names(kind, *folders))
    raise AbovoError(f"there is no {name!r} in {places}", asked, hint)


@dataclass(frozen=True)
class Values:
    """Values that are laid over a file, by dotted key, and who says so."""

    given: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    prefix: str = ""
    """What stands before the keys where they are given."""

    def __bool__(self) -> bool:
        return bool(self.given)

    def below(self, part: str) -> "Values":
        """Those of one part, by the key in it."""
        inner = {key.removeprefix(f"{part}."): value for key, value in self.given.items() if key.startswith(f"{part}.")}
        return Values(inner, self.said, f"{self.prefix}{part}.")

    def without(self, start: str) -> "Values":
        """Those whose keys do not begin so."""
        return replace(self, given={key: value for key, value in self.given.items() if not key.startswith(start)})

    def where(self, keys: str) -> str | None:
        """The place of a key that is given here, or of one in or around it; None for any other."""
        for key in self.given:
            if keys and (key == keys or key.startswith(f"{keys}.") or keys.startswith(f"{key}.")):
                return f"{self.said}{self.prefix}{keys if keys.startswith(key) else key}"
        return None


def load(kind: str, name: str, *folders: Path, values: Sequence[Values] = (), asked: str = "") -> Any:
    """Read {kind}/{name}.yaml of the first folder that has it, lay `values` over it, one after the other, and build
    the settings of its kind.

    Raises AbovoError naming file, line and key, or who gave the value, for an unknown name, an unknown key, a wrong
    type, a value out of range, or the name of a file that is not there.
    """
    path = find(kind, name, *folders, asked=asked)
    read = _with_model(read_yaml(path), kind, path, folders)

    def where(keys: Keys) -> str:
        for one in reversed(values):
            if said := one.where(dotted(keys)):
                return said
        line = read.lines.get(tuple(keys))
        return f"{path}{f', line {line}' if line else ''}{f', key {dotted(keys)}' if keys else ''}"

    for one in values:
        for key, value in one.given.items():
            _set(read.data, key, value, where)
    settings: Any = build(class_of(kind, read.data, where(["family"])), read.data, where)
    for keys, other, wanted in references(settings):
        find(other, wanted, *folders, asked=where(keys))
    return settings


def _with_model(read: Read, kind: str, path: Path, folders: Sequence[Path], seen: tuple[str, ...] = ()) -> Read:
    """What a file says, and behind it what the one says that it is `like`."""
    name = read.data.get("like")
    if KINDS[kind] is not TaskFile or not isinstance(name, str):
        return read
    where = f"{path}, line {read.lines['like',]}, key like"
    if name in seen or find(kind, name, *folders, asked=where) == path:
        raise AbovoError("files are like each other in a circle", where, "let one stand for itself")
    other = find(kind, name, *folders)
    model = _with_model(read_yaml(other), kind, other, folders, (*seen, name))
    return replace(read, data={**model.data, **read.data})


def class_of(kind: str, data: Mapping[str, Any], where: str) -> type:
    """What a file may say; a model's family has keys of its own, and so has what was trained elsewhere."""
    if kind in GIVEN and "model_directory" in data:
        return GIVEN[kind]
    return family_named(str(data.get("family", "")), where).settings if kind == "models" else KINDS[kind]


@functools.cache
def results_schema(config: Path) -> dict[str, Any]:
    """What results.json must hold: the one schema that no settings class gives."""
    return read_yaml(config / "schemas/results.schema.yaml").data


def _set(data: dict[str, Any], key: str, value: Any, where: Where) -> None:
    *folders, last = key.split(".")
    for number, part in enumerate(folders):
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            what = f"{dotted(folders[: number + 1])} holds a value, not keys"
            raise AbovoError(what, where(key.split(".")), "check the key's name")
    data[last] = value
