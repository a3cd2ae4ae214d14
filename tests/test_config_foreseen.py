"""What a run asks of its data after its training, and cannot have, is refused before it."""

from pathlib import Path

import pytest

from abovo.config import inputs
from abovo.config.jobs import job_settings
from abovo.config.runs import Configuration
from abovo.errors import AbovoError

CONFIG = Path(__file__).resolve().parent.parent / "config"
SOURCE = "type: local, licence: none, language: en"
ALPACA = "format: alpaca\nsequence_length: 256\n"


def configuration(root, overrides="", **files):
    """The shipped configuration with files of a project before it: corpora_mine is corpora/mine.yaml."""
    for name, text in files.items():
        path = root / f"{name.replace('_', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Configuration(root, overrides, CONFIG)


def test_task_that_nobody_knows_is_told_by_dry_run_and_plan(tmp_path):
    pytest.importorskip("lm_eval")
    text = (CONFIG / "evaluation/text.yaml").read_text().replace("tasks: []", "tasks: [mmlu, boolqq]")
    configured = configuration(tmp_path, evaluation_text=text)
    run = run_with(tmp_path, "evaluation: text")
    for ask in (inputs.evaluation_sets, lambda it, names: job_settings(it, "plan", names)):
        told = r"text\.yaml, key tasks: neither config/evaluation/tasks nor lm-eval has 'boolqq'; did you mean boolq\?"
        with pytest.raises(AbovoError, match=told):
            ask(configured, {"run": run})


def run_with(root, *lines):
    """A run `mine` as nano, but for these lines and with a corpus that needs no sets against it."""
    text = (CONFIG / "runs/nano.yaml").read_text()
    for line in lines:
        key = line.partition(":")[0]
        text = "\n".join(line if old.startswith(f"{key}:") else old for old in text.splitlines()) + "\n"
    (root / "runs").mkdir(exist_ok=True)
    (root / "runs/mine.yaml").write_text(text)
    return "mine"


def test_known_tasks_are_found_whatever_their_file_is_called(tmp_path):
    pytest.importorskip("lm_eval")
    tasks = "wikitext,boolq,hellaswag,arc_easy,piqa,gsm8k,mmlu,leaderboard,lambada_openai"
    configured = configuration(tmp_path, f"nano.evaluation.tasks=[{tasks}]")
    assert inputs.evaluation_sets(configured, {"run": "nano"})
    wrong = configuration(tmp_path, "nano.evaluation.tasks=[wikitexd]")
    with pytest.raises(
        AbovoError,
        match=r"--config set, key nano\.evaluation\.tasks: neither config/evaluation/tasks nor lm-eval has 'wikitexd'",
    ):
        inputs.evaluation_sets(wrong, {"run": "nano"})


def test_task_that_will_be_absent_is_told_before_the_run_and_stops_nothing(tmp_path, monkeypatch, caplog):
    pytest.importorskip("lm_eval")
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    local = f"tasks.arc_easy_files.source.paths={tmp_path}/arc.jsonl"
    choice = "nano.evaluation.tasks=[boolq,copa,arc_easy_files]"

    def told():
        caplog.clear()
        configured = configuration(tmp_path, f"{choice},{local}")
        for _ in range(2):
            assert inputs.evaluation_sets(configured, {"run": "nano"})
        files = inputs.files_of_task(configured, {"task": "arc_easy_files"})
        return [record.getMessage().partition("task ")[2] for record in caplog.records], files

    gone = f"arc_easy_files will be absent: {tmp_path}/arc.jsonl does not exist"
    assert told() == ([gone], [])
    (tmp_path / "arc.jsonl").write_text("{}\n")
    assert told() == ([], [f"{tmp_path}/arc.jsonl"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lines, _ = told()
    assert [line.partition(" is ")[0] for line in lines] == [
        "boolq will be absent: data set aps/super_glue",
        "copa will be absent: data set aps/super_glue",
    ]
    (tmp_path / "cache/hub/datasets--aps--super_glue").mkdir(parents=True)
    assert [line.partition(" ")[0] for line in told()[0]] == ["boolq"]


def test_facts_of_a_corpus_that_has_none_are_refused(tmp_path):
    letters = f"bytes_per_token: 3\nsources: {{letters: {{{SOURCE}, paths: texts}}}}\n"
    configured = configuration(tmp_path, corpora_letters=letters)
    run = run_with(tmp_path, "corpus: letters", "sft: null")
    what = r"facts\.yaml, key facts: corpus letters has no speeches or docstrings of packages"
    with pytest.raises(AbovoError, match=what):
        inputs.evaluation_sets(configured, {"run": run})
    with pytest.raises(AbovoError, match=what):
        job_settings(configured, "plan", {"run": run})
    with pytest.raises(AbovoError, match=what):
        job_settings(configured, "evaluation_sets", {"corpus": "letters", "evaluation": "facts"})
    assert inputs.evaluation_sets(configured, {"run": "nano"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALPACA, "key format: format alpaca does not go with the other keys"),
        (ALPACA + "source: {type: local}\n", "key source: a source of type local needs `paths`"),
        (ALPACA + "source: {type: huggingface}\n", "key source: a source of type huggingface needs `dataset`"),
        (ALPACA + "source: {type: hugingface, dataset: a/b}\n", "key source.type: 'hugingface' is not one of"),
        (ALPACA + "source: {type: local, paths: x.jsonl}\nlanguages: [no]\n", "key languages: is for format oasst"),
        (
            "format: facts\nsequence_length: 256\ncorpus: nano-docstrings\nfacts: speech\n",
            "key facts: corpus nano-docs",
        ),
        ("format: facts\nsequence_length: 256\ncorpus: nano\n", "key format: format facts does not go"),
        ("format: shareGPT\nsequence_length: 256\n", "key format: 'shareGPT' is not one of"),
        (ALPACA + "source: {type: local, paths: x.jsonl}\npaths: all\n", "key paths: is for format oasst only"),
        (
            ALPACA + "source: {type: local, paths: x.jsonl}\ncolumns: {instructions: frage}\n",
            "key columns: format alpaca has no key 'instructions'; did you mean instruction?",
        ),
        (ALPACA + "sources: {a: {source: {type: local, paths: x.jsonl}}}\n", "key format: does not stand beside"),
        ("sources: {a: {format: dolly}}\nsequence_length: 256\n", "key sources.a.source: is missing"),
        ("sources: {a: {source: {type: local}}}\nsequence_length: 256\n", "key sources.a.source: a source of type"),
    ],
)
def test_conversations_that_cannot_exist_stop_the_run(tmp_path, text, words):
    configured = configuration(tmp_path, **{"instruction_speech-facts": text})
    with pytest.raises(AbovoError) as error:
        configured.run("nano")
    assert str(error.value).startswith(str(tmp_path / "instruction/speech-facts.yaml"))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gone.jsonl", "gone.jsonl: the file does not exist"),
        ("notes.txt", "notes.txt holds text, not records"),
        ("empty", "empty"),
    ],
)
def test_local_conversations_are_looked_for_by_the_dry_run(tmp_path, path, words):
    (tmp_path / "notes.txt").write_text("Dear diary\n")
    (tmp_path / "empty").mkdir()
    text = ALPACA + f"source: {{type: local, paths: {tmp_path / path}}}\n"
    configured = configuration(tmp_path, instruction_mine=text)
    with pytest.raises(AbovoError) as error:
        inputs.files_of_dataset(configured, {"dataset": "mine"})
    assert str(error.value).startswith(f"{tmp_path}/instruction/mine.yaml, key source.paths: ")
    assert words in str(error.value)


def test_local_text_that_is_not_there_is_told_with_the_key_that_names_it(tmp_path):
    letters = f"bytes_per_token: 3\nsources: {{letters: {{{SOURCE}, paths: {tmp_path}/gone}}}}\n"
    configured = configuration(tmp_path, corpora_letters=letters)
    told = rf"corpora/letters\.yaml, key sources\.letters\.paths: {tmp_path}/gone: the file does not exist"
    with pytest.raises(AbovoError, match=told):
        inputs.files_of_corpus(configured, {"corpus": "letters"})


@pytest.mark.parametrize("asked", ["gguf: [f32]", "precision: bfloat16", "gguf: []"])
def test_gguf_that_a_family_has_not_is_refused_where_it_is_asked_for(tmp_path, asked):
    run = run_with(tmp_path, "model: inl-nano", "parameters: null")
    with (tmp_path / "runs/mine.yaml").open("a") as file:
        file.write(f"\nexport: {{{asked}}}\n")
    configured = configuration(tmp_path)
    if "f32" in asked:
        with pytest.raises(AbovoError) as error:
            configured.run(run)
        assert "llama.cpp has no family inl" in str(error.value) and "mine.yaml, key export.gguf" in str(error.value)
    else:
        settings = job_settings(configured, "export", {"run": run})
        assert tuple(settings["gguf"]) == (() if "gguf" in asked else ("f32", "f16", "q8_0", "q4_k_m"))
