"""Continued pretraining is one more stage: where it starts, what it draws from and is measured on, what it refuses."""

import contextlib
import re
import shutil
from pathlib import Path

import pytest

from abovo.config import inputs
from abovo.config.jobs import job_settings
from abovo.config.new_run import write_new_run
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.planning.plan import describe, plan, plan_settings

CONFIG = Path("config").resolve()
RUN = {"run": "quebec-nano"}


def configured(tmp_path, *changes) -> Configuration:
    """config/ with a French corpus that is there, whatever this machine has installed."""
    copy = Path(shutil.copytree(CONFIG, tmp_path / "config", dirs_exist_ok=True))
    text = tmp_path / "texte.txt"
    text.write_text("Il neige.\n\nIl pleut sur la ville.\n", encoding="utf-8")
    return Configuration(copy, ",".join([f"corpora.french-docs.sources.handbooks.paths={text}", *changes]))


def test_files_of_the_documents_example_make_a_run(tmp_path, gpt2_folder):
    """As docs/continued-pretraining.md has them, on a folder of another class than the one in its mind."""
    config = Path(shutil.copytree(CONFIG, tmp_path / "config"))
    text = Path("docs/continued-pretraining.md").read_text(encoding="utf-8")
    example = text.partition("## Your own text on a model that is there")[2].partition("\n## ")[0]
    found = re.findall(r"`config/(\w+/mine\.yaml)`.*?```yaml\n(.*?)```", example, flags=re.DOTALL)
    assert [name for name, _ in found] == ["corpora/mine.yaml", "cpt/mine.yaml", "runs/mine.yaml"]
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("Il neige sur la ville ce matin.\n", encoding="utf-8")
    shutil.copytree(gpt2_folder, tmp_path / "models/base")
    for name, content in found:
        (config / name).write_text(content, encoding="utf-8")
    with contextlib.chdir(tmp_path):
        configuration = Configuration(config)
        run = configuration.any_run("mine")
        assert (run.cpt.overlap, run.cpt.method, configuration.stages("mine")) == (64, "lora", ["given", "cpt"])
        assert "models/base/model.safetensors" in inputs.given_files(configuration, {"run": "mine"})
        assert inputs.files_of_corpus(configuration, {"corpus": "mine"}) == ["texts/a.txt"]
        names = {"run": "mine", "stage": "cpt", "below": ""}
        assert job_settings(configuration, "cpt", names)["family"] == "stock"
        assert configuration.scored("mine", None).evaluation.document_ends


def test_chain_starts_from_the_other_runs_model_and_measures_both_languages(tmp_path):
    found = configured(tmp_path)
    names = {**RUN, "stage": "cpt", "below": ""}
    assert [stage.name for stage in inputs.stages(found, names)] == ["given", "cpt"]
    assert inputs.base(found, names) == "results/given/quebec-nano/manifest.json"
    assert inputs.given_model(found, names) == ["results/pretrain/nano/manifest.json"]
    assert inputs.measured(found, names) == ["nano", "french-docs"]
    assert inputs.tuning(found, names) == [
        "results/packed/french-docs/nano-4k/256/manifest.json",
        "results/packed/nano/nano-4k/256/manifest.json",
    ]
    job = job_settings(found, "cpt", names)
    assert job["phases"][0]["sets"] == {"french-docs": 0.9, "text/nano": 0.1}
    assert (job["model"], job["family"], job["attention"], job["adapters"]["rank"]) == (None, "qwen3", "row", 16)
    assert "french-docs" in found.used("quebec-nano")["corpora"]


def test_fine_tuning_goes_on_from_continued_pretraining(tmp_path):
    found = configured(tmp_path, "quebec-nano.sft=nano")
    names = {**RUN, "stage": "sft", "below": ""}
    assert [stage.name for stage in inputs.stages(found, names)] == ["given", "cpt", "sft"]
    assert inputs.base(found, names) == "results/cpt/quebec-nano/manifest.json"


def test_a_run_continues_its_own_pretraining_without_a_start(tmp_path):
    found = configured(tmp_path, "quebec-nano.cpt.start=null")
    assert found.stages("quebec-nano") == ["pretrain", "cpt"]
    assert inputs.base(found, {**RUN, "stage": "cpt"}) == "results/pretrain/quebec-nano/manifest.json"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["quebec-nano.cpt.overlap=256"], "is 256 of rows of 256 ids, so that next to nothing"),
        (["quebec-nano.cpt.overlap=225"], "make it 224 at most, seven eighths of a row"),
        (["quebec-nano.cpt.tokens=255"], "key cpt.tokens): a budget of 255 tokens is less than one row of 256"),
        (["quebec-nano.cpt.training.batch_tokens=auto"], "auto values are for pretraining only"),
        (
            ["quebec-nano.cpt.start=null", "quebec-nano.cpt.lora.targets=heads"],
            "no linear layers of this family are called 'heads'",
        ),
        (["quebec-nano.cpt.quantization=nf4", "quebec-nano.cpt.method=full"], "all weights train, and quantized ones"),
        (["quebec-nano.cpt.quantization=nf4", "quebec-nano.engine=fsdp"], "cannot be spread by fsdp"),
        (
            ["quebec-nano.cpt=null", "quebec-nano.cpt.tokens=5"],
            "the run has no continued pretraining (its cpt is null)",
        ),
        (["quebec-nano.cpt.replay.share=1"], "cpt.replay.share"),
        (["quebec-nano.sft=nano", "quebec-nano.sft.start=nano"], "starts from its continued pretraining; remove it"),
    ],
)
def test_recipe_that_does_not_fit_is_one_line(tmp_path, changes, said):
    with pytest.raises(AbovoError) as error:
        configured(tmp_path, *changes).run("quebec-nano")
    assert said in str(error.value), str(error.value)


def test_a_plan_warns_of_text_that_continued_pretraining_repeats(tmp_path):
    found = configured(tmp_path, "quebec-nano.cpt.tokens=1e6", "corpora.french-docs.sources.handbooks.tokens=100000")
    made = plan(plan_settings(job_settings(found, "plan", RUN)))
    assert made["cpt"]["corpora"]["french-docs"] == {"tokens": 900_000, "epochs": 9.0}
    assert made["cpt"]["text"]["nano"]["tokens"] == 100_000 and made["repeated"]["french-docs"] == 9.0
    assert any(line.startswith("warning: french-docs is drawn 9 times") for line in describe(made))


def test_hours_and_prices_are_of_machines_on_which_the_run_fits():
    made = plan(plan_settings(job_settings(Configuration(CONFIG, "inl-3b.engine=torch"), "plan", {"run": "inl-3b"})))
    good = {name for name, one in made["fits"].items() if one["fits"]}
    assert "h200" in good and "rtx-4090" not in good
    assert set(made["hours"]) == good and set(made["cost_usd"]) <= good


def test_text_that_is_not_there_is_told_with_where_it_is_had(tmp_path):
    found = Configuration(CONFIG, f"corpora.french-docs.sources.handbooks.paths={tmp_path}/none.txt")
    with pytest.raises(
        AbovoError, match=r"none\.txt: the file does not exist; .*, or: apt-get install debian-reference-fr"
    ):
        inputs.files_of_corpus(found, {"corpus": "french-docs"})


def test_a_base_model_that_is_still_on_the_hub_is_told_with_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AbovoError, match=r"models/Llama-3\.2-1B is not there yet.*; make model RUN=quebec"):
        inputs.given_files(Configuration(CONFIG), {"run": "quebec"})


def test_a_new_run_made_of_it_has_recipe_and_corpora_of_its_own(tmp_path):
    found = configured(tmp_path)
    written = write_new_run(found, "mine", "quebec-nano", None, None)
    names = {path.relative_to(found.root).as_posix() for path in written}
    assert {"runs/mine.yaml", "cpt/mine.yaml"} <= names
    assert Configuration(found.root).run("mine").cpt.start is None
    assert Configuration(found.root).stages("mine") == ["pretrain", "cpt"]


def test_text_of_ones_own_is_what_a_new_run_made_of_it_goes_on_with(tmp_path):
    found = configured(tmp_path)
    path = found.root / "runs/quebec-nano.yaml"
    path.write_text(f"{path.read_text()}  cpt.lora.rank: 8\n")
    text = tmp_path / "mes-textes"
    text.mkdir()
    (text / "un.txt").write_text("Il neige.\n", encoding="utf-8")
    written = write_new_run(found, "mine", "quebec-nano", str(text))
    names = {path.relative_to(found.root).as_posix() for path in written}
    assert names == {"runs/mine.yaml", "cpt/mine.yaml", "corpora/mine.yaml", "evaluation/mine-quebec.yaml"}
    made = Configuration(found.root)
    run = made.run("mine")
    assert (run.cpt.corpora, run.cpt.lora.rank, run.cpt.start) == ({"mine": 1.0}, 8, "nano.pretrain")
    assert run.parts.tokenizer == "nano-4k" and not run.cpt.training.samples.prompts
    job = job_settings(made, "cpt", {"run": "mine"})
    assert job["phases"][0]["sets"] == {"mine": 0.9, "text/nano": 0.1}
    source = made.shared("corpora", "mine").sources["text"]
    assert (source.paths, source.language) == (str(text), "fr"), "the inspection would refuse it as English"
    assert run.evaluation.document_ends and run.evaluation.prompts[0].startswith("Au Québec")


def test_a_folder_that_holds_another_model_of_the_hub_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models/Llama-3.2-1B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "fetched_from.json").write_text('{"hub": "people/other", "revision": "0"}')
    with pytest.raises(AbovoError, match=r"holds people/other, and hub is meta-llama/Llama-3\.2-1B"):
        inputs.given_files(Configuration(CONFIG), {"run": "quebec"})
