"""Turn packed sets, a start and a recipe into a trained model: pretraining, its phases and fine-tuning alike."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from abovo.config.budget import Budget, budget
from abovo.errors import AbovoError
from abovo.modeling.cost import training_flops_per_token
from abovo.modeling.family import shape_of
from abovo.modeling.parameters import padded_vocabulary
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest, describe_folder, read_manifest
from abovo.provenance.products import Job, Made
from abovo.settings.job import JobSettings
from abovo.settings.keys import build, decisive
from abovo.tokenizing.load import Tokenizer, load_tokenizer
from abovo.training.adapters import merge_adapters, save_adapter
from abovo.training.device import resolve_precision
from abovo.training.ending import ending
from abovo.training.engines import micro_batch
from abovo.training.export import export_model
from abovo.training.loop import Task
from abovo.training.order import DataOrder, Phase
from abovo.training.samples import sampler
from abovo.training.schedule import Phased, PhaseSchedule
from abovo.training.seeds import derive_seed
from abovo.training.sets import TrainingSets, validation_batches
from abovo.training.start import model_folder, size_of, start_model, trained_size, verify_start
from abovo.training.together import Run, produce_together, train_together
from abovo.training.world import World, open_world

log = logging.getLogger("abovo")


@dataclass(frozen=True)
class JobInputs:
    """The artifacts that a job reads: the tokenizer, the packed sets by name, and what it starts from.

    `start` is a finished model, of whose weights training begins; `before` the phase before, of whose end, optimizer
    and all, it goes on. With neither the weights are drawn.
    """

    tokenizer: Manifest
    sets: Mapping[str, Manifest]
    start: Manifest | None = None
    before: Manifest | None = None

    @property
    def by_role(self) -> dict[str, Manifest]:
        roles = {"tokenizer": self.tokenizer, "start": self.start, "before": self.before}
        named = {f"set/{name}": packed for name, packed in self.sets.items()}
        return {role: manifest for role, manifest in (roles | named).items() if manifest is not None}


def read_settings(values: Mapping[str, Any]) -> JobSettings:
    """The settings of a job from JSON; those of the model are its family's. Raises AbovoError naming a bad key."""
    settings = build(JobSettings, values)
    return settings if settings.model is None else replace(settings, model=shape_of(settings.model, "settings, model"))


def read_inputs(
    tokenizer: Path, sets: Mapping[str, Path], start: Path | None = None, before: Path | None = None
) -> JobInputs:
    """The artifacts at these paths; `start` may be a folder in the Hugging Face layout, which has no manifest."""
    start_from = None
    if start is not None:
        start_from = describe_folder(start) if start.is_dir() else read_manifest(start, "abovo/model/")
    return JobInputs(
        tokenizer=read_manifest(tokenizer, "abovo/tokenizer/"),
        sets={name: read_manifest(path) for name, path in sets.items()},
        start=start_from,
        before=None if before is None else read_manifest(before, "abovo/model/"),
    )


def run_job(
    settings: JobSettings, inputs: JobInputs, output: Path, state: Path, script: Script | Path, label: str = "training"
) -> None:
    """Train a model; `output` is its manifest, `state` the folder of the live state, `label` what progress is called.

    Raises AbovoError where the inputs do not fit each other or the settings.
    """
    _check_tokenizer(inputs)
    job = Job(output, "abovo/model/1", inputs.by_role, decisive(settings), script)
    with open_world(settings.engine, settings.threads) as world:
        produce_together(world, job, state, lambda folder: _Work(settings, inputs, world, state, label).train(folder))


def _check_tokenizer(inputs: JobInputs) -> None:
    """One tokenizer for all; a start in a folder of its own names none and is told by its size."""
    own = [m for m in (*inputs.sets.values(), inputs.start, inputs.before) if m is not None and not m.path.is_dir()]
    for manifest in own:
        manifest.require_tokenizer(inputs.tokenizer["tokenizer_sha256"])


@dataclass
class _Work:
    """What the processes of a job do together, from the opened sets to the exported model."""

    settings: JobSettings
    inputs: JobInputs
    world: World
    state: Path
    label: str
    tokenizer: Tokenizer = field(init=False)
    plan: Budget = field(init=False)

    def train(self, folder: Path | None) -> Made | None:
        """Train, and on rank 0 export into `folder` and say what the manifest says; the others get None for both."""
        settings, world = self.settings, self.world
        self.tokenizer, self.plan = load_tokenizer(self.inputs.tokenizer.path), budget(settings)
        if world.leads and self.inputs.start is not None:
            verify_start(self.inputs.start)
        sets = TrainingSets.open(self.inputs.sets, settings.sequence_length, verify=world.leads)
        order = self._order(sets)
        task = self._task(sets, order)
        run = Run(task, world, settings, self.inputs.by_role, self._model, self.state)
        trained = train_together(run, folder)
        return None if trained is None or folder is None else self._made(*trained, task, order, folder)

    def _model(self) -> nn.Module:
        return start_model(self.settings, self.tokenizer, self.inputs.start, self.world.rank)

    def _order(self, sets: TrainingSets) -> DataOrder:
        phases = [
            Phase(phase.name, phase.sets, batches)
            for phase, batches in zip(self.settings.phases, self.plan.phases, strict=True)
        ]
        for name in (name for phase in phases for name in phase.weights):
            if not len(sets.train.get(name, ())):
                raise AbovoError("has no training rows", f"data set {name}", "enlarge its budget and pack it again")
        rows = {name: len(found) for name, found in sets.train.items()}
        batch = self.plan.tokens_per_step // self.settings.sequence_length
        return DataOrder(phases, rows, batch, derive_seed(self.settings.seed, "order"))

    def _task(self, sets: TrainingSets, order: DataOrder) -> Task:
        settings, plan = self.settings, self.plan
        recipe = replace(settings.training, precision=resolve_precision(settings.training.precision, self.world.device))
        length, steps = settings.sequence_length, sum(plan.phases)
        label = self.label if plan.phases == (plan.steps,) else f"{self.label}, phase {settings.phases[-1].name}"
        task = Task(
            label=label,
            batch=lambda k: sets.batch(order.rows_of(k)),
            validation=lambda: validation_batches(sets.held_out, micro_batch(recipe)),
            steps=steps,
            tokens_per_step=plan.tokens_per_step,
            recipe=recipe,
            schedule=schedule_of(settings, plan),
            sample=sampler(self.tokenizer, recipe.samples, length, settings.chat) if recipe.samples.prompts else None,
            flops_per_token=self._flops_per_token(),
            tensorboard=self.state.parent / "tensorboard" if recipe.tensorboard else None,
            start=steps - plan.phases[-1] if self.inputs.before else 0,
            whole=plan.steps,
        )
        if self.world.leads:
            log.info("%s: steps %d to %d of %s tokens", label, task.start + 1, steps, f"{plan.tokens_per_step:,}")
        return task

    def _flops_per_token(self) -> int | None:
        """Operations that training on one token takes, by the model's shape; None where adapters or a start decide."""
        if self.settings.model is None or self.settings.adapters is not None:
            return None
        rows = padded_vocabulary(self.tokenizer.vocabulary_size)
        return training_flops_per_token(self.settings.model, rows, self.settings.sequence_length)

    def _made(self, model: Any, rows: Sequence[Mapping[str, Any]], task: Task, order: DataOrder, folder: Path) -> Made:
        """Export the trained model, its adapters apart where it has any, and say what the manifest says of both."""
        settings, length = self.settings, self.settings.sequence_length
        phases = drawn_by_phase(order, length)
        _log_shares(phases[len(phases) - 1 if self.inputs.before else 0 :])
        end = ending([row for row in rows if row["step"] > task.start], task.recipe, task.steps)
        counts: dict[str, Any] = {"steps": end.step, "tokens": end.step * self.plan.tokens_per_step, "phases": phases}
        fields: dict[str, Any] = {}
        if self.inputs.start is not None:
            fields["base_model_sha256"] = sha256_file(model_folder(self.inputs.start) / "model.safetensors")
        if settings.adapters is not None:
            assert self.inputs.start is not None, "adapters need a model"
            counts["trained_parameters"] = trained_size(model)
            base = model_folder(self.inputs.start).as_posix()
            fields["adapter_sha256"] = save_adapter(model.to("cpu"), folder / "adapter", base)
            model = merge_adapters(model)
        export_model(model, self.tokenizer, folder / "model", length, chat=settings.chat)
        fields |= {
            "tokenizer_sha256": self.tokenizer.sha256,
            "model_sha256": sha256_file(folder / "model" / "model.safetensors"),
            "sequence_length": length,
            **loss_summary(rows),
            **end.fields,
        }
        return Made({**counts, "parameters": size_of(model)}, fields, unhashed=("timings.jsonl",))


def schedule_of(settings: JobSettings, plan: Budget) -> Phased:
    """The learning rate over the phases: a phase's own schedule over its own steps, or the recipe's over all steps."""
    phases, first = [], 1
    for phase, steps in zip(settings.phases, plan.phases, strict=True):
        schedule = phase.schedule or settings.training.schedule
        phases.append(PhaseSchedule(schedule, phase.schedule is not None, first, first + steps - 1))
        first += steps
    return Phased(tuple(phases))


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
            f"{name} {drawn['rows']:,} rows ({drawn['share']:.2%}, {drawn['epochs']:g} epochs)"
            for name, drawn in phase["sets"].items()
        )
        log.info("phase %s drew %s", phase["name"], ", ".join(parts))


def loss_summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """First and last training loss and first and last validation loss of a metrics file (nats per token)."""
    losses = [row["loss"] for row in rows if "loss" in row]
    validation = [row["validation_loss"] for row in rows if "validation_loss" in row]
    return {
        "train_loss_first": losses[0],
        "train_loss_last": losses[-1],
        "validation_loss_first": validation[0],
        "validation_loss": validation[-1],
    }
