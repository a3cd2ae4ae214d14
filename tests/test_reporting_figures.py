"""Figures and pages say what the numbers say, in the same bytes each time."""

import json
import math

import pytest

from abovo.errors import AbovoError
from abovo.reporting import pages
from abovo.reporting.draw import composition_of_corpus, loss_of_model, page_of_results, page_of_tokenizer
from abovo.reporting.figures import draw_composition, draw_loss

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


def test_figures_are_drawn_from_manifests(make_manifest, tmp_path):
    metrics = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    model = make_manifest("model", "abovo/model/1", {"metrics.jsonl": metrics})
    loss_of_model({"vocabulary_size": 4096, "phases": {}}, model.path, "nano", tmp_path / "loss.svg")
    assert (tmp_path / "loss.svg").stat().st_size > 1000
    (tmp_path / "model" / "metrics.jsonl").unlink()
    with pytest.raises(AbovoError, match=r"metrics\.jsonl"):
        loss_of_model({}, model.path, "nano", tmp_path / "loss.svg")


def test_composition_is_drawn_from_the_corpus_manifest(tmp_path):
    from pathlib import Path

    from abovo.provenance.products import Job, Made, produce

    job = Job(tmp_path / "corpus" / "manifest.json", "abovo/corpus/1", {}, {}, Path(__file__))
    corpus = produce(job, lambda folder: Made(counts={"sources": SOURCES}))
    composition_of_corpus(corpus.path, "corpus nano", tmp_path / "composition.svg")
    assert "speeches" in (tmp_path / "composition.svg").read_text()


def test_card_shows_tables_and_keeps_markers_as_text(make_manifest, tmp_path):
    table = b"| source | bytes/token |\n|---|---|\n| web | 3.1 |\n"
    markdown = b"# Tokenizer\n\n" + table + b"\nPiece <|im_start|> and <b>bold</b>, `<s>`\n"
    tokenizer = make_manifest("t", "abovo/tokenizer/1", {"TOKENIZER_CARD.md": markdown}, name="tokenizer_config.json")
    page_of_tokenizer(tokenizer.path, tmp_path / "card.html")
    text = (tmp_path / "card.html").read_text()
    assert "<td>3.1</td>" in text
    assert "&lt;|im_start|&gt;" in text
    assert "&lt;b&gt;bold" in text
    assert "<code>&lt;s&gt;</code>" in text


def entry(value):
    return {
        "value": value,
        "n": 30,
        "unit": "documents",
        "interval": [value - 0.1, value + 0.1],
        "baseline": {"zstd": 2.2},
    }


def evaluation(value, tokenizer="aa"):
    text = "<|im_start|>user\nWho spoke?"
    return {
        "tokenizer_sha256": tokenizer,
        "metrics": {"validation.bits_per_byte": entry(value)},
        "generations": [{"prompt": text, "text": "<i>Lincoln</i>"}],
    }


def test_results_page_puts_before_and_after_side_by_side(make_manifest, tmp_path):
    base = make_manifest("base", "abovo/evaluation/1", {}, **evaluation(2.5))
    tuned = make_manifest("tuned", "abovo/evaluation/1", {}, **evaluation(2.25))
    page_of_results([base.path, tuned.path], tmp_path / "results.html")
    text = (tmp_path / "results.html").read_text()
    row = next(line for line in text.splitlines() if "bits_per_byte" in line)
    assert row.index("2.5<br>") < row.index("2.25<br>") < row.index("zstd 2.2")
    assert "&lt;i&gt;Lincoln" in text


def test_results_page_refuses_another_tokenizer(make_manifest, tmp_path):
    base = make_manifest("base", "abovo/evaluation/1", {}, **evaluation(2.5))
    tuned = make_manifest("tuned", "abovo/evaluation/1", {}, **evaluation(2.25, "bb"))
    with pytest.raises(AbovoError, match="another tokenizer"):
        page_of_results([base.path, tuned.path], tmp_path / "results.html")
    assert not (tmp_path / "results.html").exists()


def test_metric_missing_on_one_side_is_said():
    after = {"metrics": {"yesno.accuracy": entry(0.5)}, "generations": []}
    assert "not measured" in pages.results({"base": {"metrics": {}}, "after": after})
