"""Turn the last model of a run into results/export/{run}/: hf/, gguf/, a Modelfile and a card."""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.exporting.card import Kept, Origins, model_card, told_absent
from abovo.exporting.chat import Chat, chat_of
from abovo.exporting.elsewhere import check_elsewhere
from abovo.exporting.folder import own_classes, write_folder
from abovo.exporting.gguf_forms import write_forms
from abovo.exporting.llama_cpp import installed_version
from abovo.exporting.modelfile import modelfile
from abovo.modeling.cost import training_flops_per_token
from abovo.modeling.family import FAMILIES, shape_of
from abovo.modeling.layout import model_folder, read_config, verify_model
from abovo.provenance.chain import Chain
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.export import ExportJob
from abovo.settings.keys import decisive
from abovo.tokenizing.load import TrainedTokenizer, load_tokenizer

log = logging.getLogger("abovo")
SCHEMA = "abovo/export/1"


def export_run(
    settings: ExportJob, model: Manifest, results: Manifest | None, output: Path, script: Script | Path
) -> Manifest:
    """Write the export of a model; `results` are those that its card shows.

    Raises AbovoError where a byte of the model is not what its manifest names, or the results are of another model.
    """
    verify_model(model)
    if results is not None and results["models"][settings.stage]["model_sha256"] != model["model_sha256"]:
        what = f"tells of another model than {model.path}"
        raise AbovoError(what, results.path, f"make it again: snakemake --cores 1 --force {results.path}")
    inputs = {"model": model} | ({"results": results} if results is not None else {})
    # without llama.cpp no GGUF file is written, so its version is part of what decides the export
    values = {**decisive(settings), "llama_cpp": installed_version()}
    if (own := own_classes(model_folder(model))) is not None:
        values["modelling"] = sha256_file(own.file)  # it is copied as it is, with words that no hash of code covers
    made = produce(Job(output, SCHEMA, inputs, values, script), partial(_make, settings, model, results))
    for line in told_absent(made["absent"]):
        log.warning("%s", line)
    for form, proof in made["proofs"].items():
        told = f"ids of {proof['texts']} texts equal, {proof['equal']} of {proof['tokens']} greedy tokens equal"
        log.info("%s: %s", form, told)
    log.info("to the hub: %s", upload_line(settings.repository or f"OWNER/{settings.run}", output.parent / "hf"))
    return made


def upload_line(repository: str, folder: Path) -> str:
    """The command that uploads a folder, as the installed huggingface_hub has it."""
    scripts = {one.name for one in entry_points(group="console_scripts")}
    return f"{'hf' if 'hf' in scripts else 'huggingface-cli'} upload {repository} {folder.as_posix()} ."


def _make(settings: ExportJob, model: Manifest, results: Manifest | None, folder: Path) -> Made:
    source, behind = model_folder(model), Chain().all([model])
    header = {
        "run": settings.run, "stage": settings.stage, "licence": settings.licence,
        "model_sha256": model["model_sha256"], "tokenizer_sha256": model["tokenizer_sha256"],
        "manifest": model.digest,
    }  # fmt: skip
    write_folder(source, folder / "hf", settings.precision, header)
    own = own_classes(source)
    if own is not None:
        check_elsewhere(folder / "hf")
    tokenizer = _tokenizer(model, behind.values())
    corpora = [one for one in behind.values() if one["schema"].startswith("abovo/corpus/")]
    proofs: dict[str, Any] = {}
    absent: dict[str, str] = dict.fromkeys(settings.gguf, "the tokenizer is not one of ours")
    chat = chat_of(source)
    if tokenizer is not None and settings.gguf:
        about = {"name": settings.run, "license": settings.licence, "abovo.model_sha256": model["model_sha256"]}
        proofs, absent = write_forms(
            source, tokenizer, chat, corpora, settings.gguf, folder / "gguf", settings.run, about
        )
        _write_modelfile(settings, tokenizer, chat, list(proofs), model["sequence_length"], folder)
    files = {one.relative_to(folder).as_posix(): sha256_file(one) for one in sorted(folder.rglob("*")) if one.is_file()}
    kept = Kept(files, proofs, absent, chat is not None, own.beside if own else None)
    card = model_card(settings, _origins(settings, model, behind, results), kept)
    for place in ("MODEL_CARD.md", "hf/README.md"):
        (folder / place).write_text(card, encoding="utf-8")
    return Made({"files": len(files)}, {"proofs": proofs, "absent": absent, "model_sha256": model["model_sha256"]})


def _tokenizer(model: Manifest, behind: Iterable[Manifest]) -> TrainedTokenizer | None:
    """The tokenizer that was trained here for a model; None of a model from elsewhere."""
    trained = (one for one in behind if one["schema"].startswith("abovo/tokenizer/"))
    found = next((one for one in trained if one["tokenizer_sha256"] == model["tokenizer_sha256"]), None)
    tokenizer = load_tokenizer(found.path) if found else None
    return tokenizer if isinstance(tokenizer, TrainedTokenizer) else None


def _write_modelfile(
    settings: ExportJob, tokenizer: TrainedTokenizer, chat: Chat | None, forms: list[str], context: int, folder: Path
) -> None:
    """Beside gguf/, for the smallest of the forms that are there."""
    if not forms:
        return
    smallest = min(forms, key=lambda form: (folder / f"gguf/{settings.run}-{form}.gguf").stat().st_size)
    stops = [tokenizer.processor.id_to_piece(one) for one in chat.ends] if chat else []
    text = modelfile(f"gguf/{settings.run}-{smallest}.gguf", context, stops, chat.render if chat else None)
    (folder / "Modelfile").write_text(text, encoding="utf-8")


def _origins(settings: ExportJob, model: Manifest, behind: Mapping[str, Manifest], results: Manifest | None) -> Origins:
    """What the card tells, from the manifests behind the model."""
    before = {path: one for path, one in behind.items() if one["schema"].startswith("abovo/model/")}
    models = {Path(path).parent.as_posix().removeprefix("results/"): one.data for path, one in before.items()}
    return Origins(
        models={**models, settings.stage: model.data},
        corpora=_named(behind, "abovo/corpus/", 1),
        instruction=_named(behind, "abovo/instruction/", 2),
        results=None if results is None else results.data,
        operations=_operations(before.values() if before else [model]),
    )


def _named(behind: Mapping[str, Manifest], schema: str, above: int) -> dict[str, Mapping[str, Any]]:
    """Name of an artifact, which is that of the folder so many steps `above`, -> its manifest, of those of one kind."""
    return {Path(path).parts[-1 - above]: one.data for path, one in behind.items() if one["schema"].startswith(schema)}


def _operations(models: Any) -> float | None:
    """Operations of the trainings of whole models of a family of ours; None where none is known."""
    total = 0.0
    for one in models:
        told = one.data.get("parameters", {})
        if told.get("model") and told["model"]["family"] in FAMILIES and "trained_parameters" not in one["counts"]:
            rows = read_config(model_folder(one))["vocab_size"]
            each = training_flops_per_token(shape_of(told["model"]), rows, one["sequence_length"])
            total += one["counts"]["tokens"] * each
    return total or None
