"""Turn the evaluation sets and packed validation rows of a run's corpora into scored sets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from abovo.errors import AbovoError
from abovo.evaluation.bench import Bench, Given
from abovo.evaluation.ends import score_ends
from abovo.evaluation.evidence import ScoredSet, prompt_hash
from abovo.evaluation.generate import generate
from abovo.evaluation.item import Item
from abovo.evaluation.metrics import text_baselines, written_scores
from abovo.evaluation.tasks import ANSWER_TOKENS, CHAT, PLAIN, TASKS, data_file
from abovo.provenance.manifest import Manifest
from abovo.tokenizing.template_files import default_template
from abovo.tokenizing.templates import Form, form_of

# Rows of val.bin that are scored at once: what is resampled, and small enough for a processor's caches.
BLOCK = 4
ROWS = "labels = ids, in-row shift, mean over the L-1 targets of each row that are not padding"
CHOICE = "zero-shot; the option with the highest summed log-likelihood after the prompt; prompt as {form}"


def score_held_out(bench: Bench, given: Given) -> Iterator[ScoredSet]:
    """What a run holds out of its corpora: whole documents, questions about them, and packed rows.

    Raises AbovoError where model, rows and sets do not belong together.
    """
    check_inputs(bench.model, given)
    several = max(len(given.sets), len(given.packed)) > 1
    for corpus, manifest in given.sets.items():
        for task in manifest["tasks"]:
            name = f"{corpus}.{task}" if several else task
            yield score_set(bench, manifest, task, name, corpus)
    for corpus, manifest in given.packed.items():
        yield _rows(bench, manifest, f"{corpus}.rows" if several else "rows")
        if bench.settings.document_ends:
            yield score_ends(bench, manifest, f"{corpus}.ends" if several else "ends")


def score_set(bench: Bench, manifest: Manifest, task: str, name: str, corpus: str = "") -> ScoredSet:
    """One evaluation set, as `evaluation.tasks` words it; `name` is what results call it."""
    own = bench.opened.tokenizer
    form = form_of(bench.settings.template or default_template(), own.chat_template, own.special_tokens_map)
    items = list(items_of(manifest, task, name, form))
    if task == "validation":
        about = {"corpus": corpus, "not_evaluated": manifest["not_evaluated"]}
        how = {"how": bench.windows(), "stride": bench.settings.stride}
        return bench.score(name, "rolling", items, how, about=about)
    asked = form.name if TASKS[task]["doc_to_text"] == CHAT else "plain text"
    if TASKS[task]["output_type"] == "generate_until":
        return _written(bench, name, items, asked)
    kind = "yes_no" if data_file(task) == "yesno.jsonl" else "choice"
    return bench.score(name, kind, items, {"how": CHOICE.format(form=asked), "shots": 0})


def _written(bench: Bench, name: str, items: Sequence[Item], form: str) -> ScoredSet:
    """What a model writes, greedily, to questions that offer their answers."""
    answers = [item.options[item.gold or 0] for item in items]
    rows, texts = [], generate(bench.opened, [item.contexts[0] for item in items], False, ANSWER_TOKENS)
    for item, answer, one in zip(items, answers, texts, strict=True):
        row = {"set": name, "id": item.id, "document": item.document, "source": item.source}
        scores = written_scores(one["text"], answer, item.options)
        rows.append({**row, "prompt": prompt_hash(item), "text": one["text"], "answer": answer, "scores": scores})
    protocol = bench.protocol(how=f"zero-shot, greedy, {ANSWER_TOKENS} tokens at most; prompt as {form}")
    baselines = text_baselines("generation", [replace(one, answer=it) for one, it in zip(items, answers, strict=True)])
    return ScoredSet(name, "generation", rows, protocol, {"baselines": baselines})


def check_inputs(model: Manifest, given: Given) -> None:
    """Fail unless rows and model share the tokenizer and every set comes from a corpus that the rows were made of."""
    corpora: set[str] = set()
    for item in given.packed.values():
        item.require_tokenizer(model["tokenizer_sha256"])
        corpora.add(item["inputs"]["corpus"]["digest"])
    for item in given.sets.values():
        if item["inputs"]["corpus"]["digest"] not in corpora:
            what = "made from another state of its corpus than the packed rows, so its documents may have been trained"
            raise AbovoError(what, item.path, "make both again from the same corpus")


def items_of(manifest: Manifest, task: str, name: str, form: Form) -> Iterator[Item]:
    """The items of a set of a corpus, as `evaluation.tasks` words them."""
    path, config = manifest.file(data_file(task)), TASKS[task]
    with path.open(encoding="utf-8") as file:  # its lines end at a newline alone, a text's elsewhere too
        for number, line in enumerate(file, 1):
            row: Mapping[str, Any] = json.loads(line)
            about = {"set": name, "where": f"{path}, line {number}", "document": row["id"], "source": row["source"]}
            if task == "validation":
                sizes = {"bytes": row["bytes"], "words": len(row["text"].split())}
                yield Item(id=str(number - 1), contexts=("",), options=(row["text"],), gold=None, sizes=sizes, **about)
                continue
            chat = config["doc_to_text"] == CHAT
            question = row["question"]
            context = form.ask(question) if chat else PLAIN.replace("{{question}}", question)
            choice = config.get("doc_to_choice", "options")
            words = choice if isinstance(choice, list) else row["options"]
            options = tuple(f"{config.get('target_delimiter', '')}{word}" for word in words)
            contexts = (context,) * len(options)
            yield Item(id=str(number - 1), contexts=contexts, options=options, gold=row["label"], **about)


def _rows(bench: Bench, packed: Manifest, name: str) -> ScoredSet:
    """The loss on the rows of val.bin, by the very function that the trainer validates with."""
    import torch

    from abovo.training.loss import summed_loss
    from abovo.training.sets import open_rows

    rows, found = open_rows(packed, "val"), []
    for first in range(0, len(rows), BLOCK):
        bench.progress.update(f"validation rows {first}/{len(rows)}")
        batch = rows[first : first + BLOCK].batch()
        if batch.targets:
            with torch.inference_mode():
                nats = summed_loss(bench.opened.model, batch).item()
            found.append({"set": name, "id": str(first), "scores": {"validation_loss": [nats, batch.targets]}})
    if not found:
        raise AbovoError("holds no validation row", packed.path, "raise validation_share of the corpus")
    about = {"packed_rows": len(rows), "block": BLOCK, "vocabulary": bench.vocabulary}
    return ScoredSet(name, "packed_rows", found, bench.protocol(how=ROWS), about)
