"""Turn a base model and packed conversations into an instruction-tuned model, by low-rank adapters."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from peft import PeftModel

from abovo.errors import AbovoError
from abovo.instruction.chatml import render
from abovo.instruction.lora import add_adapters, load_base, merge_adapters, save_adapter
from abovo.packing.bins import open_bin, open_mask
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made
from abovo.tokenizing.load import load_tokenizer
from abovo.training.ending import ending
from abovo.training.export import export_model
from abovo.training.loop import Task
from abovo.training.loss import Batch
from abovo.training.order import DataOrder
from abovo.training.pretrain import data_order, loss_summary
from abovo.training.samples import sampler
from abovo.training.seeds import derive_seed
from abovo.training.together import decisive, produce_together, recipe_for, train_model
from abovo.training.world import World, open_world


def fine_tune(
    settings: Mapping[str, Any],
    base_path: Path,
    tokenizer_path: Path,
    dataset_paths: Sequence[Path],
    output: Path,
    state: Path,
    script: Script | Path,
) -> None:
    """Fine-tune a base model; `output` is the manifest, adapter/ and model/ appear beside it.

    `settings` holds the run's sft, engine, sequence_length, seed and threads; each name in `sft.datasets` is the data
    set of one of the instruction manifests.
    """
    base = read_manifest(base_path, "abovo/model/")
    tokenizer = read_manifest(tokenizer_path, "abovo/tokenizer/")
    datasets = {path.parts[-3]: read_manifest(path, "abovo/instruction/") for path in dataset_paths}
    for manifest in (base, *datasets.values()):
        manifest.require_tokenizer(tokenizer["tokenizer_sha256"])
    inputs = {"base": base, "tokenizer": tokenizer, **{f"instruction/{name}": m for name, m in datasets.items()}}
    job = Job(output, "abovo/model/1", inputs, decisive(settings), script)
    with open_world(settings["engine"], settings["threads"]) as world:
        produce_together(world, job, state, lambda folder: _train(settings, inputs, datasets, world, state, folder))


def _train(
    settings: Mapping[str, Any],
    inputs: Mapping[str, Manifest],
    datasets: Mapping[str, Manifest],
    world: World,
    state: Path,
    folder: Path | None,
) -> Made | None:
    tokenizer = load_tokenizer(inputs["tokenizer"].path)
    sft, length = settings["sft"], settings["sequence_length"]
    recipe = recipe_for(world, sft["training"])
    bins = {name: _open(manifest, "train", length) for name, manifest in datasets.items()}
    held_out = {name: _open(manifest, "val", length) for name, manifest in datasets.items()}
    order = _order(settings, {name: len(ids) for name, (ids, _) in bins.items()})
    steps = sum(phase.batches for phase in order.phases)

    def build() -> PeftModel:
        model = add_adapters(load_base(inputs["base"]), sft["lora"], derive_seed(settings["seed"], "adapters"))
        torch.manual_seed(derive_seed(settings["seed"], f"sft dropout {world.rank}"))
        return model

    task = Task(
        label="fine-tuning",
        batch=lambda k: _batch(bins, order, k),
        validation=lambda: _validation(held_out, recipe["micro_batch_sequences"]),
        steps=steps,
        tokens_per_step=order.batch * length,
        recipe=recipe,
        tensorboard=state.parent / "tensorboard" if recipe["tensorboard"] else None,
        sample=sampler(tokenizer, recipe["samples"], length, _questions(recipe)) if _questions(recipe) else None,
    )
    trained = train_model(build, task, world, settings, inputs, state, folder)
    if trained is None or folder is None:
        return None
    model, rows = trained
    end = ending(rows, recipe, steps)
    steps = end.step
    adapters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    adapter = save_adapter(model.to("cpu"), folder / "adapter", (inputs["base"].path.parent / "model").as_posix())
    merged = merge_adapters(model)
    export_model(merged, tokenizer, folder / "model", length, chat=True)
    counts = {
        "parameters": sum(parameter.numel() for parameter in merged.parameters()),
        "trained_parameters": adapters,
        "steps": steps,
        "tokens": steps * order.batch * length,
        "rows": order.drawn(0),
    }
    fields = {
        "tokenizer_sha256": tokenizer.sha256,
        "base_model_sha256": inputs["base"]["model_sha256"],
        "adapter_sha256": adapter,
        "model_sha256": sha256_file(folder / "model" / "model.safetensors"),
        "sequence_length": length,
        **loss_summary(rows),
        **end.fields,
    }
    return Made(counts=counts, fields=fields, unhashed=("timings.jsonl",))


def _questions(recipe: Mapping[str, Any]) -> list[str]:
    """The prompts of the samples as conversations that the assistant is to go on with."""
    return [render([{"role": "user", "content": prompt}], answer=True) for prompt in recipe["samples"]["prompts"]]


def _order(settings: Mapping[str, Any], rows: Mapping[str, int]) -> DataOrder:
    """The order of the rows: one phase, the data sets mixed by their weights."""
    sft = settings["sft"]
    phase = {"name": "sft", "corpora": sft["datasets"], "share": 1.0}
    return data_order({**settings, "tokens": sft["tokens"], "training": sft["training"], "phases": [phase]}, rows)


def _open(manifest: Manifest, split: Literal["train", "val"], length: int) -> tuple[np.ndarray, np.ndarray]:
    ids, mask = open_bin(manifest, split), open_mask(manifest, split)
    if ids.shape[1] != length:
        what = f"rows have {ids.shape[1]} ids, the run's sequence_length is {length}"
        raise AbovoError(what, manifest.path, "set sequence_length of the data set to the run's")
    return ids, mask


def _batch(bins: Mapping[str, tuple[np.ndarray, np.ndarray]], order: DataOrder, k: int) -> Batch:
    rows = order.rows_of(k)
    ids = np.stack([bins[name][0][row] for name, row in rows]).astype(np.int64)
    mask = np.stack([bins[name][1][row] for name, row in rows]).astype(bool)
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask))


def _validation(bins: Mapping[str, tuple[np.ndarray, np.ndarray]], rows: int) -> Iterator[Batch]:
    for name, (ids, mask) in bins.items():
        for first in range(0, len(ids), rows):
            part = slice(first, first + rows)
            yield Batch(torch.from_numpy(ids[part].astype(np.int64)), torch.from_numpy(mask[part].astype(bool)), name)
