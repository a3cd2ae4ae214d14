"""A new run is made of another run's files: its own by name, with every comment, or not at all."""

from pathlib import Path

import pytest

from abovo.config.load import find
from abovo.config.new_run import OWN, write_new_run
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.settings.names import SHIPPED


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("Some text.")
    return tmp_path


def configuration():
    return Configuration(Path("config"), shipped=SHIPPED)


def written(here):
    return sorted(path.relative_to("config").as_posix() for path in Path("config").rglob("*.yaml"))


def test_run_has_its_own_files_and_shares_the_rest(here):
    write_new_run(configuration(), "mine", "nano")
    assert written(here) == [
        "corpora/mine.yaml", "evaluation/mine-facts.yaml", "instruction/mine-speech-facts.yaml",
        "runs/mine.yaml", "sft/mine.yaml", "tokenizers/mine-4k.yaml",
    ]  # fmt: skip
    run, old = configuration().run("mine"), configuration().run("nano")
    assert (run.parts.model, run.parts.training) == (old.parts.model, old.parts.training)
    assert run.tokenizer.corpus == "mine" and run.corpora == ["mine"]
    used = configuration().used("mine")
    assert not [name for kind in OWN if kind in used for name in used[kind] if not name.startswith("mine")]


@pytest.mark.parametrize("like", ["nano", "small", "texts-phases", "babylm-strict-small", "tiny"])
def test_comments_and_all_other_values_are_those_of_the_other_run(here, like):
    for path in write_new_run(configuration(), "mine", like):
        kind, name = path.parent.relative_to("config").as_posix(), path.stem
        old = [one for one in Configuration(SHIPPED).names(kind) if name in (f"mine-{one}", f"mine{one[len(like) :]}")]
        if path.parent.name == "sft":
            old = [Configuration(SHIPPED).run(like).parts.sft]
        texts = [find(kind, one, SHIPPED).read_text("utf-8").splitlines() for one in old]
        new = path.read_text("utf-8").splitlines()
        assert any(
            len(text) == len(new)
            and all(a == b for a, b in zip(text, new, strict=True) if a.lstrip().startswith("#"))
            and sum(a != b for a, b in zip(text, new, strict=True)) <= 8
            for text in texts
        ), path


def test_own_text_takes_the_place_of_phases_and_of_what_is_about_other_text(here):
    write_new_run(configuration(), "mine", "texts-phases", text="texts")
    run = configuration().run("mine")
    assert [phase.corpora for phase in run.phases] == [{"mine": 1.0}]
    assert run.sft is None and run.tokenizer.corpus == "mine"
    assert configuration().shared("corpora", "mine").sources["text"].paths == "texts"
    write_new_run(configuration(), "other", "nano", text="texts")
    assert configuration().run("other").training.samples.prompts == ()


@pytest.mark.parametrize(
    ("run", "like", "more", "says"),
    [
        ("a b", "nano", {}, "RUN: 'a b' is no name of a run"),
        ("1e3", "nano", {}, "RUN: a config file takes 1e3 for no text"),
        ("null", "nano", {}, "RUN: a config file takes null for no text"),
        ("mine", "nanoo", {}, "did you mean nano?"),
        ("mine", "nano", {"text": "nowhere"}, "TEXT: nowhere is not there"),
        ("mine", "nano", {"chats": "nowhere.jsonl"}, "CHATS: nowhere.jsonl is not there"),
        ("mine", "texts-phases", {"chats": "texts"}, "FROM: run texts-phases is not fine-tuned; take one that is"),
        ("mine", "quebec", {}, "copy config/runs/quebec.yaml to config/runs/mine.yaml"),
        ("taken", "nano", {}, "config/corpora/taken.yaml: is there already"),
    ],
)
def test_what_makes_no_run_is_told_and_nothing_is_written(here, run, like, more, says):
    Path("config/corpora").mkdir(parents=True)
    Path("config/corpora/taken.yaml").write_text("kept")
    with pytest.raises(AbovoError) as told:
        write_new_run(configuration(), run, like, **more)
    assert says in str(told.value)
    assert written(here) == ["corpora/taken.yaml"]
    assert Path("config/corpora/taken.yaml").read_text() == "kept"
