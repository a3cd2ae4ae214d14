"""Run lm-eval on a model folder and hand back every sample that it scored."""

import importlib.metadata
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError

log = logging.getLogger("abovo")
Samples = dict[str, list[dict[str, Any]]]


def open_model(folder: Path, device: str, batch_size: int, context: int) -> Any:
    """The model as lm-eval's `hf` class in float32: windows of `context` tokens, EOS before a text without context."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=str(folder),
        tokenizer=str(folder),
        device=device,
        dtype="float32",
        batch_size=batch_size,
        max_length=context,
    )


def score(model: Any, local: Mapping[str, Mapping[str, Any]], public: Sequence[str]) -> tuple[Samples, dict[str, Any]]:
    """Samples per task in the order of its rows, and lm-eval's own results.

    `local` maps names to task configurations. Naming a public task costs lm-eval a scan of its task folder and needs
    the network, so its defaults stay out where there are none.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="abovo-tasks-") as empty:
        manager = TaskManager(include_path=empty, include_defaults=bool(public))
        try:
            found = lm_eval.simple_evaluate(
                model=model,
                tasks=[*(dict(config) for config in local.values()), *public],
                task_manager=manager,
                bootstrap_iters=0,
                log_samples=True,
            )
        except (ConnectionError, FileNotFoundError) as error:
            if not public:
                raise
            mend = "connect to the network, or take the task out of the evaluation's configuration"
            what = f"its data cannot be fetched ({type(error).__name__})"
            raise AbovoError(what, f"tasks {', '.join(public)}", mend) from None
    samples = {
        name: sorted(rows, key=lambda row: row["doc_id"]) for name, rows in found["samples"].items()
    }  # lm-eval keeps rows in order; their order decides which draw of the bootstrap meets which row
    return samples, found["results"]


def quiet() -> None:
    """Keep the progress bars of the libraries out of the log; ours says what is going on."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def version() -> str:
    return f"lm_eval {importlib.metadata.version('lm_eval')}"


def log_likelihood(sample: Mapping[str, Any]) -> float:
    """The log-likelihood (nats) of a sample that asked for a single one."""
    value = sample["resps"][0][0]
    return float(value[0] if isinstance(value, list | tuple) else value)


def option_log_likelihoods(sample: Mapping[str, Any]) -> list[float]:
    return [float(response[0][0]) for response in sample["resps"]]
