"""Turn a trained model and its metrics into the files of its artifact and what the manifest says of them."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.console.progress import several
from abovo.modeling.layout import hash_of_weights, is_trusted, model_folder
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Made
from abovo.settings.job import JobSettings
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.templates import template_for
from abovo.training.adapters import merge_adapters, save_adapter
from abovo.training.ending import ending
from abovo.training.export import export_model
from abovo.training.order import DataOrder
from abovo.training.start import size_of, trained_size
from abovo.training.summary import SUMMARY, TIMINGS
from abovo.training.task import Task

log = logging.getLogger("abovo")
# Of the merged model: how its adapter is asked, and how it writes
BESIDE_ADAPTERS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
# What the key of a set's validation loss begins with in metrics.jsonl
OF_SET = "validation_loss/"


def export(model: Any, settings: JobSettings, tokenizer: Tokenizer, start: Manifest | None, folder: Path) -> Made:
    """Write model/ and, of a model with adapters, adapter/ to `folder`; what was trained of what, in parameters."""
    counts: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    if start is not None:
        counts["trained_parameters"] = trained_size(model)
        fields["base_model_sha256"] = hash_of_weights(start)
        if is_trusted(start):
            fields["trust_remote_code"] = True  # its code is saved beside the weights
    if settings.adapters is not None:
        assert start is not None, "adapters need a model"
        base, weights = model_folder(start).as_posix(), fields["base_model_sha256"]
        fields["adapter_sha256"] = save_adapter(model.to("cpu"), folder / "adapter", base, weights)
        model = merge_adapters(model)
    template = template_for(settings.template, tokenizer)
    export_model(model, tokenizer, folder / "model", settings.sequence_length, template)
    if settings.adapters is not None:
        for name in BESIDE_ADAPTERS:
            if (folder / "model" / name).is_file():
                shutil.copyfile(folder / "model" / name, folder / "adapter" / name)
    fields |= {
        "tokenizer_sha256": tokenizer.sha256,
        "model_sha256": sha256_file(folder / "model" / "model.safetensors"),
        "sequence_length": settings.sequence_length,
    }
    return Made({**counts, "parameters": size_of(model)}, fields, unhashed=(TIMINGS, "samples.jsonl", SUMMARY))


def what_happened(task: Task, order: DataOrder, rows: Sequence[Mapping[str, Any]], length: int) -> Made:
    """Steps, tokens, rows drawn, losses and an early end of a training, from the `rows` of its metrics."""
    phases = drawn_by_phase(order, length)
    _log_shares(phases[len(phases) - 1 if task.start else 0 :])
    end = ending([row for row in rows if row["step"] > task.start], task.recipe, task.steps)
    counts = {"steps": end.step, "tokens": end.step * task.tokens_per_step, "phases": phases}
    return Made(counts, {**loss_summary(rows), **end.fields})


def drawn_by_phase(order: DataOrder, length: int) -> list[dict[str, Any]]:
    """Per phase its steps and tokens, and of each set the rows drawn, their share and the epochs that they make."""
    found = []
    for number, phase in enumerate(order.phases):
        total = phase.batches * order.batch
        sets = {
            name: {"rows": rows, "share": round(rows / total, 6), "epochs": round(rows / order.rows[name], 4)}
            for name, rows in order.drawn(number).items()
        }
        found.append({"name": phase.name, "steps": phase.batches, "tokens": total * length, "sets": sets})
    return found


def _log_shares(phases: Sequence[Mapping[str, Any]]) -> None:
    for phase in phases:
        parts = (
            f"{name} {several(drawn['rows'], 'row')} ({drawn['share']:.2%}, {drawn['epochs']:g} epochs)"
            for name, drawn in phase["sets"].items()
        )
        log.info("phase %s drew %s", phase["name"], ", ".join(parts))


def loss_summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """First and last training loss and first and last validation loss of a metrics file (nats per token), the latter
    also of each set, and of each of its sources where it has several."""
    losses = [row["loss"] for row in rows if "loss" in row]
    validation = [row["validation_loss"] for row in rows if "validation_loss" in row]
    apart: dict[str, dict[str, float]] = {}
    for row in rows:
        for name in (key.removeprefix(OF_SET) for key in row if key.startswith(OF_SET)):
            loss = row[f"{OF_SET}{name}"]
            apart[name] = {"first": apart.get(name, {}).get("first", loss), "last": loss}
    return {
        "train_loss_first": losses[0],
        "train_loss_last": losses[-1],
        "validation_loss_first": validation[0],
        "validation_loss": validation[-1],
        "validation_losses": apart,
    }
