"""The local tasks: which file of an evaluation set lm-eval reads, what it scores, and how a prompt is worded."""

from pathlib import Path
from typing import Any

import yaml

from abovo.tokenizing.templates import Form

PLAIN = "Question: {{question}}\nAnswer:"
# Stands for the form that the chat template of a model gives a question.
CHAT = "chat"
# Tokens that an answer may have that is one of those offered.
ANSWER_TOKENS = 16


def _rows(file: str) -> dict[str, Any]:
    return {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": file}}, "test_split": "test"}


def _choice(file: str, prompt: str, choices: object, delimiter: str) -> dict[str, Any]:
    return {
        **_rows(file),
        "output_type": "multiple_choice",
        "doc_to_text": prompt,
        "doc_to_choice": choices,
        "doc_to_target": "label",
        "target_delimiter": delimiter,
        "metric_list": [{"metric": "acc"}],
    }


def _written(file: str) -> dict[str, Any]:
    return {
        **_rows(file),
        "output_type": "generate_until",
        "doc_to_text": CHAT,
        "doc_to_target": "{{options[label]}}",
        "generation_kwargs": {"until": ["\n"], "do_sample": False, "max_gen_toks": ANSWER_TOKENS},
        "metric_list": [{"metric": "exact_match"}],
    }


# Each question is asked twice, as plain text and in a chat: a base model has never seen the second form and a
# fine-tuned one answers in it, so either form alone would favour one of the two.
TASKS: dict[str, dict[str, Any]] = {
    "validation": {
        **_rows("validation.jsonl"),
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    "yesno": _choice("yesno.jsonl", PLAIN, ["no", "yes"], " "),
    "yesno_chat": _choice("yesno.jsonl", CHAT, ["No", "Yes"], ""),
    "choice": _choice("choice.jsonl", PLAIN, "options", " "),
    "choice_chat": _choice("choice.jsonl", CHAT, "options", ""),
    "era": _choice("era.jsonl", PLAIN, "options", " "),
    "era_chat": _choice("era.jsonl", CHAT, "options", ""),
    "era_written": _written("era.jsonl"),
}


def data_file(task: str) -> str:
    return TASKS[task]["dataset_kwargs"]["data_files"]["test"]


def configured(task: str, form: Form) -> dict[str, Any]:
    """The configuration of a task, with the prompt as the template words it where it is asked in a chat."""
    config = TASKS[task]
    if config["doc_to_text"] != CHAT:
        return config
    return {**config, "doc_to_text": form.ask("{{question}}")}


def write_tasks(tasks: list[str], folder: Path, form: Form) -> None:
    """One YAML per task beside the data, so that lm-eval's own command line can run them from that folder."""
    for task in tasks:
        text = yaml.safe_dump({"task": task, **configured(task, form)}, sort_keys=False, allow_unicode=True)
        (folder / f"{task}.yaml").write_text(text, encoding="utf-8")
