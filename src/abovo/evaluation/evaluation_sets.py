"""Turn the validation documents of a corpus into evaluation sets: whole documents, and questions about them."""

import heapq
import json
import logging
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from abovo.corpus.shards import Document, read_documents
from abovo.errors import AbovoError
from abovo.evaluation.tasks import TASKS, data_file, write_tasks
from abovo.facts.fact import YES, Fact
from abovo.facts.lots import number, pick
from abovo.facts.question import make_facts, revision
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.evaluation import SetsJob
from abovo.settings.keys import decisive
from abovo.tokenizing.template_files import default_template
from abovo.tokenizing.templates import form_of

log = logging.getLogger("abovo")
OPTIONS = 4
CANDIDATES_PER_ROW = 20
Row = dict[str, Any]


def prepare_evaluation(corpus: Manifest, settings: SetsJob, output: Path, script: Script | Path) -> Manifest:
    """Write the evaluation sets of one corpus; every row comes from a document of its validation split."""

    def make(folder: Path) -> Made:
        held_out: set[str] = set()
        documents = choose_documents(_noted(read_documents(corpus, "val"), held_out), settings.validation_bytes)
        if not documents:
            mend = "raise validation_share in its configuration, or the budget"
            raise AbovoError("no document fell into the validation split", corpus.path, mend)
        rows: dict[str, list[Row]] = {"validation": [_document_row(document) for document in documents]}
        rows |= _questions(corpus, settings)
        for name, part in rows.items():
            _write_rows(folder / f"{name}.jsonl", part)
        tasks = [task for task in TASKS if data_file(task).removesuffix(".jsonl") in rows]
        write_tasks(tasks, folder, form_of(settings.template or default_template()))
        counts = {name: {"rows": len(part)} for name, part in rows.items()}
        left_out = not_evaluated(corpus["sources"], held_out, documents)
        for source, reason in left_out.items():
            log.warning("source %s of %s is not evaluated: %s", source, corpus.path, reason)
        counts["validation"]["bytes"] = sum(row["bytes"] for row in rows["validation"])
        log.info("evaluation sets of %s: %s", corpus.path, counts)
        return Made(counts, {"tasks": tasks, "not_evaluated": left_out})

    parameters = {**decisive(settings), "facts_revision": revision(settings.facts)}
    return produce(Job(output, "abovo/evaluation_set/1", {"corpus": corpus}, parameters, script), make)


def _questions(corpus: Manifest, settings: SetsJob) -> dict[str, list[Row]]:
    """Questions that offer their answers under the name of their kind, those of all others under yesno and choice."""

    def facts(kind: str) -> Iterator[Fact]:
        return make_facts(kind, read_documents(corpus, "val"), settings.facts_per_document)

    offering = [kind for kind in settings.facts if kind in TASKS]
    found: dict[str, list[Row]] = {kind: choose_offered(facts(kind), settings.offered_rows) for kind in offering}
    for kind in [kind for kind in offering if not found[kind]]:
        log.warning("%s: its validation documents give no question of kind %s for each answer", corpus.path, kind)
        del found[kind]
    others = [kind for kind in settings.facts if kind not in offering]
    if others or (offering and not found):
        found |= {"yesno": [], "choice": []}
    for kind in others:
        yesno, choice = choose_facts(
            facts(kind), settings.yesno_rows // len(others), settings.choice_rows // len(others)
        )
        found["yesno"] += [yesno_row(fact) for fact in yesno]
        found["choice"] += choice
    _check_facts(found, corpus)
    return found


def not_evaluated(sources: Iterable[str], held_out: Container[str], chosen: Iterable[Document]) -> dict[str, str]:
    """Source -> why none of its documents is `chosen`; `held_out` are the sources that have held-out documents."""
    reasons = {True: "its held-out documents are beyond validation_bytes", False: "none of its documents is held out"}
    there = {document.source for document in chosen}
    return {name: reasons[name in held_out] for name in sources if name not in there}


def choose_documents(documents: Iterable[Document], budget: int) -> list[Document]:
    """Documents in the order of their ids' hashes while they fit into `budget` bytes; never more of them in memory.

    Only with its source is an id one document's alone.
    """
    heap: list[tuple[int, str, str, Document]] = []
    held = 0
    for document in documents:
        heapq.heappush(heap, (-number("validation", document.id), document.id, document.source, document))
        held += _bytes(document)
        while held > budget and len(heap) > 1:
            held -= _bytes(heapq.heappop(heap)[3])
    return [document for *_, document in sorted(heap, reverse=True)]


def _noted(documents: Iterable[Document], sources: set[str]) -> Iterator[Document]:
    """The documents as they pass, whose `sources` are noted."""
    for document in documents:
        sources.add(document.source)
        yield document


def choose_facts(facts: Iterable[Fact], yesno_rows: int, choice_rows: int) -> tuple[list[Fact], list[Row]]:
    """Equally many facts with yes and with no, and questions with four options, drawn by hash."""
    kept: dict[str, dict[str, Fact]] = {"yes": {}, "no": {}, "choice": {}}
    limits = {"yes": yesno_rows // 2, "no": yesno_rows // 2, "choice": choice_rows * CANDIDATES_PER_ROW}
    for fact in facts:
        name = ("yes" if fact.answer == YES else "no") if fact.is_yes_no else "choice" if fact.family else ""
        if name:
            kept[name].setdefault(fact.question, fact)
            if len(kept[name]) > 2 * limits[name]:
                kept[name] = {fact.question: fact for fact in _smallest(kept[name], limits[name])}
    yes, no, choice = (_smallest(kept[name], limits[name]) for name in ("yes", "no", "choice"))
    even = min(len(yes), len(no))
    rows = (choice_row(fact, choice) for fact in choice)
    return sorted([*yes[:even], *no[:even]], key=_place), [row for row in rows if row][:choice_rows]


def choose_offered(facts: Iterable[Fact], limit: int) -> list[Row]:
    """Questions that offer their answers, at most `limit`, equally many of each answer, drawn by hash."""
    by_answer: dict[str, dict[str, Fact]] = {}
    for fact in facts:
        by_answer.setdefault(fact.answer, {}).setdefault(fact.question, fact)
    offered = next((fact.options for one in by_answer.values() for fact in one.values()), ())
    even = min([limit // max(1, len(offered)), *(len(by_answer.get(answer, ())) for answer in offered)])
    chosen = [fact for one in by_answer.values() for fact in _smallest(one, even)]
    return [offered_row(fact) for fact in sorted(chosen, key=_place)]


def _smallest(facts: Mapping[str, Fact], limit: int) -> list[Fact]:
    return sorted(facts.values(), key=_place)[:limit]


def _place(fact: Fact) -> tuple[int, str]:
    return number("row", fact.document.id, fact.question), fact.question


def yesno_row(fact: Fact) -> Row:
    label = int(fact.answer == YES)
    return {"id": fact.document.id, "source": fact.document.source, "question": fact.question, "label": label}


def offered_row(fact: Fact) -> Row:
    row = {"id": fact.document.id, "source": fact.document.source, "question": fact.question}
    return {**row, "options": list(fact.options), "label": fact.options.index(fact.answer)}


def choice_row(fact: Fact, pool: list[Fact]) -> Row | None:
    """The fact with three wrong options: the right ones of other facts, so that no option stands out by frequency."""
    wrong: list[str] = []
    others = [other.option for other in pool if other.family == fact.family]
    for attempt in range(10 * OPTIONS):
        option = pick(others, "option", fact.document.id, fact.question, attempt)
        if option != fact.option and option not in wrong:
            wrong.append(option)
        if len(wrong) == OPTIONS - 1:
            options = sorted([fact.option, *wrong], key=lambda option: number("place", fact.question, option))
            row = {"id": fact.document.id, "source": fact.document.source, "question": fact.question}
            return {**row, "options": options, "label": options.index(fact.option)}
    return None


def _check_facts(rows: Mapping[str, list[Row]], corpus: Manifest) -> None:
    for name in rows:
        if not rows[name]:
            sources = dict(Counter(document.source for document in read_documents(corpus, "val")))
            what = f"its validation documents ({sources}) give no {name} question"
            raise AbovoError(what, corpus.path, "set facts: [] in the evaluation's configuration")


def _document_row(document: Document) -> Row:
    return {"id": document.id, "source": document.source, "bytes": _bytes(document), "text": document.text}


def _bytes(document: Document) -> int:
    return len(document.text.encode())


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
