"""What a person watches is there, is right, and changes no byte of what is trained."""

import json
import sys
import time

import pytest
import torch
from small_training import CPU, RECIPE, WORLD, changed, counting_batch, small_model
from training_lives import Data, Kill, Run, nano_like

from abovo.config.load import load, names
from abovo.errors import AbovoError
from abovo.modeling.generate import Limits, ModelReader, write
from abovo.settings.keys import plain
from abovo.training import watching
from abovo.training.boards import WeightsAndBiases
from abovo.training.engine_torch import TorchEngine
from abovo.training.loop import train
from abovo.training.samples import EngineReader
from abovo.training.state import open_state
from abovo.training.task import Task
from abovo.training.watching import Stopwatch
from abovo.training.world import World

PROMPTS = ["The navy of the nation", "Let the harvest"]


def watched(processes=1):
    settings = nano_like(processes)
    samples = {"prompts": PROMPTS, "interval": 15, "new_tokens": 6}
    return {**settings, "training": {**settings["training"], "samples": samples, "tensorboard": True}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Data(tmp_path_factory.mktemp("data"))


def test_samples_change_no_weight_and_are_the_same_after_a_kill(data, tmp_path, processes=2):
    plain = Run(tmp_path / "plain", data, nano_like(processes))
    run = Run(tmp_path / "watched", data, watched(processes))
    killed = Run(tmp_path / "killed", data, watched(processes))
    assert killed.live(Kill(34))[0] != 0
    for each in (plain, run, killed):
        status, log = each.live()
        assert status == 0, log
    assert plain.product() == run.product() == killed.product()
    rows = [json.loads(line) for line in (run.folder / "samples.jsonl").read_text().splitlines()]
    assert [(row["step"], row["prompt"]) for row in rows] == [(s, p) for s in (15, 30, 45, 60) for p in PROMPTS]
    assert rows[0]["text"] != rows[-2]["text"]
    assert (run.folder / "samples.jsonl").read_bytes() == (killed.folder / "samples.jsonl").read_bytes()
    assert "samples.jsonl" not in json.loads((run.folder / "manifest.json").read_text())["outputs"]


def test_samples_of_a_model_whose_parts_are_spread_are_those_of_a_whole_one(data, tmp_path):
    found = []
    for strategy in ("ddp", "fsdp"):
        settings = watched(2)
        settings |= {"tokens": 15 * 512, "checkpoints": {"at": [4000]}}
        settings["engine"] = {**settings["engine"], "strategy": strategy}
        run = Run(tmp_path / strategy, data, settings)
        status, log = run.live()
        assert status == 0, log
        found.append((run.folder / "samples.jsonl").read_text())
    assert found[0] == found[1]


def test_samples_through_an_engine_are_what_the_model_itself_writes():
    model = small_model().double()
    engine = TorchEngine(model, RECIPE, WORLD, "none")
    beginnings = [[20, 21, 22], [5], list(range(30, 43))]
    asked = []

    def agree(chosen):
        asked.append(len(chosen))
        return chosen

    limits = Limits(new_tokens=8, context=16, stops=())
    found = write(EngineReader(engine, 3, 16), beginnings, limits, agree=agree)
    assert found == write(ModelReader(model), beginnings, limits)
    assert [len(one.ids) for one in found] == [8, 8, 3]
    assert sum(asked) == 19 and len(asked) < 19  # one exchange for all rows of a column


def test_timings_say_where_the_time_went_and_metrics_hold_no_clock(data, tmp_path):
    run = Run(tmp_path / "run", data, watched())
    status, log = run.live()
    assert status == 0, log
    timings = [json.loads(line) for line in (run.folder / "timings.jsonl").read_text().splitlines()]
    last = timings[-1]
    spent = {key: value for key, value in last.items() if key.endswith("_seconds")}
    assert spent.keys() == {f"{part}_seconds" for part in ("checkpoint", "compute", "data", "samples", "validation")}
    assert sum(spent.values()) <= last["seconds"] + 0.01
    training = last["seconds"] - last["validation_seconds"] - last["samples_seconds"]
    assert last["overhead_share"] == pytest.approx(1 - last["compute_seconds"] / training, abs=0.01)
    assert last["memory_bytes"] > 50_000_000
    keys = {key for line in (run.folder / "metrics.jsonl").read_text().splitlines() for key in json.loads(line)}
    assert not {key for key in keys if "second" in key or "mfu" in key or "memory" in key}


def test_progress_line_has_gradient_norm_memory_and_what_is_left(caplog):
    watch = Stopwatch("test", 0, 10, 100, CPU, silent=False)
    watch.progress.interval = 0.0
    with caplog.at_level("INFO", "abovo"):
        watch.update(5, 3.25, 1e-3, 0.75)
    for part in ("step 5/10", "500 tokens", "loss 3.250", "lr 1.00e-03", "gradient 0.75", "tokens/s", "GB", "left"):
        assert part in caplog.text
    assert "MFU" not in caplog.text


def test_utilization_is_operations_per_second_over_the_peak(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    watch = Stopwatch("test", 0, 10, 1000, CPU, 1e9, 2e5, silent=True)
    with watch.part("validation"):
        now[0] += 7.0
    now[0] += 0.5
    assert watch.row(2)["mfu"] == pytest.approx(2 * 1000 * 2e5 / 0.5 / 1e9)
    now[0] += 1.0
    assert watch.row(3)["mfu"] == pytest.approx(1000 * 2e5 / 1.0 / 1e9)


CARDS = {
    "NVIDIA H100 80GB HBM3": "h100-sxm", "NVIDIA H100 PCIe": "h100-pcie", "NVIDIA H200": "h200",
    "NVIDIA B200": "b200", "NVIDIA A100-SXM4-40GB": "a100-40gb", "NVIDIA A100-PCIE-40GB": "a100-40gb",
    "NVIDIA A100-SXM4-80GB": "a100-80gb", "NVIDIA A100 80GB PCIe": "a100-80gb", "NVIDIA L40S": "l40s",
    "NVIDIA L4": "l4", "NVIDIA A10G": "a10g", "Tesla T4": "t4", "Tesla V100-SXM2-16GB": "v100-sxm",
    "Tesla V100-SXM2-32GB": "v100-sxm", "Tesla V100-PCIE-16GB": "v100-pcie", "NVIDIA RTX A6000": "rtx-a6000",
    "NVIDIA GeForce RTX 3060": "rtx-3060", "NVIDIA GeForce RTX 3090": "rtx-3090",
    "NVIDIA GeForce RTX 4070": "rtx-4070", "NVIDIA GeForce RTX 4090": "rtx-4090",
    "NVIDIA GeForce RTX 5090": "rtx-5090", "AMD Instinct MI300X": "mi300x", "Apple M1": "apple-m1",
    "Apple M1 Pro": "apple-m1-pro", "Apple M1 Max": "apple-m1-max", "Apple M1 Ultra": "apple-m1-ultra",
    "Apple M2": "apple-m2",
}  # fmt: skip
OTHERS = [
    "NVIDIA H100 NVL", "NVIDIA H200 NVL", "NVIDIA L40", "NVIDIA A10", "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
    "NVIDIA GeForce RTX 4070 Ti", "NVIDIA GeForce RTX 4070 SUPER", "NVIDIA GeForce RTX 4070 Ti SUPER",
    "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3090 Ti",
    "NVIDIA GeForce RTX 3060 Ti", "NVIDIA GeForce RTX 3060 Laptop GPU", "NVIDIA RTX 6000 Ada Generation",
    "AMD Instinct MI300A", "Apple M2 Pro", "Tesla T40", "",
]  # fmt: skip


def test_each_card_has_the_file_of_its_whole_name(root):
    found = {name: watching.machine_of(name, [root / "config"]) for name in CARDS}
    assert found == {name: load("hardware", file, root / "config") for name, file in CARDS.items()}
    assert set(CARDS.values()) == set(names("hardware", root / "config")) - {"laptop"}
    assert not [name for name in OTHERS if watching.machine_of(name, [root / "config"])]


def test_files_of_cards_are_complete_and_name_the_source_of_a_price(root):
    for name in set(CARDS.values()):
        machine = load("hardware", name, root / "config")
        assert machine.bandwidth_bytes_per_second and (machine.watts or name.startswith("apple"))
        assert (machine.price_per_hour is None) == (machine.price_source is None)
        assert machine.peak("auto") == max(filter(None, plain(machine.peak_flops_per_second).values()))


def test_peak_is_that_of_the_card_at_the_precision_and_an_unknown_card_is_named_once(monkeypatch, root, caplog):
    config = [root / "config"]
    assert watching.peak_of(WORLD, "bf16", config) is None
    four, leads = World(3, 4, torch.device("cuda")), World(0, 4, torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert watching.peak_of(four, "bf16", config) == pytest.approx(4 * 9.89e14)
    assert watching.peak_of(four, "fp32", config) == pytest.approx(4 * 4.94e14)
    assert not caplog.text
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Something Else")
    with caplog.at_level("INFO", "abovo"):
        assert [watching.peak_of(world, "bf16", config) for world in (four, leads)] == [None, None]
    (told,) = caplog.messages
    assert told.startswith("no peak in bf16 is known for NVIDIA Something Else, MFU is not shown; add a file")


def test_weights_and_biases_keeps_an_offline_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the package wandb, which the lock has")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    recipe = changed(RECIPE, wandb="offline")
    task = Task("test", counting_batch, lambda: [counting_batch(100)], 10, 128, recipe)
    with open_state(tmp_path / "run/state", {}, 0) as state:
        train(task, TorchEngine(small_model(), recipe, WORLD, "none"), WORLD, state)
    (kept,) = (tmp_path / "run").glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + 30  # a process of wandb's own writes it
    while not all(key in kept.read_bytes() for key in (b"validation_loss", b"grad_norm")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_weights_and_biases_without_its_package_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(AbovoError, match=r"wandb is not installed; install it with: pip install wandb, or set wandb"):
        WeightsAndBiases(tmp_path, "offline", RECIPE)
