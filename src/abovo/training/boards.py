"""Turn rows of metrics into TensorBoard files and Weights & Biases runs, where a recipe asks for them.

Both live beside the state of the run and enter no hash.
"""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from abovo.errors import AbovoError
from abovo.provenance.hashing import sha256_bytes
from abovo.settings.keys import plain
from abovo.settings.training import Training


class Board(Protocol):
    """Something that shows metrics."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Show the values of a step."""

    def close(self) -> None:
        """Write out what is left."""


class TensorBoard:
    """TensorBoard files in `folder`; a resumed run purges the rows after its checkpoint."""

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.writer = SummaryWriter(str(folder), purge_step=first + 1 if first else None)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases:
    """A run of wandb, `online` or `offline`; `wandb sync` uploads an offline one later. A resumed run keeps its id."""

    def __init__(self, folder: Path, mode: str, recipe: Training) -> None:
        try:
            wandb = importlib.import_module("wandb")  # only the environment of training has it
        except ImportError:
            mend = "install it with: pip install wandb, or set wandb: null"
            raise AbovoError("the package wandb is not installed", "training recipe, key wandb", mend) from None
        folder.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "abovo"),
            name=folder.as_posix(),
            id=sha256_bytes(str(folder.resolve()).encode())[:16],
            resume="allow" if mode == "online" else None,
            dir=str(folder),
            mode=mode,
            config=plain(recipe),
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True),
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        self.run.finish()


def open_boards(recipe: Training, tensorboard: Path | None, folder: Path | None, first: int) -> list[Board]:
    """The boards that the recipe asks for; `folder` is the run's, None on all ranks but 0 and where nothing is kept."""
    boards: list[Board] = []
    if tensorboard is not None:
        boards.append(TensorBoard(tensorboard, first))
    if folder is not None and recipe.wandb:
        boards.append(WeightsAndBiases(folder, recipe.wandb, recipe))
    return boards
