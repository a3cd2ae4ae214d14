"""Turn packed bins and a recipe into a base model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from abovo.config.budget import Budget, budget
from abovo.console.progress import log
from abovo.errors import AbovoError
from abovo.modeling.families import build_model
from abovo.modeling.flops import training_flops_per_token
from abovo.modeling.parameters import check_claim, count_parameters, padded_vocabulary
from abovo.packing.bins import open_bin, read_index
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made
from abovo.tokenizing.load import Tokenizer, load_tokenizer
from abovo.training.ending import ending
from abovo.training.export import export_model
from abovo.training.loop import Task
from abovo.training.loss import Batch, to_batch
from abovo.training.order import DataOrder, Phase
from abovo.training.samples import sampler
from abovo.training.seeds import derive_seed
from abovo.training.together import decisive, produce_together, recipe_for, train_model
from abovo.training.world import World, open_world


def pretrain(
    settings: Mapping[str, Any],
    tokenizer_path: Path,
    packed_paths: Sequence[Path],
    output: Path,
    state: Path,
    script: Script | Path,
    before: Path | None = None,
) -> None:
    """Train a base model; `output` is the manifest, `state` the folder of the live state.

    `settings` holds the run's model, training, engine, tokens, sequence_length, seed and threads, and its phases up to
    the one to be trained; each name in their `corpora` is the corpus of one of the packed manifests. `before` is the
    manifest of the phase before, from whose end training goes on; without it all given phases are trained in one go.
    """
    packed = {_corpus_of(path): read_manifest(path, "abovo/packed/") for path in packed_paths}
    tokenizer_manifest = read_manifest(tokenizer_path, "abovo/tokenizer/")
    for manifest in packed.values():
        manifest.require_tokenizer(tokenizer_manifest["tokenizer_sha256"])
    inputs = {"tokenizer": tokenizer_manifest, **{f"packed/{name}": manifest for name, manifest in packed.items()}}
    if before is not None:
        inputs["phase"] = read_manifest(before, "abovo/model/")
        inputs["phase"].require_tokenizer(tokenizer_manifest["tokenizer_sha256"])
    job = Job(output, "abovo/model/1", inputs, decisive(settings), script)
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
    plan = budget(settings)
    recipe = recipe_for(world, settings["training"]) | {"schedule": schedule_of(settings, plan)}
    bins = {name: open_bin(manifest, "train", verify=world.leads) for name, manifest in packed.items()}
    held_out = [rows for name in packed for rows in held_out_sources(name, packed[name], verify=world.leads)]
    order = data_order(settings, {name: len(rows) for name, rows in bins.items()})
    length = settings["sequence_length"]
    pad = next(iter(packed.values()))["pad_id"]
    steps = sum(plan.phases)
    before = inputs.get("phase")

    def build() -> PreTrainedModel:
        seed = derive_seed(settings["seed"], "init")
        model = build_model(settings["model"], tokenizer.vocabulary_size, length, seed)
        torch.manual_seed(derive_seed(settings["seed"], f"dropout {world.rank}"))
        check_claim(settings["parameters"], _size(model), "settings, key parameters")
        return model

    task = Task(
        label="pretraining" if plan.phases == (plan.steps,) else f"pretraining, phase {settings['phases'][-1]['name']}",
        batch=lambda k: _batch(bins, order.rows_of(k), pad),
        validation=lambda: validation_batches(held_out, pad, recipe["micro_batch_sequences"]),
        steps=steps,
        tokens_per_step=order.batch * length,
        sample=sampler(tokenizer, recipe["samples"], length) if recipe["samples"]["prompts"] else None,
        flops_per_token=flops_per_token(settings["model"], tokenizer, length),
        recipe=recipe,
        tensorboard=state.parent / "tensorboard" if recipe["tensorboard"] else None,
        start=steps - plan.phases[-1] if before else 0,
        whole=plan.steps,
    )
    if world.leads:
        log.info("%s: steps %d to %d of %s tokens", task.label, task.start + 1, steps, f"{plan.tokens_per_step:,}")
    trained = train_model(build, task, world, settings, inputs, state, folder, before, steps < plan.steps)
    if trained is None or folder is None:
        return None
    model, rows = trained
    phases = drawn_by_phase(order, length)
    _log_shares(phases[len(phases) - 1 if before else 0 :])
    end = ending([row for row in rows if row["step"] > task.start], recipe, steps)
    steps = end.step
    export_model(model, tokenizer, folder / "model", length, chat=False)
    counts = {"parameters": _size(model), "steps": steps, "tokens": steps * plan.tokens_per_step}
    fields = {
        "tokenizer_sha256": tokenizer.sha256,
        "model_sha256": sha256_file(folder / "model" / "model.safetensors"),
        "sequence_length": length,
        **loss_summary(rows),
        **end.fields,
    }
    return Made(counts={**counts, "phases": phases}, fields=fields, unhashed=("timings.jsonl",))


def flops_per_token(model: Mapping[str, Any], tokenizer: Tokenizer, length: int) -> int:
    """Operations that training on one token takes, by the model's shape."""
    count = count_parameters(model, padded_vocabulary(tokenizer.vocabulary_size))
    return training_flops_per_token(model, count, length)


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


def schedule_of(settings: Mapping[str, Any], plan: Budget) -> dict[str, Any]:
    """The learning rate over the phases: a phase's own schedule over its own steps, else the run's over all of its."""
    phases, first = [], 1
    for phase, steps in zip(settings["phases"], plan.phases, strict=True):
        own = phase.get("schedule")
        schedule = own or settings["training"]["schedule"]
        phases.append({"schedule": schedule, "own": bool(own), "first": first, "last": first + steps - 1})
        first += steps
    return {"kind": "phases", "warmup_steps": 0, "phases": phases}


def drawn_by_phase(order: DataOrder, length: int) -> list[dict[str, Any]]:
    """Per phase its steps and tokens, and of each corpus the rows drawn, their share and the epochs that they make."""
    found = []
    for number, phase in enumerate(order.phases):
        total = phase.batches * order.batch
        corpora = {
            name: {"rows": rows, "share": round(rows / total, 6), "epochs": round(rows / order.rows[name], 4)}
            for name, rows in order.drawn(number).items()
        }
        found.append({"name": phase.name, "steps": phase.batches, "tokens": total * length, "corpora": corpora})
    return found


def _log_shares(phases: Sequence[Mapping[str, Any]]) -> None:
    for phase in phases:
        parts = (
            f"{name} {drawn['rows']:,} rows ({drawn['share']:.2%}, {drawn['epochs']:g} epochs)"
            for name, drawn in phase["corpora"].items()
        )
        log.info("phase %s drew %s", phase["name"], ", ".join(parts))


def held_out_sources(corpus: str, packed: Manifest, verify: bool = True) -> list[tuple[str, np.ndarray]]:
    """The validation rows of each source of a packed corpus, named {corpus}/{source}, in the order of val.bin."""
    rows = open_bin(packed, "val", verify)
    places = read_index(packed, "val")["sources"]
    return [(f"{corpus}/{source}", rows[first:end]) for source, (first, end) in places.items()]


def validation_batches(sources: Iterable[tuple[str, np.ndarray]], pad: int, rows: int) -> Iterator[Batch]:
    """All validation rows in their order, `rows` at a time; no batch holds two sources."""
    for name, held_out in sources:
        for first in range(0, len(held_out), rows):
            yield replace(to_batch(held_out[first : first + rows], pad), source=name)


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
