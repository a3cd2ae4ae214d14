"""Turn the name of a run and a stage, or a path, into the folder of a model and what it is called."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from abovo.config.stages import STAGES
from abovo.config.targets import stages_of
from abovo.errors import AbovoError
from abovo.modeling.layout import is_trusted, model_folder
from abovo.provenance.manifest import read_manifest


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """What a command line says of the model that is asked, and of how it is opened."""
    parser.add_argument("--run", default="", help="name of the run, or of one of its models: nano/chck_1M")
    parser.add_argument("--stage", default="", help="pretrain, given, cpt or sft (default: the last that the run has)")
    parser.add_argument("--model", type=Path, help="a folder in the Hugging Face layout, in place of a run")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the artifacts")
    parser.add_argument("--context", type=int, help="longest conversation (tokens; default: the model's, 8192 at most)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: bfloat16 for such on a GPU")


@dataclass(frozen=True)
class Found:
    """A model's folder in the Hugging Face layout, and its name: nano.sft, or that of the folder; whether a run said
    that code in the folder may run."""

    name: str
    folder: Path
    trusted: bool = False


def find_model(run: str = "", stage: str = "", path: Path | None = None, results: Path = Path("results")) -> Found:
    """The model at `path` (a folder in the Hugging Face layout, or one with a manifest), else that of a run.

    `run` is a name, or a name and the folder of one of its models: nano/chck_1M, nano/phase-late. Without `stage` it is
    the last stage that the run has a model of. Raises AbovoError where there is none, or where one of its files is not
    as long as its manifest says.
    """
    if path is not None:
        if run:
            raise AbovoError("names a model beside a run", f"MODEL={path}", f"leave MODEL or RUN={run} away")
        if not path.is_dir():
            mend = "name a folder in the Hugging Face layout, or a run by RUN=NAME"
            raise AbovoError("there is no such folder", path, mend)
        ours = (path / "manifest.json").is_file() and not (path / "config.json").is_file()
        return _of_manifest(_name_of(path), path / "manifest.json") if ours else Found(_name_of(path), path)
    if stage and stage not in STAGES:
        raise AbovoError(f"there is no stage {stage!r}", "STAGE", f"use one of {', '.join(STAGES)}")
    made = [one for one in STAGES if (results / one / run / "manifest.json").is_file()]
    chosen = stage or (made[-1] if made else "")
    if not run or chosen not in made:
        raise AbovoError(*_absent(run, chosen, made, results))
    return _of_manifest(f"{run}.{chosen}", results / chosen / run / "manifest.json")


def _name_of(path: Path) -> str:
    """What a model is called by where it lies: RUN.STAGE below a stage, else as its folder is."""
    folder = path.resolve()
    if folder.name in ("model", "hf"):  # which names none
        folder = folder.parent
    above = [parent.name for parent in folder.parents[:2]]
    stage = next((name for name in above if name in STAGES), None)
    if stage is None:
        return folder.name
    return f"{folder.name if above[0] == stage else f'{above[0]}/{folder.name}'}.{stage}"


def _absent(run: str, stage: str, made: list[str], results: Path) -> tuple[str, object, str]:
    """What is wrong, where, and what there is in its place."""
    models = (path.parent for one in STAGES for path in (results / one).glob("*/manifest.json"))
    there = sorted({folder.name for folder in models})
    known = f"runs with a model are {', '.join(there)}" if there else "make demo makes one, of the run nano"
    if not run:
        return "no model is named", "RUN", f"name a run (RUN=NAME), or a folder (MODEL=FOLDER); {known}"
    wanted = results / (stage or stages_of(run)[-1].name) / run / "manifest.json"
    others = f", or use {' or '.join(f'STAGE={one}' for one in made)}, which there is" if made else f"; {known}"
    return "there is no such model", wanted, f"make it: snakemake --cores all {wanted}{others}"


def _of_manifest(name: str, path: Path) -> Found:
    manifest = read_manifest(path, "abovo/model/")
    for one in manifest.names("model/"):
        file, size = path.parent / one, manifest["outputs"][one]["bytes"]
        if not file.is_file() or file.stat().st_size != size:
            what = f"is not there with the {size:,} bytes that {path} lists"
            raise AbovoError(what, file, "copy the whole folder again, or ask snakemake for it")
    return Found(name, model_folder(manifest), is_trusted(manifest))
