"""A run's engine says how many processes and GPUs its training takes, and is refused where it cannot train."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from abovo.config.engines import check_engine, gpus, launcher
from abovo.config.load import names
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.settings.engine import Engine
from abovo.settings.training import Optimizer, Schedule, Training


def recipe(optimizer, precision="auto"):
    return Training(optimizer=Optimizer(kind=optimizer), schedule=Schedule(kind="constant"), precision=precision)


def test_processes_of_an_engine_reach_the_launcher_and_the_request_for_gpus():
    overrides = "small.engine=zero2,small.engine.processes=8,small.training.optimizer.kind=adamw"
    engine = Configuration(Path("config"), overrides).run("small").engine
    assert gpus(engine) == 8
    assert launcher(engine, 2, str).startswith("python on_cards 8 torchrun --standalone ")
    assert "--nproc-per-node 8" in launcher(engine, 2, str)
    assert gpus(replace(engine, device="cpu")) == 0
    assert launcher(replace(engine, device="cpu"), 2, str).startswith("torchrun --standalone ")
    assert launcher(replace(engine, processes=1), 2, str) == "python"


def test_an_engine_that_cannot_train_a_run_is_told_with_who_named_it(root, tmp_path):
    what = "an offloaded optimizer cannot have fp16"
    config = shutil.copytree(root / "config", tmp_path / "config")
    training, file = config / "training/small.yaml", config / "runs/small.yaml"
    training.write_text(re.sub("(?m)^precision: .*", "precision: fp16", training.read_text()))
    told = rf"--config set, small\.engine \(with .*config/runs/small\.yaml, key engine\): {what}"
    with pytest.raises(AbovoError, match=told):
        Configuration(config, "small.engine=zero2-offload").run("small")
    file.write_text(re.sub("(?m)^engine: .*", "engine: zero2-offload", file.read_text()))
    with pytest.raises(AbovoError, match=f"small.yaml, key engine: {what}"):
        Configuration(config, "small.seed=3").run("small")


@pytest.mark.parametrize("name", names("engines", Path("config")))
@pytest.mark.parametrize("run", ["tiny", "small"])
def test_shipped_recipes_are_taken_by_every_engine(run, name):
    run = Configuration(Path("config"), f"{run}.engine={name},{run}.engine.processes=1").run(run)
    assert run.training.optimizer.kind == "muon" and run.engine.processes == 1


@pytest.mark.parametrize(
    ("values", "precision", "words"),
    [
        ({"strategy": "zero2"}, "auto", "torch has no strategy zero2; use one of none, ddp, fsdp"),
        ({"processes": 2}, "auto", "2 processes need a strategy"),
        ({"offload_optimizer": True}, "auto", "torch cannot offload the optimizer"),
        (
            {"kind": "deepspeed", "strategy": "zero2", "offload_optimizer": True},
            "fp16",
            "an offloaded optimizer cannot have fp16; set training.precision to bf16",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_refused(values, precision, words):
    engine = Engine(**{"kind": "torch"} | values)
    with pytest.raises(AbovoError, match=words):
        check_engine(engine, recipe("adamw", precision))
