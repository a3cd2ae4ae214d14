"""Turn what a training holds at a step into a checkpoint that a thread writes while the next steps are made."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from abovo.training.state import State


class Saver:
    """Writes checkpoints of a state, one at a time, each from a copy in the memory of this process.

    The copy's memory is kept for the next one: 12 bytes per trained parameter with AdamW, pinned where it comes from a
    GPU. `close` ends the thread when what it writes is on the disk.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.pool = ThreadPoolExecutor(1, "saver")
        self.writing: Future[None] | None = None
        self.copies: dict[str, torch.Tensor] = {}

    def save(self, step: int, content: dict[str, Any], **kept: Any) -> None:
        """Begin to write a checkpoint of `content`, whose tensors may change when this returns; `kept` as State.save
        takes it. The one before must be written."""
        if failure := self.failure():
            raise failure
        copy = self._copy(content)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.writing = self.pool.submit(self.state.save, step, copy, marks=self.state.marks(), **kept)

    @property
    def failed(self) -> bool:
        """Whether the last checkpoint could not be written, as far as is known without waiting."""
        return self.writing is not None and self.writing.done() and self.writing.exception() is not None

    def failure(self) -> BaseException | None:
        """Why the last checkpoint could not be written; None, after a wait, where it is on the disk."""
        return self.writing.exception() if self.writing is not None else None

    def close(self) -> None:
        self.pool.shutdown()

    def _copy(self, value: Any, place: str = "") -> Any:
        if isinstance(value, torch.Tensor):
            copy = self.copies.get(place)
            if copy is None or (copy.shape, copy.dtype) != (value.shape, value.dtype):
                copy = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
                self.copies[place] = copy
            return copy.copy_(value, non_blocking=value.is_cuda)
        if isinstance(value, dict):
            return {key: self._copy(item, f"{place}/{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._copy(item, f"{place}/{number}") for number, item in enumerate(value))
        return value
