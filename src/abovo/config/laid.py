"""Turn the values that a run's file and a call lay over the files of its parts into those of each part."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from abovo.config.load import Values
from abovo.config.overrides import SET, refuse_twice
from abovo.errors import AbovoError

# Parts that belong to one run alone.
OWN_PARTS = {"model": "models", "training": "training", "cpt": "cpt", "sft": "sft", "engine": "engines"}
# Part of a run -> values that are laid over its file: those of the run's file, then those of the call.
Changes = dict[str, tuple[Values, ...]]
Made = TypeVar("Made")


def blamed(make: Callable[[], Made], bare: Callable[[], Made], given: Sequence[str]) -> Made:
    """What `make` makes; an error of it that is not there without the values of this call is told as theirs."""
    try:
        return make()
    except AbovoError as error:
        if not given or error.where.startswith(SET):
            raise
        try:
            bare()
        except AbovoError:
            raise error from None
        where = f"{SET}, {', '.join(given)} (with {error.where})"
        raise AbovoError(error.what, where, error.mend) from None


def changes_of(values: Mapping[str, Any], call: Mapping[str, Any], run: str, where: Path) -> Changes:
    """Values by the part of the run that they are of. Raises AbovoError for one of no part that is the run's own."""
    refuse_twice((key, key, f"{where}, key set.{key}") for key in values)
    for key in values:
        part, _, rest = key.partition(".")
        if part not in OWN_PARTS or not rest:
            mend = f"start it with one of {', '.join(OWN_PARTS)}; all else is set in its own file"
            raise AbovoError(f"cannot be set for one run: {key}", f"{where}, key set", mend)
    laid = (Values(values, f"{where}, key ", "set."), Values(call, f"{SET}, key ", f"{run}."))
    return {part: tuple(one.below(part) for one in laid) for part in OWN_PARTS}
