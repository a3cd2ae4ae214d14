"""Files of text are inputs of jobs whatever their names, and an edited one is noticed."""

import json
import os

import pytest
from workflow import Workflow, copy_of_the_tree

CORPUS = """
bytes_per_token: 4
min_characters: 10
sources:
  web: {type: local, paths: "in/{x} é", licence: none, language: en}
"""
NAMES = ("part{1}.txt", "b,c [x].txt", "it's; #x.txt", "line\nend.txt")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Workflow:
    folder = copy_of_the_tree(tmp_path_factory.mktemp("odd"))
    (folder / "in/{x} é").mkdir(parents=True)
    for name in NAMES:
        (folder / "in/{x} é" / name).write_text(f"{name} and some more words")
    (folder / "config/corpora/odd.yaml").write_text(CORPUS)
    return Workflow(folder)


def test_files_with_braces_and_other_marks_in_their_names_are_read_and_watched(tree):
    plan = "results/corpora/odd/plan.json"
    tree.make("--cores", "1", plan)
    made = json.loads((tree.folder / plan).read_text())
    assert [file["name"] for file in made["sources"]["web"]["revision"]["files"]] == sorted(NAMES)
    assert "Nothing to be done" in tree.make("-n", plan)
    (tree.folder / "in/{x} é" / NAMES[0]).write_text("other words, and so another corpus")
    assert "rule plan_corpus:" in tree.make("-n", plan)


def test_a_file_whose_name_is_not_utf8_is_told_before_anything_runs(tree):
    path = tree.folder / "in/{x} é" / os.fsdecode(b"caf\xe9.txt")
    path.write_text("words")
    done = tree.run("-n", "results/corpora/odd/plan.json")
    path.unlink()
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert r"caf\xe9.txt': the name of the file is not UTF-8; rename it" in done.stdout
