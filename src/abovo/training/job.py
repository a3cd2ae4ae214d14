"""Turn packed sets, a start and a recipe into a trained model: pretraining, its phases and fine-tuning alike."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from abovo.cluster.cards import take_cards
from abovo.cluster.requeue import put_back
from abovo.config.budget import budget
from abovo.config.engines import gpus
from abovo.modeling.layout import verify_model
from abovo.provenance.code import Script
from abovo.provenance.files import write_json
from abovo.provenance.manifest import Manifest, describe_folder, read_manifest
from abovo.provenance.products import Job, Made, is_kept
from abovo.settings.job import JobSettings
from abovo.settings.keys import decisive
from abovo.tokenizing.load import load_tokenizer
from abovo.training.compiling import keep_compiled
from abovo.training.kept import export_kept, take_over
from abovo.training.loop import Stopped
from abovo.training.moments import check_limits, moments_of, tell_moments, words_of
from abovo.training.outcome import export, what_happened
from abovo.training.sets import TrainingSets, validation_batches
from abovo.training.start import start_model
from abovo.training.summary import SUMMARY, TIMINGS, training_summary
from abovo.training.task import order_of, task_of
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
    keep_compiled(state)
    job = Job(output, "abovo/model/1", inputs.by_role, decisive(settings), script)
    if settings.engine.processes == 1 and gpus(settings.engine):
        take_cards(1, output.as_posix(), lambda: is_kept(job))
    with open_world(settings.engine, settings.threads) as world:
        try:
            produce_together(world, job, state, lambda folder: _train(settings, inputs, world, state, folder, label))
        except Stopped as stopped:
            if world.leads:  # and holds no lock any more
                put_back(stopped.number, stopped.steps)
            raise


def _check_tokenizer(inputs: JobInputs) -> None:
    """One tokenizer for all; a start in a folder of its own names none and is told by its size."""
    own = [m for m in (*inputs.sets.values(), inputs.start, inputs.before) if m is not None and not m.path.is_dir()]
    for manifest in own:
        manifest.require_tokenizer(inputs.tokenizer["tokenizer_sha256"])


def _train(
    settings: JobSettings, inputs: JobInputs, world: World, state: Path, folder: Path | None, label: str
) -> Made | None:
    """Train with all processes, and on rank 0 export into `folder` and say what the manifest says of it."""
    tokenizer, plan = load_tokenizer(inputs.tokenizer.path), budget(settings)
    if world.leads and inputs.start is not None:
        verify_model(inputs.start)
    apart = settings.attention == "conversation"
    length, overlap = settings.sequence_length, settings.overlap
    sets = TrainingSets.open(inputs.sets, length, verify=world.leads, apart=apart, overlap=overlap)
    order = order_of(settings, plan, sets)
    start = sum(plan.phases[:-1]) if inputs.before else 0
    words = words_of(inputs.sets)
    check_limits(settings, plan, order, words)
    moments = moments_of(settings, plan, order, words, start)
    task = replace(
        task_of(settings, plan, tokenizer, sets, order, world),
        label=label if plan.phases == (plan.steps,) else f"{label}, phase {settings.phases[-1].name}",
        start=start,
        kept=frozenset(moment.step for moment in moments),
        tensorboard=state.parent / "tensorboard" if settings.training.tensorboard else None,
    )
    if world.leads:
        log.info("%s: steps %d to %d of %s tokens", task.label, task.start + 1, task.steps, f"{plan.tokens_per_step:,}")
        tell_moments(moments, task.label)
        if sets.unvalidated:
            log.warning("%s: no row to validate on of %s", task.label, ", ".join(sets.unvalidated))
    build = partial(start_model, settings, tokenizer, inputs.start, world.rank)
    held_out = partial(validation_batches, sets.held_out)
    trained = train_together(Run(task, world, settings, inputs.by_role, build, state, held_out), folder)
    if trained is None or folder is None:
        return None
    model, rows = trained
    made = export(model, settings, tokenizer, inputs.start, folder)
    happened = what_happened(task, order, rows, length)
    fields = {**made.fields, **happened.fields, "unvalidated": sets.unvalidated}
    earlier = take_over(inputs.before, folder) if inputs.before else []
    if kept := [*earlier, *export_kept(model, settings, tokenizer, moments, state, folder)]:
        fields["checkpoints"] = kept
    counts = {**made.counts, **happened.counts}
    earlier_tokens = task.start * task.tokens_per_step
    write_json(folder / SUMMARY, training_summary(counts, fields, folder / TIMINGS, earlier_tokens))
    return replace(made, counts=counts, fields=fields)
