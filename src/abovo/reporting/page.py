"""Turn the fields of results.json into one HTML page that needs nothing else: tables of losses, metrics and texts."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

TITLES = {"pretrain": "base model", "sft": "fine-tuned"}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 0.6rem 0 1.6rem; width: 100% }
th, td { border-bottom: 1px solid #ddd; padding: 0.3rem 0.6rem; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
small { color: #666 } pre { white-space: pre-wrap; margin: 0; font-size: 13px }
"""


def results_page(fields: Mapping[str, Any]) -> str:
    """The page of one run."""
    title = f"{fields['run']}: results of the {TITLES[fields['stage']]}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<h2>Models</h2>",
        _models(fields["models"]),
        "<h2>Metrics</h2><p><small>Value, 95 % interval; the baseline needs no model. Where two models stand side by"
        " side, the difference carries the interval of a paired bootstrap.</small></p>",
        _metrics(fields["metrics"], list(fields["models"])),
        "<h2>What the models write</h2><p><small>Greedy, from fixed beginnings.</small></p>",
        _generations(fields["generations"], fields["smoke"]),
        "<h2>Made from</h2>",
        _table(["manifest", "digest"], [[escape(path), _short(digest)] for path, digest in fields["data"].items()]),
    ]
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    return f"{head}<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"


def _models(models: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        ["parameters", *(f"{model['parameters']:,}" for model in models.values())],
        ["steps", *(f"{model['steps']:,}" for model in models.values())],
        ["tokens seen", *(f"{model['tokens']:,}" for model in models.values())],
        ["training loss, first and last", *(_losses(model) for model in models.values())],
        ["validation loss in training", *(_number(model["validation_loss"]) for model in models.values())],
        ["weights (sha256)", *(_short(model["model_sha256"]) for model in models.values())],
    ]
    return _table(["", *(TITLES[name] for name in models)], rows)


def _losses(model: Mapping[str, Any]) -> str:
    return f"{_number(model['train_loss_first'])} → {_number(model['train_loss_last'])}"


def _metrics(metrics: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    rows = []
    for key, values in metrics.items():
        first = values[names[0]]
        row = [f"{escape(key)}<br><small>{first['n']:,} {escape(first['unit'])}</small>"]
        row += [f"{_number(values[name]['value'])}<br>{_interval(values[name])}" for name in names]
        if len(names) > 1:
            change = values["difference"]
            row.append(f"{change['value']:+.4g}<br>{_interval(change)}")
        row.append(
            "<br>".join(f"{_number(value)} <small>{escape(name)}</small>" for name, value in first["baseline"].items())
        )
        rows.append([*row, f"<small>{escape(first['protocol']['how'])}</small>"])
    change_title = ["difference"] if len(names) > 1 else []
    return _table(["metric", *(TITLES[name] for name in names), *change_title, "trivial baseline", "protocol"], rows)


def _generations(generations: Mapping[str, Sequence[Mapping[str, Any]]], smoke: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    for name, items in generations.items():
        rows = [
            [
                _text(item["prompt"]),
                _text(item["text"]),
                "yes" if item["ended"] else f"no, cut at {item['tokens']} tokens",
            ]
            for item in items
        ]
        score = smoke[name]
        form = f"Form: {_number(score['value'])} of {score['n']} ({escape(score['measures'])})."
        parts += [f"<h3>{TITLES[name]}</h3>", _table(["given", "written", "ended by itself"], rows), f"<p>{form}</p>"]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>\n{body}</table>"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _interval(item: Mapping[str, Any]) -> str:
    low, high = item["interval"] if "interval" in item else (None, None)
    return f"<small>{low:.4g} to {high:.4g}</small>" if low is not None and high is not None else ""


def _text(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _short(digest: str) -> str:
    return f"<code>{digest[:16]}</code>"
