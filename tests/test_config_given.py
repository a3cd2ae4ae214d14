"""A run is given its base model, by a folder or by another run, and what cannot start is told before any job."""

import json
import shutil
from pathlib import Path

import pytest

from abovo.config import inputs
from abovo.config.jobs import job_settings, settings_of_code
from abovo.config.runs import Configuration
from abovo.config.starts import starts
from abovo.errors import AbovoError
from abovo.modeling.family import name_of_family
from abovo.planning.given import describe_given, plan_given
from abovo.planning.plan import plan_settings

SHIPPED = Path("config").absolute()
SFT = {"datasets": "{talks: 1.0}", "tokens": 4096, "training": "lora"}
NAMES = {"run": "mine", "stage": "sft", "below": ""}


@pytest.fixture
def project(tmp_path, monkeypatch, llama_folder):
    """A project of one run whose base model lies in a folder of it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(llama_folder, "models/llama")
    talk = {"instruction": "Who?", "output": "They."}
    Path("talks.jsonl").write_text(json.dumps(talk) + "\n")
    source = "{type: local, paths: talks.jsonl}"
    write("instruction", "talks", format="alpaca", source=source, sequence_length=128)
    write("sft", "mine", **SFT)
    write("runs", "mine", model_directory="models/llama", sft="mine", evaluation="text", sequence_length=128)
    return tmp_path


def write(kind, name, **values):
    path = Path("config", kind, f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key}: {value}\n" for key, value in values.items()))


def change(kind, name, **values):
    path = Path("config", kind, f"{name}.yaml")
    lines = [line for line in path.read_text().splitlines() if line.partition(":")[0] not in values]
    kept = [f"{key}: {value}" for key, value in values.items() if value is not None]
    path.write_text("\n".join([*lines, *kept]) + "\n")


def configuration(overrides=""):
    return Configuration(Path("config"), overrides, SHIPPED)


def test_given_model_is_fine_tuned_with_a_tokenizer_of_its_own(project):
    known = configuration()
    assert known.stages("mine") == ["given", "sft"] and known.check() == []
    assert "mine" in known.adopted() and "nano-4k" not in known.adopted()
    assert known.run("nano").name == "nano" and known.stages("nano") == ["pretrain", "sft"]
    assert inputs.base(known, NAMES) == "results/given/mine/manifest.json"
    assert inputs.tuning(known, NAMES) == ["results/instruction/talks/mine/manifest.json"]
    assert inputs.tokenizer(known, NAMES) == "results/tokenizers/mine/tokenizer_config.json"
    assert [Path(path).name for path in inputs.files_of_tokenizer(known, {"tokenizer": "mine"})] == [
        "chat_template.jinja", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert inputs.models(known, NAMES) == ["results/given/mine/manifest.json", "results/sft/mine/manifest.json"]
    assert known.shared("tokenizers", "mine").vocabulary_size == 401
    settings = job_settings(known, "sft", NAMES)
    assert (settings["model"], settings["family"], settings["sequence_length"]) == (None, "llama", 128)
    given = job_settings(known, "given", NAMES)
    asked = {"model_directory": "models/llama", "sequence_length": 128, "trust_remote_code": False}
    assert given == asked


def test_rows_that_are_longer_than_the_model_s_positions_are_told_in_the_dry_run(project):
    path = Path("models/llama/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 100}))
    said = r"models/llama/config.json: a context of 128 tokens is longer than the model's 100 positions"
    with pytest.raises(AbovoError, match=said):
        job_settings(configuration(), "given", NAMES)


def test_family_whose_code_counts_is_that_of_the_folder(project, gpt2_folder):
    shutil.copytree(gpt2_folder, "models/gpt2")
    change("runs", "mine", model_directory="models/gpt2")
    for job in ("sft", "evaluate"):
        found = settings_of_code(configuration(), job, {**NAMES, "task": "generations"})
        assert found["model"] == {"family": "stock"} and found["family"] == "stock"


def test_values_of_a_call_and_of_the_file_are_laid_over_a_given_run(project):
    change("runs", "mine", set="{sft.lora.rank: 3}")
    known = configuration("mine.seed=7,mine.sft.lora.alpha=5,mine.engine=ddp")
    run = known.any_run("mine")
    assert (run.seed, run.sft.lora.rank, run.sft.lora.alpha, run.engine.strategy) == (7, 3, 5, "ddp")
    with pytest.raises(AbovoError, match="there is no 'nowhere'"):
        configuration("mine.sft=nowhere").any_run("mine")


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("runs", {"sequence_length": None}, "key sequence_length: is null, and rows of training have a length"),
        ("runs", {"sequence_length": 64}, "is 128 where run mine has rows of 64 tokens"),
        ("sft", {"start": "nano"}, "mine.yaml, key start: run mine starts from its model_directory already"),
        ("sft", {"text": "{share: 0.1}"}, "run mine pretrains on no corpus"),
    ],
)
def test_recipe_that_does_not_fit_a_given_model_is_told(project, kind, values, told):
    change(kind, "mine", **values)
    with pytest.raises(AbovoError, match=told):
        configuration().any_run("mine")


def test_tokenizer_of_the_runs_name_is_not_taken_for_the_models_own(project):
    write("tokenizers", "mine", model_directory="models/llama")
    with pytest.raises(AbovoError, match=r"key tokenizer: is null, and the run has the name of config/tokenizers/mine"):
        configuration().any_run("mine")
    change("runs", "mine", tokenizer="mine")
    assert configuration().any_run("mine").parts.tokenizer == "mine"


def test_folder_that_holds_no_whole_model_is_told_in_a_dry_run(project):
    def files():
        return inputs.given_files(configuration(), NAMES)

    folder = Path("models/llama")
    assert f"{folder}/model.safetensors" in files()
    kept = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(kept[: len(kept) // 2])
    with pytest.raises(AbovoError, match=r"its weights cannot be read \([\d,]+ bytes, its head says"):
        files()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(AbovoError, match=r"its weights are a pickle \(pytorch_model.bin\)"):
        files()
    (folder / "model.safetensors").write_bytes(kept)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(AbovoError, match="models/llama: holds no tokenizer"):
        files()
    (folder / "config.json").unlink()
    with pytest.raises(AbovoError, match=r"runs/mine.yaml, key model_directory: models/llama has no config.json"):
        files()


def more(start, **values):
    """The run more: nano's, but for what its fine-tuning starts from."""
    shutil.copy(SHIPPED / "runs/nano.yaml", "config/runs/more.yaml")
    shutil.copy(SHIPPED / "sft/nano.yaml", "config/sft/more.yaml")
    change("runs", "more", sft="more", **values)
    change("sft", "more", start=start)
    return configuration()


@pytest.mark.parametrize(("start", "stage"), [("nano", "sft"), ("nano.pretrain", "pretrain"), ("nano.sft", "sft")])
def test_fine_tuning_starts_from_the_model_of_another_run(project, start, stage):
    known, names = more(start), {**NAMES, "run": "more"}
    assert inputs.base(known, names) == "results/given/more/manifest.json"
    assert inputs.given_model(known, names) == [f"results/{stage}/nano/manifest.json"]
    assert inputs.given_files(known, names) == [] and starts(known, "more") == ["more", "nano"]
    assert inputs.models(known, names) == ["results/given/more/manifest.json", "results/sft/more/manifest.json"]
    assert job_settings(known, "sft", names)["family"] == known.run("nano").model.family
    assert "nano" in known.used("more")["corpora"]


def test_fine_tuning_starts_from_a_given_model_that_was_fine_tuned(project):
    write("tokenizers", "llama", model_directory="models/llama")
    change("runs", "mine", tokenizer="llama")
    known = more("mine", tokenizer="llama")
    names = {**NAMES, "run": "more"}
    assert inputs.given_model(known, names) == ["results/sft/mine/manifest.json"]
    assert job_settings(known, "sft", names)["family"] == "llama"


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("nobody", "sft/more.yaml, key start: there is no 'nobody'"),
        ("nano.cpt", "key start: run nano has no stage cpt; its stages are pretrain, sft"),
        ("tiny", "key start: run tiny has the tokenizer .*, run more has nano-4k; let run more name the tokenizer"),
        ("more", "runs start from each other: more, more"),
        ("./models/nowhere", "key start: ./models/nowhere has no config.json"),
    ],
)
def test_start_of_fine_tuning_that_cannot_be_had_is_told(project, start, told):
    known = more(start)
    with pytest.raises(AbovoError, match=told):
        job_settings(known, "sft", {**NAMES, "run": "more"})


@pytest.mark.parametrize(
    ("kind", "targets"),
    [("llama", "all"), ("llama", "[v_proj, feed_forward]"), ("gpt2", "attention"), ("gpt2", "mlp.c_fc")],
)
def test_plan_of_a_given_model_counts_what_will_train(project, gpt2_folder, kind, targets):
    from abovo.modeling.family import open_model
    from abovo.training.adapters import add_adapters
    from abovo.training.start import size_of, trained_size

    if kind == "gpt2":
        shutil.copytree(gpt2_folder, "models/gpt2")
        change("runs", "mine", model_directory="models/gpt2")
    method = "dora" if kind == "llama" else "lora"
    change("runs", "mine", set=f"{{sft.lora.targets: {targets}, sft.method: {method}}}")
    known = configuration()
    found = plan_given(plan_settings(job_settings(known, "plan", NAMES)))
    model = open_model(Path("models", kind))
    family = name_of_family(model.config.model_type)
    assert found["model"] == {"name": f"models/{kind}", "family": family, "parameters": size_of(model)}
    adapted = add_adapters(model, known.any_run("mine").sft.adapters, seed=1)
    assert found["sft"]["trained_parameters"] == trained_size(adapted)
    assert found["steps"] == 1 and found["flops"] > 2 * found["tokens"] * size_of(model)
    device = found["memory"]["device_bytes"]  # nothing is kept of weights that do not train
    assert (device["gradients"], device["optimizer"]) == (4 * trained_size(adapted), 8 * trained_size(adapted))
    assert any(line.startswith("fits on ") and "laptop" in line for line in describe_given(found))
