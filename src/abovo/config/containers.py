"""Turn the key `container` of Snakemake's config into the image that jobs run in and what Apptainer is to show them."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError

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
    """
    # Apptainer takes commas and colons in them for its own, and has no way to quote them
    wanted = [f"--bind {shlex.quote(str(place))}" for place in places if not place.is_relative_to(here)]
    wanted += ["--nv"] if DRIVER.exists() else []
    return " ".join([arguments, *(one for one in wanted if one not in arguments)]).strip()
