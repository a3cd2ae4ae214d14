"""Turn the recipes that a run's file names for what comes after its pretraining into their settings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from abovo.config.laid import Changes
from abovo.config.load import Values
from abovo.config.stages import STAGES
from abovo.errors import AbovoError
from abovo.settings.cpt import Cpt
from abovo.settings.keys import narrow
from abovo.settings.run import GivenFile, RunFile
from abovo.settings.sft import Sft

if TYPE_CHECKING:
    from abovo.config.runs import Configuration

# The recipes by which a run trains on, by the key and the stage of each.
RECIPES = {"cpt": Cpt, "sft": Sft}


def recipes_of(configuration: "Configuration", file: RunFile | GivenFile, changes: Changes) -> dict[str, Any]:
    """The recipes by which a run trains on, by the key that names each; None for null."""
    return {stage: _recipe(configuration, stage, getattr(file, stage), changes[stage]) for stage in RECIPES}


def _recipe(configuration: "Configuration", stage: str, name: str | None, changes: Sequence[Values]) -> Any:
    """A recipe with the training recipe that it names in its place. Raises AbovoError for values of none."""
    given = changes[-1]
    if name is None:
        if given:
            mend, where = f"add {given.prefix}", f"{given.said}{given.prefix}{next(iter(given.given))}"
            what = f"the run has no {STAGES[stage].training} (its {stage} is null)"
            raise AbovoError(what, where, f"{mend.removesuffix('.')}=RECIPE")
        return None
    file = configuration.file(stage, name, [values.without("training.") for values in changes])
    inner = [values.below("training") for values in changes]
    return narrow(RECIPES[stage], file, training=configuration.file("training", file.training, inner))
