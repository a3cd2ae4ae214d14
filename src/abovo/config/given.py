"""Turn the file of a model that was trained elsewhere into the run that trains it on."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from abovo.config.laid import Changes
from abovo.config.load import find
from abovo.config.recipes import recipes_of
from abovo.errors import AbovoError
from abovo.settings.keys import narrow
from abovo.settings.run import GivenFile, GivenRun, SharedParts
from abovo.settings.tokenizer import AdoptedSettings

if TYPE_CHECKING:
    from abovo.config.runs import Configuration


def given_run(configuration: "Configuration", name: str, file: GivenFile, where: Path, changes: Changes) -> GivenRun:
    """The run with its parts in place of their names. Raises AbovoError where the model is scored alone, and where its
    tokenizer or the length of its rows is not said."""
    if file.alone:
        raise not_pretrained(file, name, where)
    if file.tokenizer is None and name in configuration.names("tokenizers"):
        what = f"is null, and the run has the name of {find('tokenizers', name, *configuration.folders)}"
        raise AbovoError(what, f"{where}, key tokenizer", f"set it to {name}, or rename one of them")
    if file.sequence_length is None:
        mend = "set it to that of the sets that the run trains on"
        raise AbovoError("is null, and rows of training have a length", f"{where}, key sequence_length", mend)
    tokenizer = file.tokenizer or name
    own = {one.name: getattr(file, one.name) for one in fields(GivenRun) if hasattr(file, one.name)}
    own |= {
        "name": name,
        "parts": narrow(SharedParts, file, tokenizer=tokenizer),
        "tokenizer": configuration.shared("tokenizers", tokenizer),
        "engine": configuration.part("engine", file.engine, changes),
        **recipes_of(configuration, file, changes),
        "evaluation": configuration.shared("evaluation", file.evaluation),
    }
    return GivenRun(**own)


def not_pretrained(file: GivenFile, name: str, where: Path) -> AbovoError:
    """What is told of a run whose model is not pretrained here."""
    if not file.alone:
        return AbovoError("is a model from elsewhere, not pretrained here", f"{where}, key model_directory",
                          f"ask for results/{'sft' if file.sft else 'cpt'}/{name}/results.json")  # fmt: skip
    what, mend = "is a model that is scored, not trained", f"ask for results/given/{name}/results.json"
    return AbovoError(what, f"{where}, key model_directory", f"{mend}, or name a cpt or an sft")


def own_tokenizer(file: GivenFile | None) -> AdoptedSettings | None:
    """The tokenizer of a given model that is trained on and names no other one."""
    if file is None or file.alone or file.tokenizer is not None:
        return None
    return AdoptedSettings(model_directory=file.model_directory)
