"""docs/your-data.md is true from an empty folder on: its commands and files, one after the other, end in results."""

import csv
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from workflow import ROOT, copy_of_the_tree

PAGE = (ROOT / "docs/your-data.md").read_text("utf-8")
BLOCK = re.compile(r"(?:^`(config/[^`]+\.yaml)`[^`]*:\n\n)?^```(sh|yaml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What the page has written into files that are there.
TASKS, AGAINST = "tasks: [quiz]", "decontaminate: {against: mine}"
# Values that make the chain a matter of two minutes: a smaller vocabulary for less text, fewer steps.
SMALLER = {
    "tokenizers/mine-4k.yaml": ("vocabulary_size: 4096", "vocabulary_size: 1024"),
    "runs/mine.yaml": ("tokens: 1_200_000", "tokens: 65_536"),
    "sft/mine.yaml": (r"tokens: .*", "tokens: 16_384"),
    "evaluation/mine-text.yaml": ("validation_bytes: 320_000", "validation_bytes: 60_000"),
}


def write_data(folder):
    """Text, chats and questions about functions of numpy, in the forms that the page names."""
    functions = {name: inspect.getdoc(getattr(np, name)) for name in dir(np) if callable(getattr(np, name))}
    told = {name: text for name, text in sorted(functions.items()) if text and len(text) > 400}
    (folder / "texts").mkdir()
    for name, text in told.items():
        (folder / f"texts/{name}.txt").write_text(text, encoding="utf-8")
    (folder / "novel.txt").write_text("\n\n".join(told.values()), encoding="utf-8")
    first = {name: text.strip().splitlines()[0] for name, text in told.items()}
    with (folder / "chats.jsonl").open("w", encoding="utf-8") as file:
        for name, line in first.items():
            turns = [("user", f"What does {name} do?"), ("assistant", line)]
            file.write(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}) + "\n")
    names = list(first)
    with (folder / "quiz.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "a", "b", "c", "right"])
        for number, name in enumerate(names[:30]):
            options = [name, names[(number + 31) % len(names)], names[(number + 77) % len(names)]]
            rows.writerow([f"Which function does this? {first[name]}", *options, "a"])


def change(folder, path, old, new):
    file = folder / "config" / path
    text, found = re.subn(rf"^{old}$", new, file.read_text("utf-8"), flags=re.MULTILINE)
    assert found == 1, path
    file.write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_page_leads_from_own_files_to_results(tmp_path):
    folder = copy_of_the_tree(tmp_path / "abovo")
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    write_data(folder)
    here = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder / "src")}
    done = []
    for path, kind, content in BLOCK.findall(PAGE):
        if kind == "yaml":
            (folder / path).write_text(content, encoding="utf-8")
        for line in content.splitlines() if kind == "sh" else ():
            words = shlex.split(line)
            words[1:1] = ["-o", "setup"] if words[0] == "make" else []
            ended = subprocess.run(
                words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
            )
            assert ended.returncode == 0, f"{line}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
            done.append(line)
            if words[0] == "make":
                for name, values in SMALLER.items():
                    change(folder, name, *values)
        if kind == "yaml" and path == "config/decontamination/mine.yaml":
            change(folder, "evaluation/mine-text.yaml", r"tasks: \[\]", TASKS)
            change(folder, "corpora/mine.yaml", "(tokens: null)", rf"\1\n{AGAINST}")
    assert f"`{TASKS}`" in PAGE and f"`{AGAINST}`" in PAGE and len(done) == 8
    results = json.loads((folder / "results/sft/mine/results.json").read_text("utf-8"))
    assert results["metrics"]["quiz.accuracy"]["sft"]["n"] == 30
    assert (folder / "results/report/mine.html").is_file()
    shapes = json.loads((folder / "results/corpora/shapes/manifest.json").read_text("utf-8"))["counts"]
    assert all(shapes["sources"][name]["documents"] > 20 for name in ("novel", "notes", "code"))
    verified = re.search(r"`(python workflow/scripts/verify\.py [^`]+)`", PAGE)[1]
    words = [sys.executable, *shlex.split(verified)[1:]]
    assert subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=False).returncode == 0
