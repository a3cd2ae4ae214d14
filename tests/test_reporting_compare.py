"""A comparison says of several models what their rows carry, by name, and leaves nothing out unsaid."""

import csv
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_evaluations import answers, documents, evaluated

from abovo.config.compared import compared_models
from abovo.errors import AbovoError
from abovo.evaluation.assemble import SCHEMA
from abovo.evaluation.comparison import Compared, centred_mean, differences
from abovo.evaluation.evidence import ScoredSet
from abovo.provenance.chain import Chain
from abovo.provenance.manifest import digest_of, read_manifest
from abovo.reporting.compare import compare_models

HERE = Path(__file__)
RANDOM = np.random.default_rng(4)
BITS = RANDOM.normal(2.0, 0.3, 30).tolist()
HARD = RANDOM.random(400)


def knows(skill):
    """Answers to the same questions, the easier ones of which are answered rightly."""
    return [float(one < skill) for one in HARD]


def pairs(**skills):
    return [answers(knows(skill)[:50], f"blimp.{name}", "minimal_pair", 2) for name, skill in skills.items()]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder, absent = tmp_path_factory.mktemp("models"), {"sciq": "no network"}

    def model(name, more_bits, piqa, boolq, blimp, **of_model):
        tasks = {"held_out": [documents([one + more_bits for one in BITS])], "piqa": [answers(piqa, "piqa")]}
        tasks |= {"boolq": [answers(boolq, "boolq", options=2)], "blimp": blimp}
        return evaluated(folder / name, tasks | absent, **of_model)

    return {
        "base": model("base", 0, knows(0.5), knows(0.5), pairs(a=0.6, b=0.8)),
        "tuned": model("tuned", -0.1, knows(0.6), knows(0.505), pairs(a=0.9, b=0.9), model="b"),
        "other": model("other", 0.1, knows(0.5), knows(0.5)[:100], pairs(a=0.6, b=0.8), model="c", tokenizer="u"),
    }


@pytest.fixture(scope="module")
def compared(models, tmp_path_factory):
    return compare_models(models, tmp_path_factory.mktemp("compare") / "base-tuned-other.json", HERE)


def test_page_has_for_each_task_values_differences_and_verdicts(compared):
    page = compared.path.with_suffix(".md").read_text()
    assert page.startswith("# base, tuned, other\n")
    section = page.partition("## piqa")[2]
    row = next(line for line in section.splitlines() if line.startswith("| accuracy"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert "higher, better" in cells and "within noise" in cells and "chance 0.25" in cells[-1]
    for said in (
        "## blimp", "| a.accuracy |", "| 400 / 100 questions |", "sciq (base): no network", "## Not compared",
        "| boolq.accuracy | other | the rows are not the same: 400 rows were scored before and 100 after |",
        "| validation.token_perplexity | other | it counts tokens, and the models have other tokenizers |",
    ):  # fmt: skip
        assert said in page, said


def test_mean_is_named_for_the_tasks_that_all_models_share_and_is_centred_on_chance(compared, models):
    """boolq was scored on other rows by one of the models, so it is in no mean; blimp counts as one task."""
    name = "centred_mean(blimp.accuracy, piqa.accuracy)"
    entry = compared["metrics"][name]
    for model, one in models.items():
        metrics = one["metrics"]
        expected = (metrics["piqa.accuracy"]["value"] - 0.25) / 0.75 / 2 + (metrics["blimp.accuracy"]["value"] - 0.5)
        assert entry[model]["value"] == pytest.approx(expected)
        assert entry[model]["interval"][0] < expected < entry[model]["interval"][1]
    change = entry["tuned"]["difference"]
    assert change["verdict"] == "higher" and change["better"] and change["interval"][0] > 0
    assert entry["other"]["difference"]["verdict"] == "within noise"


def test_table_holds_every_number_and_the_tabular_every_sign(compared):
    rows = list(csv.DictReader(compared.path.with_suffix(".csv").open()))
    row = next(row for row in rows if (row["metric"], row["model"]) == ("piqa.accuracy", "tuned"))
    assert float(row["difference"]) == pytest.approx(float(np.mean(knows(0.6)) - np.mean(knows(0.5))))
    assert row["test"] == "McNemar, exact" and float(row["p"]) < 0.05 and row["verdict"] == "higher"
    assert {"blimp.a.accuracy", "blimp.accuracy", "validation.bits_per_byte"} <= {row["metric"] for row in rows}
    latex = compared.path.with_suffix(".tex").read_text()
    assert r"validation.bits\_per\_byte" in latex and latex.count(r"\\") > 4 and "blimp.a." not in latex


def test_figure_shows_differences_in_their_units(compared):
    figure = compared.path.with_suffix(".svg").read_text()
    assert "difference (percentage points)" in figure and "% of the first model" in figure and "tuned" in figure


def test_comparison_lists_its_files_and_is_equal_again(compared, models, tmp_path):
    assert set(compared.names()) == {f"base-tuned-other.{end}" for end in ("md", "csv", "tex", "svg")}
    again = compare_models(models, tmp_path / "base-tuned-other.json", HERE)
    assert again["outputs"] == compared["outputs"]


def test_other_rows_of_the_same_task_are_an_error_within_a_run(tmp_path):
    one = answers(knows(0.5), "piqa")
    rows = [{**row, "prompt": "f" * 16} if row["id"] == "7" else row for row in one.rows]
    changed = ScoredSet(one.name, one.kind, rows, one.protocol)
    before, after = (
        Compared(evaluated(tmp_path / name, {"piqa": [some]}), Chain()) for name, some in (("a", one), ("b", changed))
    )
    with pytest.raises(AbovoError, match=r"task piqa: row 8 was measured on another item"):
        differences(before, after, strict=True)
    assert "row 8" in differences(before, after).left_out["piqa.accuracy"]
    with pytest.raises(AbovoError, match="no metric was measured on the same rows as those of a"):
        compare_models({"a": before.evaluation, "b": after.evaluation}, tmp_path / "a-b.json", HERE)


def test_mean_near_guessing_has_all_its_digits(tmp_path):
    """Of a share that is rounded near chance, little is left of its digits after chance is taken off."""
    right = [1.0] * 102 + [0.0] * 301
    model = Compared(evaluated(tmp_path, {"piqa": [answers(right, "piqa")]}), Chain())
    exact = (102 / 403 - 0.25) / 0.75
    assert centred_mean([model], []).entry(model)["value"] == float(f"{exact:.9g}")
    assert float(f"{(round(102 / 403, 9) - 0.25) / 0.75:.9g}") != float(f"{exact:.9g}")


def test_one_model_alone_and_one_name_twice_are_refused(models, tmp_path):
    script = runpy.run_path("workflow/scripts/compare.py")
    for names, said in (
        ("a", "a.json: is of a alone; name two or more models"),
        ("aa", "--evaluations: names a twice"),
    ):
        words = ["--evaluations", *(f"{name}={models['base'].path}" for name in names)]
        with pytest.raises(AbovoError, match=said):
            script["main"](script["arguments"]().parse_args([*words, "--output", str(tmp_path / "a.json")]))


def test_evaluation_of_another_version_is_to_be_made_again(models, tmp_path):
    data = {**models["base"].data, "schema": "abovo/evaluation/1"}
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({**data, "digest": digest_of(data)}))
    said = r"another version of abovo \(abovo/evaluation/1, this one reads abovo/evaluation/2\); remove it and make"
    with pytest.raises(AbovoError, match=said):
        read_manifest(path, SCHEMA)


def configuration(*runs, untuned=(), given=()):
    def stages(name):
        base = "given" if name in given else "pretrain"
        return [base] if name in (*untuned, *given) else [base, "sft"]

    return SimpleNamespace(names=lambda kind: list(runs), stages=stages)


def test_models_are_split_by_the_names_that_there_are():
    known = configuration("nano", "babylm-strict", "gpt2", untuned=["babylm-strict"], given=["gpt2"])
    found = compared_models(known, "nano.pretrain-nano-babylm-strict-gpt2")
    assert [(one.name, one.stage) for one in found] == [
        ("nano.pretrain", "pretrain"), ("nano", "sft"), ("babylm-strict", "pretrain"), ("gpt2", "given"),
    ]  # fmt: skip
    assert found[2].evaluation == "results/pretrain/babylm-strict/evaluation.json"


def test_models_that_may_mean_several_are_refused_and_stages_tell_them_apart():
    known = configuration("a", "b", "a-b", "c")
    with pytest.raises(AbovoError, match=r"comparison a-b-c: may mean a, b, c or a-b, c; name the stages, such as"):
        compared_models(known, "a-b-c")
    assert [one.name for one in compared_models(known, "a-b.sft-c.sft")] == ["a-b.sft", "c.sft"]
    assert [one.name for one in compared_models(known, "a-b")] == ["a", "b"]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("nano", "is not two or more models"),
        ("nano-mini", "is not two or more models joined by hyphens.*the runs are nano, raw"),
        ("nano-nano", "names nano twice"),
        ("nano-raw.sft", "run raw has no stage sft; its stages are pretrain"),
    ],
)
def test_what_no_comparison_can_be_of_is_told(models, said):
    with pytest.raises(AbovoError, match=said):
        compared_models(configuration("nano", "raw", untuned=["raw"]), models)
