"""A mistake in a config file is one line that names the file, the key and the mend."""

import shutil

import pytest

from abovo.config.jobs import deciding_settings, job_settings
from abovo.config.load import load
from abovo.config.runs import Configuration
from abovo.config.starts import start_of
from abovo.errors import AbovoError


@pytest.fixture
def config(root, tmp_path):
    shutil.copytree(root / "config", tmp_path / "config")
    return tmp_path / "config"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tokens: ", "tokenz: ", r"runs/nano\.yaml, line 10, key tokenz: unknown key tokenz \(did you mean tokens\?\)"),
        ("seed: 42", "seed: many", r"runs/nano\.yaml, line 24, key seed: 'many' is not of type 'integer'"),
        ("seed: 42", "seed: -1", r"runs/nano\.yaml, line 24, key seed: -1 is less than the minimum"),
        ("seed: 42", "seed: [", r"runs/nano\.yaml, line \d+: not valid YAML"),
        (
            "model: nano",
            "model: nanoo",
            r"nano\.yaml, line 4, key model: there is no 'nanoo' in .*models; did you mean nano",
        ),
        ("model: nano", "", r"'model' is a required property"),
        ("corpus: nano", "", r"needs either `corpus` or `phases`"),
    ],
)
def test_mistake_in_a_run_is_named(config, old, new, message):
    edit(config / "runs" / "nano.yaml", old, new)
    with pytest.raises(AbovoError, match=message) as error:
        Configuration(config).run("nano")
    assert "\n" not in str(error.value)
    (told,) = Configuration(config).check()
    assert told == str(error.value), "nobody who asks for another run is stopped by it"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "checkpoints.at=[2_000_000]",
            "2,000,000 words are not reached: the budget ends after 1,200,128 tokens, and a",
        ),
        ("checkpoints.unit=tokens,nano.checkpoints.at=[9,1_200_129]", "1,200,129 tokens are not reached"),
        ("checkpoints.at=[9],nano.checkpoints.end=9", "9 stands in `at` too"),
        ("checkpoints.at=[9],nano.training.early_stopping.patience=2", "may end before models that are asked for"),
        ("checkpoints.evaluation=nowhere", "there is no 'nowhere' in"),
    ],
)
def test_models_on_the_way_that_cannot_be_had_are_refused_before_any_job(config, given, message):
    with pytest.raises(AbovoError, match=message):
        Configuration(config, f"nano.{given}").run("nano")


def test_model_that_a_run_does_not_keep_or_measure_is_refused(config):
    with pytest.raises(AbovoError, match=r"keeps no chck_11M \(kept: chck_1M, chck_2M"):
        job_settings(Configuration(config), "checkpoint", {"run": "babylm-strict-small", "checkpoint": "chck_11M"})
    names = {"run": "nano", "stage": "pretrain", "below": "/chck_1K", "task": "generations"}
    with pytest.raises(AbovoError, match=r"keeps no chck_1K \(kept: none\)"):
        job_settings(Configuration(config), "evaluate", names)
    with pytest.raises(AbovoError, match=r"key checkpoints\.evaluation: is null"):
        job_settings(Configuration(config, "nano.checkpoints.at=[1000]"), "evaluate", names)


def test_models_on_the_way_reach_the_job_of_pretraining_alone(config):
    configuration = Configuration(config, "nano.checkpoints.at=[1000],nano.limits.epochs=3")
    jobs = {job: job_settings(configuration, job, {"run": "nano"}) for job in ("pretrain", "sft")}
    assert jobs["pretrain"]["checkpoints"] == {"unit": "words", "at": [1000], "end": None}
    assert jobs["sft"]["checkpoints"]["at"] == [] and jobs["sft"]["limits"]["epochs"] is None


def test_negative_budget_is_refused(config):
    with pytest.raises(AbovoError, match=r"--config set, key nano\.tokens: -5 is less"):
        Configuration(config, "nano.tokens=-5").run("nano")


def test_unknown_run_is_answered_with_a_close_name(config):
    with pytest.raises(AbovoError, match=r"no 'nanno'.*did you mean nano"):
        Configuration(config).run("nanno")


@pytest.mark.parametrize("text", ["nano", "nano.tokens", "=5", "nano=5"])
def test_unreadable_override_is_refused(config, text):
    with pytest.raises(AbovoError, match="--config set"):
        Configuration(config, text)


def test_overrides_are_typed_by_the_schema_and_reach_their_part(config):
    text = "nano.tokens=1e6, nano.training.optimizer.learning_rate=1e-3"
    text += ", nano.corpus.max_samples=100, nano.sft.training.batch_tokens=512"
    configuration = Configuration(config, text)
    run = configuration.run("nano")
    assert run.tokens == 1_000_000
    assert isinstance(run.tokens, int)
    assert run.training.optimizer.learning_rate == 0.001
    assert run.sft.training.batch_tokens == 512
    assert configuration.shared("corpora", "nano").max_samples == 100
    assert Configuration(config).run("nano").tokens != 1_000_000


def test_override_of_an_unknown_key_is_refused(config):
    with pytest.raises(AbovoError, match="unknown key learning"):
        Configuration(config, "nano.training.learning=1").run("nano")


def test_shared_parts_cannot_be_set_in_a_run_file(config):
    edit(config / "runs" / "nano.yaml", "set:\n", "set:\n  tokenizer.vocabulary_size: 100\n")
    with pytest.raises(AbovoError, match="cannot be set for one run"):
        Configuration(config).run("nano")


def test_defaults_are_filled_in(config):
    assert load("engines", "torch", config).device == "auto"
    assert Configuration(config).run("nano").training.gradient_clip == 1.0


STAGES_OF_NANO = {
    "run": "nano",
    "corpus": "nano",
    "source": "speeches",
    "tokenizer": "nano-4k",
    "dataset": "speech-facts",
    "evaluation": "facts",
    "stage": "pretrain",
    "task": "held_out",
}


def settings(config, stages):
    """The settings of each stage that decide something, as config/ says them now."""
    configuration = Configuration(config)
    return {stage: deciding_settings(configuration, stage, STAGES_OF_NANO) for stage in stages}


DATA_STAGES = ("corpus", "tokenizer", "instruction", "evaluation_sets")
MODEL_STAGES = ("pretrain", "sft", "evaluate")


def test_description_does_not_enter_any_stage(config):
    before = settings(config, DATA_STAGES + MODEL_STAGES)
    for file in ("runs/nano.yaml", "corpora/nano.yaml", "tokenizers/nano-4k.yaml"):
        edit(config / file, "description: ", "description: Another word. ")
    assert settings(config, DATA_STAGES + MODEL_STAGES) == before


def test_patience_with_the_hub_reaches_the_scripts_and_decides_nothing(config):
    names = {"corpus": "tiny", "dataset": "alpaca", "decontamination": "standard"}
    said = {
        "corpus": "tiny.corpora.tiny.sources.web.timeout=7",
        "instruction": "tiny.instruction.alpaca.source.give_up=7",
        "decontamination": "tiny.tasks.boolq.source.deadline=7",
    }
    shipped = Configuration(config)
    for job, key in said.items():
        changed = Configuration(config, key)
        assert job_settings(changed, job, names) != job_settings(shipped, job, names)
        assert deciding_settings(changed, job, names) == deciding_settings(shipped, job, names)


def test_run_without_fine_tuning_says_so_when_it_is_asked_for(config):
    with pytest.raises(AbovoError, match=r"runs/nano-phases\.yaml, key sft: is null; name a recipe"):
        job_settings(Configuration(config), "sft", {"run": "nano-phases"})


def test_training_seed_enters_training_but_no_data_stage(config):
    before = settings(config, DATA_STAGES + MODEL_STAGES)
    edit(config / "runs" / "nano.yaml", "seed: 42", "seed: 43")
    after = settings(config, DATA_STAGES + MODEL_STAGES)
    assert all(before[stage] != after[stage] for stage in MODEL_STAGES)
    assert all(before[stage] == after[stage] for stage in DATA_STAGES)


def test_template_of_a_run_s_conversations_is_that_of_its_model_and_of_its_questions(config):
    def named(found):
        return {name: one["template"] and one["template"]["name"] for name, one in found.items()}

    before = settings(config, MODEL_STAGES)
    assert named(before) == {"pretrain": None, "sft": "chatml", "evaluate": "chatml"}
    path = config / "instruction/speech-facts.yaml"
    (config / "instruction/more-facts.yaml").write_text(path.read_text())
    edit(config / "sft/nano.yaml", "{speech-facts: 1.0}", "{speech-facts: 0.5, more-facts: 0.5}")
    for name in ("speech-facts", "more-facts"):
        path = config / "instruction" / f"{name}.yaml"
        path.write_text(path.read_text() + "template: alpaca\n")
        if name == "speech-facts":
            with pytest.raises(AbovoError, match=r"run nano, key sft\.datasets: its sets have several chat templates"):
                settings(config, ("sft",))
    found = settings(config, ("instruction", "pretrain", "sft", "evaluate"))
    assert named(found) == {"instruction": "alpaca", "pretrain": None, "sft": "alpaca", "evaluate": "alpaca"}


def test_the_text_of_a_template_decides_what_is_made_in_it_and_one_s_own_comes_first(config):
    before = settings(config, ("instruction", "sft", "pretrain"))
    path = config / "templates/chatml.jinja"
    path.write_text(path.read_text().replace("user", "human") + "{# mine #}")
    after = settings(config, ("instruction", "sft", "pretrain"))
    assert before["pretrain"] == after["pretrain"]
    assert all(before[stage] != after[stage] and after[stage]["template"]["text"].endswith("{# mine #}")
               for stage in ("instruction", "sft"))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("chatlm", None, "speech-facts.yaml, key template: there is no template 'chatlm' in config/templates; did you"),
        ("../x", None, "key template: there is no template '../x' in config/templates; known: alpaca, chatml, gemma"),
        ("mine", "{% for message in %}", "templates/mine.jinja, line 1: is no Jinja template (Expected an expression"),
        ("mine", "x" * 200_001, "templates/mine.jinja: has 200,001 bytes, more than a template needs"),
    ],
)
def test_a_template_that_is_none_ends_the_dry_run(config, name, text, says):
    path = config / "instruction/speech-facts.yaml"
    path.write_text(path.read_text() + f"template: {name}\n")
    if text is not None:
        (config / "templates/mine.jinja").write_text(text)
    with pytest.raises(AbovoError) as caught:
        settings(config, ("sft",))
    assert says in str(caught.value)


def test_a_model_in_a_folder_is_its_files_and_nothing_that_file_managers_leave(config, tmp_path):
    edit(config / "runs/nano.yaml", "seed: 42", f"seed: 42\nstart: {tmp_path}/models/own")
    with pytest.raises(AbovoError, match=r"models/own has no config\.json"):
        start_of(Configuration(config), "nano")
    folder = tmp_path / "models/own"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", ".DS_Store", "._config.json", "config.json~"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert start_of(Configuration(config), "nano") == [f"{folder}/config.json", f"{folder}/model.safetensors"]
    (folder / "model{1}.safetensors").write_text("")
    with pytest.raises(AbovoError, match=r"key start: the path .*model\{1\}\.safetensors' holds a brace"):
        start_of(Configuration(config), "nano")


def test_an_instruction_set_is_told_the_rows_of_the_tasks_of_its_evaluation_and_they_may_be_set(config):
    path = config / "instruction/speech-facts.yaml"
    path.write_text(path.read_text() + "evaluation: files\n")
    overrides = "nano.tasks.piqa_files.source.paths=mine.jsonl"
    configured = Configuration(config, overrides)
    found = job_settings(configured, "instruction", {"dataset": "speech-facts"})["overlap"]["tasks"]
    assert found["piqa_files"]["source"]["paths"] == ["texts/mine.jsonl"]
    assert "files" in configured.used("nano")["evaluation"]
    edit(path, "evaluation: files", "evaluation: filez")
    with pytest.raises(AbovoError, match=r"speech-facts.yaml, line \d+, key evaluation: there is no 'filez'"):
        Configuration(config).run("nano")
