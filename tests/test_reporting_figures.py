"""Figures and pages say what the numbers say, in the same bytes each time."""

import json
import math
from pathlib import Path

import pytest
from made_evaluations import PROTOCOL, answers, documents, evaluated

from abovo.errors import AbovoError
from abovo.evaluation.evidence import ScoredSet
from abovo.evaluation.smoke import smoke_score
from abovo.provenance.products import Job, Made, produce
from abovo.reporting import figures, pages
from abovo.reporting.draw import (
    composition_of_corpus,
    loss_of_model,
    page_of_instruction,
    page_of_results,
    page_of_tokenizer,
)
from abovo.reporting.figures import draw_composition, draw_loss, draw_sources
from abovo.reporting.loss_by_source import losses_after_phases, losses_by_source
from abovo.reporting.words import results_page
from abovo.settings.stages import LossFigure

HERE = Path(__file__)
ROWS = [{"step": step, "tokens": 100 * step, "loss": 8.3 / step, "lr": 1e-3} for step in range(1, 20)]
ROWS.append({"step": 19, "tokens": 1900, "validation_loss": 0.75})
SOURCES = {
    "speeches": {"tokens": 900, "documents": 9, "over_budget": 1, "duplicates": 0, "rejected": {"short": 2, "long": 1}},
    "docstrings": {"tokens": 100, "documents": 5, "over_budget": 0, "duplicates": 3, "rejected": {}},
}


def test_loss_figure_is_the_same_bytes_each_time(tmp_path, monkeypatch):
    draw_loss(ROWS, 4096, {"a": 10, "b": 19}, "nano", tmp_path / "one.svg")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    import matplotlib

    with matplotlib.rc_context({"font.size": 20.0, "lines.linewidth": 9.0}):
        draw_loss(ROWS, 4096, {"a": 10, "b": 19}, "nano", tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_loss_figure_shows_the_uniform_loss_the_last_validation_and_the_phases(tmp_path):
    draw_loss(ROWS, 4096, {"a": 10, "b": 19}, "nano", tmp_path / "loss.svg")
    text = (tmp_path / "loss.svg").read_text()
    assert f"ln 4096 = {math.log(4096):.2f}" in text
    assert "0.750" in text
    assert "a | b" in text


def test_loss_figure_needs_a_loss(tmp_path):
    with pytest.raises(AbovoError, match="no row carries a loss"):
        draw_loss([{"step": 1, "tokens": 1, "validation_loss": 1.0}], None, {}, "nano", tmp_path / "loss.svg")
    assert not list(tmp_path.iterdir())


def test_composition_names_every_source_and_its_share(tmp_path):
    draw_composition(SOURCES, "corpus nano", tmp_path / "one.svg")
    draw_composition(SOURCES, "corpus nano", tmp_path / "two.svg")
    text = (tmp_path / "one.svg").read_text()
    assert all(word in text for word in ("speeches", "docstrings", "90%", "10%", "duplicates", "over budget"))
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_figures_are_drawn_from_manifests_and_have_one_themselves(make_manifest, tmp_path):
    metrics = "".join(json.dumps(row) + "\n" for row in PHASES).encode()
    counts = {"phases": [{"sets": {"web": {"epochs": 3.0}}}, {"sets": {"web": {"epochs": 2.5}}}]}
    model = make_manifest("model", "abovo/model/1", {"metrics.jsonl": metrics}, counts=counts)
    settings = LossFigure(vocabulary_size=4096, phases={"a": 10, "b": 20})
    drawn = loss_of_model(settings, model.path, "nano", tmp_path / "report/loss.json", HERE)
    page = drawn.file("loss_by_source.html").read_text()
    assert "after phase a" in page and "Drawn in training: web 5.5 times; beyond 4 times" in page
    assert all("a | b" in drawn.file(name).read_text() for name in ("loss.svg", "loss_by_source.svg"))
    (tmp_path / "model" / "metrics.jsonl").unlink()
    with pytest.raises(AbovoError, match=r"metrics\.jsonl"):
        loss_of_model(LossFigure(), model.path, "nano", tmp_path / "report/loss.json", HERE)


def test_composition_is_drawn_from_the_corpus_manifest(tmp_path):
    for folder, assumed in (("counted", None), ("assumed", 3.5)):
        settings = {"bytes_per_token": assumed}
        job = Job(tmp_path / folder / "manifest.json", "abovo/corpus/1", {}, settings, Path(__file__))
        corpus = produce(job, lambda _: Made(counts={"sources": SOURCES}))
        drawn = composition_of_corpus(corpus.path, "corpus nano", tmp_path / f"{folder}/composition.json", HERE)
        assert "speeches" in drawn.file("composition.svg").read_text()
    assert "assumed" not in (tmp_path / "counted/composition.svg").read_text()
    assert "tokens, assumed to be 3.5 bytes each" in (tmp_path / "assumed/composition.svg").read_text()


def test_card_shows_tables_and_keeps_markers_as_text(make_manifest, tmp_path):
    table = b"| source | bytes/token |\n|---|---|\n| web | 3.1 |\n"
    markdown = b"# Tokenizer\n\n" + table + b"\nPiece <|im_start|> and <b>bold</b>, `<s>`\n"
    tokenizer = make_manifest("t", "abovo/tokenizer/1", {"TOKENIZER_CARD.md": markdown}, name="tokenizer_config.json")
    text = page_of_tokenizer(tokenizer.path, "Small", tmp_path / "card.json", HERE).file("card.html").read_text()
    assert "<td>3.1</td>" in text
    assert "&lt;|im_start|&gt;" in text
    assert "&lt;b&gt;bold" in text
    assert "<code>&lt;s&gt;</code>" in text


def test_page_of_an_instruction_set_shows_what_was_taken_and_left_out_and_why(make_manifest, tmp_path):
    split = {
        "conversations": 1_020, "shortened": 3, "parted": 4, "tokens": 90_000, "labels": 50_000, "rows": 400,
        "shared_rows": 350, "padded_share": 0.021,
    }  # fmt: skip
    source = {
        "format": "alpaca", "found": "20 of 20", "records": 2_000, "conversations": 1_020, "tokens": 90_000,
        "share": 0.75, "left_out": {"empty message": 7}, "unread_keys": {"<topic>": 12},
    }  # fmt: skip
    fields = {
        "sequence_length": 256, "split_by": "first request",
        "overlap": {"ngram": 13, "tasks": {"piqa": {"rows": 1838, "too_short": 40}, "boolq": {"absent": "gone"}}},
    }  # fmt: skip

    def make(_):
        return Made(counts={"train": split, "val": split, "sources": {"talks": source}}, fields=fields)

    settings = {"template": {"name": "chatml"}}
    made = produce(Job(tmp_path / "i/manifest.json", "abovo/instruction/2", {}, settings, Path(__file__)), make)
    text = page_of_instruction(made.path, "Talks", tmp_path / "set.json", HERE).file("set.html").read_text()
    for cell in ("1,020", "50,000", "2.1%", "alpaca (20 of 20)", "75.0%", "empty message", "7", "&lt;topic&gt;", "12"):
        assert f"<td>{cell}</td>" in text
    assert "<td>1,838 (40 too short)</td>" in text and "<td>absent: gone</td>" in text


def entry(value):
    return {
        "value": value,
        "n": 30,
        "unit": "documents",
        "interval": [value - 0.1, value + 0.1],
        "baseline": {"zstd": 2.2},
    }


PROMPT = {"prompt": "<|im_start|>user\nWho spoke?", "text": "<i>Lincoln</i>", "tokens": 1, "ended": True}


def evaluation(folder, bits, tokenizer="t"):
    """Twenty documents of so many bits per byte, eight questions with every other one right, and what was written."""
    spread = [bits + number / 100 for number in range(20)]
    written = ScoredSet("generations", "prompts", [{"set": "generations", "id": "0", **PROMPT}], PROTOCOL,
                        {"smoke": smoke_score([PROMPT])})  # fmt: skip
    tasks = {"held_out": [documents(spread), answers([0.0, 1.0] * 4, "yesno")], "generations": [written]}
    return evaluated(folder, {**tasks, "piqa": "no network"}, tokenizer, tokenizer)


def test_results_page_puts_before_and_after_side_by_side_with_a_verdict(tmp_path):
    base, tuned = evaluation(tmp_path / "base", 2.5), evaluation(tmp_path / "tuned", 2.25)
    made = page_of_results(["base", "tuned"], [base.path, tuned.path], tmp_path / "page.json", HERE)
    text = made.file("results.html").read_text()
    row = next(line for line in text.splitlines() if "bits_per_byte" in line)
    first, last = (f"{one['metrics']['validation.bits_per_byte']['value']:.4g}<br>" for one in (base, tuned))
    assert row.index(first) < row.index(last) < row.index("-0.25, lower, better") < row.index("bytes 8")
    row = next(line for line in text.splitlines() if "yesno.accuracy" in line)
    assert "+0, within noise<br><small>-0.32" in row
    for said in ("&lt;i&gt;Lincoln", "lower is better", "Absent: piqa (no network).", "form_loops", "not its quality"):
        assert said in text
    assert "Worse on plain text" not in text
    opening = made.file("headline.html").read_text()
    assert f"<td>bits per byte</td><td>{first}" in opening and "lower, better" in opening
    assert "Lincoln" not in opening and "form_" not in opening


def test_results_page_refuses_another_tokenizer(tmp_path):
    base, tuned = evaluation(tmp_path / "base", 2.5), evaluation(tmp_path / "tuned", 2.25, "u")
    with pytest.raises(AbovoError, match="another tokenizer"):
        page_of_results(["a", "b"], [base.path, tuned.path], tmp_path / "page.json", HERE)
    assert not (tmp_path / "results.html").exists()


def test_metric_missing_on_one_side_is_said():
    after = {"metrics": {"yesno.accuracy": entry(0.5)}, "generations": []}
    assert "not measured" in pages.results({"base": {"metrics": {}}, "after": after}, {})


def test_page_says_what_each_figure_means_and_why_plain_text_gets_worse():
    names = ["a.rows.validation_loss", "a.validation.bits_per_byte", "a.yesno.yes_rate", "boolq.accuracy"]
    before, after = ({"metrics": {name: entry(value) for name in names}, "generations": []} for value in (2.5, 3.0))
    verdict = {"value": 0.5, "interval": [0.4, 0.6], "verdict": "higher"}
    changes = {"a.validation.bits_per_byte": {**verdict, "better": False}, "a.yesno.yes_rate": verdict}
    page = pages.results({"base": before, "after": after}, changes)
    for said in ("Worse on plain text than before", "rows.*", "cut documents where a row ends", "says the same to all"):
        assert said in page
    for unsaid in (
        {"a.yesno.yes_rate": verdict},
        {"a.validation.bits_per_byte": {**verdict, "verdict": "within noise"}},
    ):
        assert "Worse" not in pages.results({"base": before, "after": after}, unsaid)


def test_results_of_a_tuned_model_begin_with_what_was_learned_beside_what_was_forgotten():
    change = {"value": 0.25, "interval": [0.1, 0.4], "verdict": "higher"}
    talks = "conversations.chats.answer_perplexity"
    metrics = {
        name: {"pretrain": entry(0.5), "sft": entry(0.75), "difference": {**change, "better": better}}
        for name, better in {
            "era.accuracy": True,
            "validation.bits_per_byte": False,
            "rows.validation_loss": False,
        }.items()
    }
    metrics[talks] = {"pretrain": entry(9.0), "sft": entry(2.0), "difference": {**change, "better": False}}
    empty = {name: {} for name in ("absent", "cut", "contamination", "smoke")}
    page = results_page(
        {"run": "r", "stage": "sft", "models": {"pretrain": {}, "sft": {}}, "metrics": metrics, **empty}
    )
    short = page[page.index("## In short") : page.index("## era")]
    assert short.index("| validation.bits_per_byte |") < short.index("| era.accuracy |") < short.index(f"| {talks} |")
    assert "higher, better" in short and "rows.validation_loss" not in short
    alone = {name: {"pretrain": one["pretrain"]} for name, one in metrics.items()}
    one = results_page({"run": "r", "stage": "pretrain", "models": {"pretrain": {}}, "metrics": alone, **empty})
    assert "In short" not in one
    worse = {talks: metrics[talks]["difference"]}
    assert "Worse" not in pages.results({"base": {"metrics": {talks: entry(2.0)}, "generations": []}}, worse)


def validated(step, **losses):
    row = {f"validation_loss/{source.replace('_', '/', 1)}": loss for source, loss in losses.items()}
    return {"step": step, "tokens": 100 * step, "validation_loss": sum(losses.values()) / len(losses), **row}


PHASES = [
    validated(0, x_books=8.5),
    *({"step": step, "tokens": 100 * step, "loss": 8.3 / step, "lr": 1e-3} for step in (1, 10, 20)),
    validated(5, x_books=7.0),
    validated(10, x_books=5.0),
    validated(10, x_books=5.0, y_web=6.5),
    validated(20, x_books=5.25, y_web=4.0),
]


def test_sources_have_a_curve_each_and_the_boundary_is_drawn(tmp_path):
    draw_sources(PHASES, {"a": 10, "b": 20}, "small", tmp_path / "one.svg")
    draw_sources(PHASES, {"a": 10, "b": 20}, "small", tmp_path / "two.svg")
    text = (tmp_path / "one.svg").read_text()
    assert all(word in text for word in ("x/books", "y/web", "a | b"))
    assert text == (tmp_path / "two.svg").read_text()


def test_one_phase_has_curves_without_a_boundary(tmp_path):
    draw_sources(PHASES[:6], {"main": 10}, "nano", tmp_path / "one.svg")
    text = (tmp_path / "one.svg").read_text()
    assert ">books<" in text
    assert " | " not in text


def test_validation_line_is_broken_where_the_sources_change(tmp_path):
    draw_loss(PHASES, None, {"a": 10, "b": 20}, "small", tmp_path / "loss.svg")
    line = figures.VALIDATION
    paths = [part for part in (tmp_path / "loss.svg").read_text().split("<path")[1:] if f"stroke: {line}" in part]
    assert len([part for part in paths if "fill: none" in part]) >= 2


def test_table_shows_each_source_before_and_after_each_phase():
    losses = losses_after_phases(PHASES, {"a": 10, "b": 20})
    assert losses == {"x/books": [8.5, 5.0, 5.25], "y/web": [None, 6.5, 4.0]}
    page = pages.sources(losses, ["a", "b"], "answer token")
    assert "Nats per answer token" in page
    books = next(line for line in page.splitlines() if "x/books" in line)
    assert books.index("8.500") < books.index("5.000") < books.index("5.250") < books.index("+0.250")
    assert "after phase a" in page
    assert "<td>y/web</td><td>not measured</td><td>6.500</td>" in page
    one = pages.sources(losses_after_phases([*PHASES[1:4], *PHASES[5:6]], {}), [])
    assert "after training" in one
    assert "<td>not measured</td><td>5.000</td>" in one


def test_sources_are_called_by_what_tells_them_apart():
    def called(*names):
        return list(losses_by_source([{"step": 0, "tokens": 0, **{f"validation_loss/{name}": 1.0 for name in names}}]))

    assert called("nano/books", "nano/web") == ["books", "web"]
    assert called("a/books", "b/web") == ["a/books", "b/web"]
    assert called("chats", "text/nano/books", "text/nano/web") == ["chats", "books", "web"]
    assert called("chats", "text/nano") == ["chats", "nano"]
    assert called("nano", "text/nano") == ["nano", "text/nano"]
    assert called("chats", "text/ab/x", "text/abc/x") == ["chats", "ab/x", "abc/x"]


def test_metrics_without_sources_are_told():
    with pytest.raises(AbovoError, match="no row carries the validation loss of a source"):
        losses_after_phases(ROWS, {})


def test_pages_name_what_was_never_measured_or_evaluated():
    page = pages.sources(losses_after_phases(PHASES, {}), [], unvalidated=["x/<few>"])
    assert "Never measured, since none of their documents was held out: x/&lt;few&gt;." in page
    assert "Never measured" not in pages.sources(losses_after_phases(PHASES, {}), [])
    drawn = pages.sources(losses_after_phases(PHASES, {}), [], drawn="web 4.25 times")
    assert "Drawn in training: web 4.25 times." in drawn
    left_out = {"nano": {"few": "none of its documents is held out"}}
    column = {"metrics": {"yesno.accuracy": entry(0.5)}, "generations": [], "not_evaluated": left_out}
    said = "<p>Not evaluated of corpus nano: few (none of its documents is held out).</p>"
    assert pages.results({"base": column, "after": column}, {}).count(said) == 1
