"""What reruns after a change: the table of docs/architecture.md, each row by a dry run of the real workflow."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_nano_chain import TARGET, planned
from workflow import ROOT, Workflow

pytestmark = pytest.mark.slow

RESULTS = {"assemble_results"}
MEASURED = RESULTS | {"evaluate", "assemble_evaluation", "show_results"}
TUNED = MEASURED | {"fine_tune", "draw_loss"}
TRAINED = TUNED | {"pretrain"}
PACKED = TRAINED | {"pack"}
CORPUS = PACKED | {
    "assemble_corpus", "train_tokenizer", "prepare_instruction", "prepare_evaluation", "draw_composition",
    "show_tokenizer", "show_instruction",
}  # fmt: skip
ALL = CORPUS | {"plan_corpus", "read_source", "find_duplicates"}
Change = Callable[[Workflow], Workflow]


def edited(name: str, old: str, new: str) -> Change:
    """A file of the tree with one text in place of another."""

    def change(workflow: Workflow) -> Workflow:
        path = workflow.folder / name
        text = path.read_text()
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))
        return workflow

    return change


def added(name: str, text: str) -> Change:
    def change(workflow: Workflow) -> Workflow:
        path = workflow.folder / name
        path.write_text((path.read_text() if path.exists() else "") + text)
        return workflow

    return change


def with_setting(setting: str) -> Change:
    """A value of the call, in place of one that is given already."""

    def change(workflow: Workflow) -> Workflow:
        key = setting.partition("=")[0]
        kept = [item for item in workflow.settings.split(",") if item.partition("=")[0] != key]
        return Workflow(workflow.folder, ",".join([*kept, setting]))

    return change


def without(name: str) -> Change:
    def change(workflow: Workflow) -> Workflow:
        for path in sorted(workflow.folder.glob(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return workflow

    return change


def copied(workflow: Workflow) -> Workflow:
    """results/ as a copy with new times, in another order than that of the work."""
    results = workflow.folder / "results"
    shutil.copytree(results, workflow.folder / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(results)
    (workflow.folder / "copy").rename(results)
    return workflow


def both(*changes: Change) -> Change:
    def change(workflow: Workflow) -> Workflow:
        for one in changes:
            workflow = one(workflow)
        return workflow

    return change


OTHER = '"other": "abovo.modeling.other:OTHER",'
FAMILIES = "src/abovo/modeling/family.py"
PRETRAIN, SFT = "results/pretrain/nano", "results/sft/nano"
# What is changed -> how, and which rules have jobs then.
ROWS: dict[str, tuple[Change, set[str]]] = {
    "nothing": (lambda workflow: workflow, set()),
    "a comment": (
        both(added("src/abovo/training/loop.py", "\n# why\n"), added("config/runs/nano.yaml", "# why\n")), set(),
    ),
    "a progress line": (edited("src/abovo/packing/pack.py", "training and {val.rows", "rows and {val.rows"), set()),
    "words of an error": (edited("src/abovo/packing/pack.py", "change its validation_share", "raise it"), set()),
    "description of a run": (edited("config/runs/nano.yaml", "The demo", "A demo"), set()),
    "log_interval": (with_setting("nano.training.log_interval=3"), set()),
    "keep_last": (with_setting("nano.training.keep_last=5"), set()),
    "TensorBoard": (with_setting("nano.training.tensorboard=false"), set()),
    "a sample prompt": (with_setting("nano.training.samples.prompts=[Once]"), set()),
    "a new family": (edited(FAMILIES, '        "qwen3":', f'        {OTHER}\n        "qwen3":'), set()),
    "code of a family that no run uses": (added("src/abovo/modeling/llama.py", "\nUNUSED = 1\n"), set()),
    "code of an engine that is not used": (added("src/abovo/training/engine_deepspeed.py", "\nUNUSED = 1\n"), set()),
    "code of a filter that is not used": (
        edited("src/abovo/corpus/criteria.py", "def symbols(", "UNUSED = 1\n\n\ndef symbols("), set(),
    ),
    "a prompt of the evaluation": (with_setting("nano.evaluation.prompts=[Once]"), MEASURED),
    "recipe of fine-tuning": (with_setting("nano.sft.tokens=81_920"), TUNED),
    "seed": (with_setting("nano.seed=43"), TRAINED),
    "code of packing": (added("src/abovo/packing/pack.py", "\nUNUSED = 1\n"), PACKED),
    "a value of the filters": (with_setting("nano.corpus.min_characters=160"), ALL),
    "a shard of the corpus is gone": (without("results/corpora/nano/shards/*"), CORPUS),
    "the index of packed documents is gone": (without("results/packed/nano/nano-4k/256/train.docs"), PACKED),
    "manifest of packed rows is gone": (without("results/packed/nano/nano-4k/256/manifest.json"), PACKED),
    "folder of the base model is gone": (without(f"{PRETRAIN}/model"), TRAINED),
    "adapter is gone": (without(f"{SFT}/adapter"), TUNED),
    "rows of a scored task are gone": (without(f"{SFT}/evaluation/held_out.rows.jsonl.zst"), MEASURED),
    "a figure is gone": (without("results/report/nano/sft/loss.svg"), RESULTS | {"draw_loss"}),
    "`.snakemake` is gone": (without(".snakemake"), set()),
    "`.snakemake` is gone, and seed": (both(without(".snakemake"), with_setting("nano.seed=43")), TRAINED),
    "results copied": (both(without(".snakemake"), copied), set()),
    "results copied, and seed": (both(without(".snakemake"), copied, with_setting("nano.seed=43")), TRAINED),
}  # fmt: skip


# Those that rerun nothing, but for those that take away what would tell of the others
QUIET = [row for row, (_, rules) in ROWS.items() if not rules and row not in ("`.snakemake` is gone", "results copied")]


def reruns(workflow: Workflow, change: Change, place: Path) -> set[str]:
    """The rules that have jobs after a change, in a copy of the finished workflow."""
    shutil.copytree(workflow.folder, place, symlinks=True)
    changed = change(Workflow(place, workflow.settings))
    return planned(changed.make("-n", TARGET)).keys() - {"total"}


@pytest.fixture(scope="module")
def reruns_after_all_quiet_changes(pristine, tmp_path_factory) -> set[str]:
    """Where all changes together rerun nothing, none of them does."""
    return reruns(pristine, both(*(ROWS[row][0] for row in QUIET)), tmp_path_factory.mktemp("quiet") / "tree")


@pytest.mark.parametrize("row", [row for row in ROWS if row not in QUIET])
def test_what_reruns_after_a_change(pristine, row, tmp_path):
    assert reruns(pristine, ROWS[row][0], tmp_path / "tree") == ROWS[row][1]


@pytest.mark.parametrize("row", QUIET)
def test_what_reruns_nothing(pristine, reruns_after_all_quiet_changes, row, tmp_path):
    """Told for each change where one of them reruns something after all."""
    if reruns_after_all_quiet_changes:
        assert reruns(pristine, ROWS[row][0], tmp_path / "tree") == set()


def test_table_of_the_documentation_has_these_rows():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = text[text.index("| what changes | what reruns |") :].split("\n\n")[0]
    found = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE)[1:])
    assert list(found) == list(ROWS)
    for row, (_, rules) in ROWS.items():
        assert (found[row] == "nothing") == (not rules), row
