"""Turn the key `container` of Snakemake's config into the image that jobs run in and what Apptainer is to show them."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.settings.run import AnyRun

KEY = "container"
PAGE = "docs/containers.md"
# What the driver of NVIDIA's cards makes on each machine that has one.
DRIVER = Path("/dev/nvidiactl")


def image_of(config: Mapping[str, Any], wanted: bool, alone: bool) -> str | None:
    """The image that `config` names, a file or what a registry calls it; None where jobs need none.

    Snakemake runs a rule without an image as if nobody had asked for one, so an image that is `wanted` and not named
    raises AbovoError, but in a project that imports the workflow (not `alone`), which may want one for its own rules;
    a file that is not there does in each.
    """
    image = config.get(KEY)
    where = f"--config {KEY}"
    if image is None or image == "":
        if wanted and alone:
            mend = f"build one ({PAGE}) and name it: --config {KEY}=abovo.sif"
            raise AbovoError("no image is named, so jobs would run without one", "--sdm apptainer", mend)
        return None
    if not isinstance(image, str) or any(letter.isspace() or letter in "{}" for letter in image):
        raise AbovoError(f"{image!r} is no image", where, f"name a file, or docker://NAME: {KEY}=abovo.sif")
    if wanted and "://" not in image and not Path(image).exists():
        mend = f"build it: apptainer build {image} envs/apptainer.def ({PAGE})"
        raise AbovoError(f"{image} is not there", where, mend)
    return image


def arguments_with(arguments: str, here: Path, places: Iterable[Path]) -> str:
    """Arguments of Apptainer with a `--bind` for each of `places` outside of `here`, the folder that Snakemake binds by
    itself, and with `--nv` where this machine has cards of NVIDIA's. What is among them already is not added.

    Raises AbovoError for a folder that Apptainer cannot be told of.
    """
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        mend = "close the quotes"
        raise AbovoError(f"{arguments!r} cannot be read ({error})", "--apptainer-args", mend) from None
    # Snakemake gives it by --home FOLDER[:PLACE]
    _check_sayable(here, ":")
    added, bound = [], _bound(words)
    for place in places:
        if not place.is_relative_to(here) and str(place) not in bound:
            _check_sayable(place, ",:")
            added.append(f"--bind {shlex.quote(str(place))}")
    if DRIVER.exists() and "--nv" not in words:
        added.append("--nv")
    return " ".join([arguments, *added]).strip()


def _bound(words: Sequence[str]) -> set[str]:
    """The folders that Apptainer's arguments show at their own place."""
    values = [words[number + 1] for number, word in enumerate(words[:-1]) if word in ("--bind", "-B")]
    values += [value for word in words for name, equal, value in [word.partition("=")] if equal and name == "--bind"]
    split = [one.split(":") for value in values for one in value.split(",")]
    return {source for source, *rest in split if not rest or rest[0] in ("", source)}


def _check_sayable(place: Path, own: str) -> None:
    """Apptainer takes the letters `own` in a folder's name for its own, and has no way to quote them."""
    if found := [letter for letter in own if letter in str(place)]:
        mend = f"name it without, or run without --sdm apptainer ({PAGE})"
        raise AbovoError(f"has a {found[0]!r} in its name, so it cannot be shown to jobs in an image", place, mend)


def refuse_in_image(run: AnyRun) -> None:
    """Raise AbovoError for a training on several nodes: it starts its processes by srun or ssh, which no image has."""
    if run.engine.nodes > 1:
        what = "an image has neither srun nor ssh for several nodes"
        raise AbovoError(what, f"run {run.name}, key engine.nodes", "leave --sdm apptainer out, or set it to 1")
