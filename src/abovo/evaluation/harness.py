"""Run lm-eval on a model folder and hand back every sample that it scored."""

import importlib.metadata
import io
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from abovo.console.progress import Progress
from abovo.errors import AbovoError

Samples = dict[str, list[dict[str, Any]]]


def open_model(folder: Path, device: str, batch_size: int, context: int, progress: Progress) -> Any:
    """The model as lm-eval's `hf` class in float32: windows of `context` tokens, EOS before a text without context."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with redirect_stderr(Bars(progress)):
        from lm_eval.models.huggingface import HFLM

        from abovo.modeling.family import open_model as open_folder

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        model: Any = open_folder(folder)
        return HFLM(
            pretrained=model.to(device),
            tokenizer=str(folder),
            batch_size=batch_size,
            max_length=context,
        )


def score(
    model: Any, local: Mapping[str, Mapping[str, Any]], public: Sequence[str], progress: Progress
) -> tuple[Samples, dict[str, Any]]:
    """Samples per task in the order of its rows, and lm-eval's own results.

    `local` maps names to task configurations. Naming a public task costs lm-eval a scan of its task folder and needs
    the network, so its defaults stay out where there are none.
    """
    with tempfile.TemporaryDirectory(prefix="abovo-tasks-") as empty, redirect_stderr(Bars(progress)):
        import lm_eval
        from lm_eval.tasks import TaskManager

        manager = TaskManager(include_path=empty, include_defaults=bool(public))
        unknown = sorted(set(public) - set(manager.all_tasks))
        if unknown:
            raise AbovoError("lm-eval knows no such task", f"task {unknown[0]}", "mend the evaluation's key `tasks`")
        try:
            found = lm_eval.simple_evaluate(
                model=model,
                tasks=[*(dict(config) for config in local.values()), *public],
                task_manager=manager,
                bootstrap_iters=0,
                log_samples=True,
            )
        except OSError as error:
            if not public:
                raise
            mend = "connect to the network, or take the task out of the evaluation's configuration"
            what = f"its data cannot be fetched ({type(error).__name__})"
            raise AbovoError(what, f"tasks {', '.join(public)}", mend) from None
    # rows of two models are compared one by one
    samples = {name: sorted(rows, key=lambda row: row["doc_id"]) for name, rows in found["samples"].items()}
    return samples, found["results"]


class Bars(io.TextIOBase):
    """Takes the libraries' progress bars and hands them on as our progress line, at its own pace."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.screen = progress, sys.stderr

    def write(self, text: str) -> int:
        line = text.rsplit("\r", 1)[-1].strip()
        if line:
            with redirect_stderr(self.screen):
                self.progress.update(line[:100])
        return len(text)


def version() -> str:
    return f"lm_eval {importlib.metadata.version('lm_eval')}"


def log_likelihood(sample: Mapping[str, Any]) -> float:
    """The log-likelihood (nats) of a sample that asked for a single one."""
    value = sample["resps"][0][0]
    return float(value[0] if isinstance(value, list | tuple) else value)


def option_log_likelihoods(sample: Mapping[str, Any]) -> list[float]:
    return [float(response[0][0]) for response in sample["resps"]]
