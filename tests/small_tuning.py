"""A base model, conversations and packed text of a small world, and jobs that fine-tune on them."""

import contextlib
import json
from pathlib import Path

import small_world as world
from small_training import RECIPE, changed
from small_world import make_corpus, make_model, make_packed, make_tokenizer

from abovo.instruction.prepare import prepare_instruction
from abovo.provenance.manifest import read_manifest
from abovo.settings.instruction import Instruction
from abovo.settings.keys import build, plain
from abovo.settings.model import Model
from abovo.training.job import read_inputs, run_job
from abovo.training.task import read_settings

SCRIPT = Path("workflow/scripts/train.py").absolute()
LENGTH, STEPS, BATCH = 64, 8, 4
MODEL = "model/model.safetensors"
THINGS = ("river", "school", "navy", "harvest", "treaty", "debt")
RECORDS = [
    {"instruction": f"What of the {thing} {number}?", "output": f"The {thing} was matter {number}."}
    for number in range(20)
    for thing in THINGS
]


class Tuning:
    """All that is fine-tuned on, with a base of the shape `like`. Paths are relative to `folder`, from which jobs run,
    as those of a workflow are."""

    def __init__(self, folder: Path, like: Model = world.SHAPE) -> None:
        self.folder, self.like = folder, like
        with contextlib.chdir(folder):
            corpus = make_corpus(Path())
            self.tokenizer = make_tokenizer(Path(), corpus)
            self.text = make_packed(Path(), corpus, self.tokenizer, LENGTH).path
            self.base = make_model(Path(), "pretrain", self.tokenizer, read_manifest(self.text), like=like).path
            lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
            Path("chats.jsonl").write_text(lines, encoding="utf-8")
            chats = {
                "format": "alpaca", "source": {"type": "local", "paths": "chats.jsonl"}, "sequence_length": LENGTH,
                "validation_share": 0.2,
            }  # fmt: skip
            self.chats = Path("instruction/chats/manifest.json")
            prepare_instruction(self.tokenizer, None, build(Instruction, chats), self.chats, SCRIPT)

    def train(self, name: str, values: dict) -> Path:
        """The folder of a fine-tuned model, below this one."""
        names = {name for phase in values["phases"] for name in phase["sets"]}
        sets = {"chats": self.chats, "text/small": self.text}
        output = Path(name) / "manifest.json"
        with contextlib.chdir(self.folder):
            inputs = read_inputs(self.tokenizer, {one: sets[one] for one in sets if one in names}, self.base)
            run_job(read_settings(values), inputs, output, output.parent / "state", SCRIPT, "fine-tuning")
        return self.folder / name


def settings(sets=None, **changes) -> dict:
    """What a job of STEPS steps is told; adapters train unless `changes` say otherwise."""
    recipe = changed(RECIPE, batch_tokens=BATCH * LENGTH, checkpoint_interval=3, validation_interval=4,
                     tensorboard=False)  # fmt: skip
    return {
        "training": plain(recipe),
        "engine": {"kind": "torch", "device": "cpu"},
        "phases": [{"name": "sft", "sets": sets or {"chats": 1.0}, "share": 1.0}],
        "adapters": {"rank": 3, "alpha": 6, "dropout": 0.1},
        "tokens": STEPS * BATCH * LENGTH,
        "sequence_length": LENGTH,
        "attention": "conversation",
        "template": plain(world.CHATML),
        "seed": 7,
        "threads": 1,
        **changes,
    }
