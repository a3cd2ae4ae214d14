"""Turn packed bins and a recipe into a base model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from abovo.config.budget import budget
from abovo.console.progress import log
from abovo.errors import AbovoError
from abovo.modeling.families import build_model
from abovo.modeling.parameters import check_claim
from abovo.packing.bins import open_bin
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made
from abovo.tokenizing.load import load_tokenizer
from abovo.training.export import export_model
from abovo.training.loop import Task
from abovo.training.loss import Batch, to_batch
from abovo.training.order import DataOrder, Phase
from abovo.training.seeds import derive_seed
from abovo.training.together import produce_together, recipe_for, train_model
from abovo.training.world import World, open_world


def pretrain(
    settings: Mapping[str, Any],
    tokenizer_path: Path,
    packed_paths: Sequence[Path],
    output: Path,
    state: Path,
    script: Path,
) -> None:
    """Train a base model; `output` is the manifest, `state` the folder of the live state.

    `settings` holds the run's model, training, engine, phases, tokens, sequence_length, seed and threads; each name in
    the phases' `corpora` is the corpus of one of the packed manifests.
    """
    packed = {_corpus_of(path): read_manifest(path, "abovo/packed/") for path in packed_paths}
    tokenizer_manifest = read_manifest(tokenizer_path, "abovo/tokenizer/")
    for manifest in packed.values():
        manifest.require_tokenizer(tokenizer_manifest["tokenizer_sha256"])
    inputs = {"tokenizer": tokenizer_manifest, **{f"packed/{name}": manifest for name, manifest in packed.items()}}
    job = Job(output, "abovo/model/1", inputs, settings, script)
    with open_world(settings["engine"], settings["threads"]) as world:
        produce_together(world, job, state, lambda folder: _train(settings, inputs, packed, world, state, folder))


def _train(
    settings: Mapping[str, Any],
    inputs: Mapping[str, Manifest],
    packed: Mapping[str, Manifest],
    world: World,
    state: Path,
    folder: Path | None,
) -> Made | None:
    tokenizer = load_tokenizer(inputs["tokenizer"].path)
    recipe = recipe_for(world, settings["training"])
    bins = {name: open_bin(manifest, "train", verify=world.leads) for name, manifest in packed.items()}
    held_out = {name: open_bin(manifest, "val", verify=world.leads) for name, manifest in packed.items()}
    order = data_order(settings, {name: len(rows) for name, rows in bins.items()})
    length = settings["sequence_length"]
    pad = next(iter(packed.values()))["pad_id"]
    steps = sum(phase.batches for phase in order.phases)

    def build() -> PreTrainedModel:
        seed = derive_seed(settings["seed"], "init")
        model = build_model(settings["model"], tokenizer.vocabulary_size, length, seed)
        torch.manual_seed(derive_seed(settings["seed"], f"dropout {world.rank}"))
        check_claim(settings["parameters"], _size(model), "settings, key parameters")
        if world.leads:
            log.info(
                "pretraining: %s parameters, %d steps of %s tokens", f"{_size(model):,}", steps, order.batch * length
            )
        return model

    task = Task(
        label="pretraining",
        batch=lambda k: _batch(bins, order.rows_of(k), pad),
        validation=lambda: validation_batches(held_out.values(), pad, recipe["micro_batch_sequences"]),
        steps=steps,
        tokens_per_step=order.batch * length,
        recipe=recipe,
        tensorboard=state.parent / "tensorboard" if recipe["tensorboard"] else None,
    )
    trained = train_model(build, task, world, settings, inputs, state, folder)
    if trained is None or folder is None:
        return None
    model, rows = trained
    export_model(model, tokenizer, folder / "model", length, chat=False)
    counts = {"parameters": _size(model), "steps": steps, "tokens": steps * order.batch * length}
    fields = {
        "tokenizer_sha256": tokenizer.sha256,
        "model_sha256": sha256_file(folder / "model" / "model.safetensors"),
        "sequence_length": length,
        **counts,
        **loss_summary(rows),
    }
    return Made(counts=counts, fields=fields, unhashed=("timings.jsonl",))


def _size(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def data_order(settings: Mapping[str, Any], rows: Mapping[str, int]) -> DataOrder:
    """The run's order of batches over sources that have `rows` rows each."""
    plan = budget(settings)
    phases = [
        Phase(phase["name"], phase["corpora"], batches)
        for phase, batches in zip(settings["phases"], plan.phases, strict=True)
    ]
    for name in (name for phase in phases for name in phase.weights):
        if not rows.get(name):
            raise AbovoError("has no training rows", f"data set {name}", "enlarge its budget and pack it again")
    batch = plan.tokens_per_step // settings["sequence_length"]
    return DataOrder(phases, rows, batch, derive_seed(settings["seed"], "order"))


def validation_batches(bins: Iterable[np.ndarray], pad: int, rows: int) -> Iterator[Batch]:
    """All rows of the validation bins in their order, `rows` at a time."""
    for held_out in bins:
        for first in range(0, len(held_out), rows):
            yield to_batch(held_out[first : first + rows], pad)


def loss_summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """First and last training loss and the last validation loss of a metrics file (nats per token)."""
    losses = [row["loss"] for row in rows if "loss" in row]
    validation = [row["validation_loss"] for row in rows if "validation_loss" in row]
    return {
        "train_loss_first": losses[0],
        "train_loss_last": losses[-1],
        "validation_loss_first": validation[0],
        "validation_loss": validation[-1],
    }


def _batch(bins: Mapping[str, np.ndarray], rows: Sequence[tuple[str, int]], pad: int) -> Batch:
    return to_batch(np.stack([bins[source][row] for source, row in rows]), pad)


def _corpus_of(packed: Path) -> str:
    """results/packed/{corpus}/{tokenizer}/{sequence_length}/manifest.json"""
    return packed.parts[-4]
