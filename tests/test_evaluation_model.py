"""A model evaluated with lm-eval: its sums agree with the trainer's loss, and what does not belong is refused."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small_world as world
import torch
from rounding import PROMISED

from abovo.config.load import results_schema
from abovo.errors import AbovoError
from abovo.evaluation.assemble import assemble_evaluation
from abovo.evaluation.bench import Given
from abovo.evaluation.evaluate import evaluate_task
from abovo.evaluation.evaluation_sets import prepare_evaluation
from abovo.evaluation.evidence import read_evidence
from abovo.evaluation.held_out import check_inputs
from abovo.evaluation.prepare import prepare_task
from abovo.modeling.layout import verify_model
from abovo.packing.bins import open_bin
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.reporting.results import assemble_results, pair
from abovo.settings.check import check
from abovo.settings.evaluation import SetsJob
from abovo.settings.keys import plain
from abovo.settings.stages import ResultsSettings, TaskJob
from abovo.settings.task import Task, TaskSource
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.special import EOS, PAD

SETS = SetsJob(
    validation_bytes=6_000, facts=("era", "speech"), facts_per_document=5, offered_rows=8, yesno_rows=12, choice_rows=6
)
HELD_OUT = TaskJob(task="held_out", kind="held_out", family="qwen3", batch_size=8, document_ends=True, seed=1)
PROMPTS = ("The nation", "Who said")
GENERATIONS = TaskJob(task="generations", kind="generations", family="qwen3", prompts=PROMPTS, new_tokens=6, seed=1)
RESULTS = ResultsSettings(run="small")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    corpus = world.make_corpus(folder)
    tokenizer = world.make_tokenizer(folder, corpus)
    packed = world.make_packed(folder, corpus, tokenizer)
    sets = prepare_evaluation(corpus, SETS, folder / "evaluation/small/facts/manifest.json", world.SCRIPT)
    base = world.make_model(folder, "pretrain", tokenizer, packed)
    tuned = world.make_model(folder, "sft", tokenizer, packed, chat=True, seed=2)
    return {"folder": folder, "corpus": corpus, "tokenizer": tokenizer, "packed": packed, "sets": sets,
            "pretrain": base, "sft": tuned}  # fmt: skip


def evaluate(small, model: Manifest, folder: Path | None = None) -> Manifest:
    """A model scored on what its corpus holds out and on prompts, put together."""
    folder = folder or model.path.parent
    given = Given(sets={"small": small["sets"]}, packed={"small": small["packed"]})
    tasks = [
        evaluate_task(model, one, settings, folder / f"evaluation/{settings.task}.json", world.SCRIPT)
        for one, settings in ((given, HELD_OUT), (Given(), GENERATIONS))
    ]
    return assemble_evaluation(tasks, [], folder / "evaluation.json", world.SCRIPT)


@pytest.fixture(scope="module")
def evaluated(small):
    return {stage: evaluate(small, small[stage]) for stage in ("pretrain", "sft")}


@pytest.fixture(scope="module")
def model(small):
    from transformers import AutoModelForCausalLM

    folder = small["pretrain"].path.parent / "model"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def test_validation_loss_is_the_trainers_on_the_same_rows(small, evaluated, model):
    from small_training import mean_loss

    from abovo.training.sets import held_out_sources, validation_batches

    rows = open_bin(small["packed"], "val")
    expected = mean_loss(model, validation_batches(held_out_sources("small", small["packed"]), 5))
    entry = evaluated["pretrain"]["metrics"]["rows.validation_loss"]
    assert entry["value"] == pytest.approx(expected, rel=PROMISED)
    assert entry["n"] == len(rows) and entry["targets"] == int((rows[:, 1:] != PAD).sum())
    assert entry["baseline"] == {"uniform over the vocabulary": pytest.approx(math.log(600), abs=1e-6)}


def test_probability_of_the_end_is_the_models_own_where_documents_end_and_elsewhere(small, evaluated, model):
    ids = torch.tensor(open_bin(small["packed"], "val").astype("int64"))
    with torch.no_grad():
        spoken = model(ids).logits[:, :-1].softmax(-1)[..., EOS].double()
    ends, elsewhere = ids[:, 1:] == EOS, (ids[:, 1:] != EOS) & (ids[:, 1:] != PAD)
    for metric, chosen in (("at_ends", ends), ("elsewhere", elsewhere)):
        entry = evaluated["pretrain"]["metrics"][f"ends.probability_{metric}"]
        assert entry["value"] == pytest.approx(spoken[chosen].mean().item(), rel=1e-4)
        assert entry["targets"] == int(chosen.sum()) > 0
        assert entry["baseline"] == {"uniform over the vocabulary": pytest.approx(1 / 600, rel=1e-4)}


def test_bits_per_byte_is_the_models_own_log_likelihood_over_windows(small, evaluated, model):
    """Each token of a document once, in windows of 64 that begin with EOS or with the last token before them."""
    tokenizer, context = load_tokenizer(small["tokenizer"]), 64
    nats = size = tokens = 0
    for line in small["sets"].file("validation.jsonl").read_text().splitlines():
        text = json.loads(line)["text"]
        ids = [EOS, *tokenizer.encode(text)]
        size, tokens = size + len(text.encode()), tokens + len(ids) - 1
        for first in range(1, len(ids), context):
            targets = ids[first : first + context]
            seen = max(0, first + len(targets) - 1 - context) if first > 1 else 0
            window = torch.tensor([ids[seen : first + len(targets) - 1]])
            with torch.no_grad():
                spoken = model(window).logits[0, -len(targets) :].log_softmax(-1)
            nats -= spoken.gather(1, torch.tensor(targets)[:, None]).sum().item()
    metrics = evaluated["pretrain"]["metrics"]
    assert metrics["validation.bits_per_byte"]["value"] == pytest.approx(nats / math.log(2) / size, rel=PROMISED)
    perplexity = metrics["validation.token_perplexity"]["value"]
    assert math.log(perplexity) == pytest.approx(nats / tokens, rel=PROMISED)
    assert metrics["validation.token_perplexity"]["tokens"] == tokens


def test_each_metric_has_n_interval_baseline_and_protocol(evaluated):
    for entry in evaluated["sft"]["metrics"].values():
        low, high = entry["interval"]
        assert low <= entry["value"] <= high and entry["n"] > 0 and entry["baseline"]
        assert entry["protocol"]["context_tokens"] == 64 and entry["protocol"]["how"]
    assert {"yesno.yes_rate", "choice_chat.accuracy"} <= evaluated["sft"]["metrics"].keys()


def test_answers_to_questions_that_offer_them_are_kept_beside_the_right_one(small, evaluated):
    rows = read_evidence(read_manifest(small["sft"].path.parent / "evaluation/held_out.json"))["era_written"]
    assert len(rows) == evaluated["sft"]["metrics"]["era_chat.accuracy"]["n"] > 0
    assert {row["answer"] for row in rows} == {"Before.", "Later."}
    for row in rows:
        assert row["document"].startswith("sotu/") and row["scores"]["offered"][0] >= row["scores"]["exact_match"][0]
    baseline = evaluated["sft"]["metrics"]["era_written.exact_match"]["baseline"]
    assert baseline == {"nothing written": 0.0, "most frequent answer": 0.5}


def test_base_model_continues_and_fine_tuned_model_answers(evaluated):
    plain, chat = (evaluated[stage]["generations"] for stage in ("pretrain", "sft"))
    assert [item["prompt"] for item in plain] == list(PROMPTS)
    assert chat[0]["prompt"] == "<|im_start|>user\nThe nation<|im_end|>\n<|im_start|>assistant\n"
    assert all(item["tokens"] <= GENERATIONS.new_tokens for item in (*plain, *chat))


def test_equal_evaluation_gives_an_equal_digest(small, evaluated, tmp_path):
    again = evaluate(small, small["sft"], tmp_path / "sft/small")
    first, second = (
        {role: one["digest"] for role, one in made["inputs"].items()} for made in (evaluated["sft"], again)
    )
    assert first == second and again["metrics"] == evaluated["sft"]["metrics"]


def test_a_value_is_that_of_its_evidence_alone(small, evaluated):
    task = read_manifest(small["sft"].path.parent / "evaluation/held_out.json")
    rows = read_evidence(task)
    metrics = evaluated["sft"]["metrics"]
    for name in ("validation.bits_per_byte", "yesno.accuracy", "choice_chat.accuracy", "rows.validation_loss"):
        where, metric = name.split(".")
        parts, wholes = zip(*(row["scores"][metric] for row in rows[where]), strict=True)
        assert metrics[name]["value"] == pytest.approx(sum(parts) / sum(wholes), rel=1e-8)
    assert all(row["prediction"] in (0, 1) and row["options"][0]["bytes"] == 2 for row in rows["yesno"])


def test_a_changed_prompt_scores_nothing_again(small, evaluated):
    path = small["sft"].path.parent / "evaluation/held_out.json"
    before = path.stat().st_ino
    settings = replace(GENERATIONS, prompts=("Another",))
    evaluate_task(small["sft"], Given(), settings, path.with_name("other.json"), world.SCRIPT)
    evaluate(small, small["sft"])
    assert path.stat().st_ino == before


def test_prompts_of_a_task_that_the_context_has_no_room_for_are_counted_or_refused(small, tmp_path):
    from transformers import AutoTokenizer

    path, context = tmp_path / "rows.jsonl", small["pretrain"]["sequence_length"]
    tokenizer = AutoTokenizer.from_pretrained(small["pretrain"].path.parent / "model")
    texts = ["The nation", "The nation " * context]
    path.write_text("".join(json.dumps({"q": text, "a": "peace"}) + "\n" for text in texts))
    cut = len(tokenizer(texts[1], add_special_tokens=False).input_ids) + 1 - context
    source = TaskSource(type="local", paths=str(path))
    task = Task(name="quiz", kind="generation", source=source, prompt="q", answer="a", new_tokens=3)
    job = TaskJob(task="quiz", kind="items", family="qwen3", seed=1)

    def scored(task):
        items = prepare_task(task, tmp_path / f"{task.too_long}/manifest.json", world.SCRIPT)
        output = tmp_path / f"{task.too_long}/evaluation/quiz.json"
        return evaluate_task(small["pretrain"], Given(items=items), job, output, world.SCRIPT)

    found = scored(task)
    assert found["sets"]["quiz"]["cut"] == {"rows": 1, "tokens": cut, "ids": ["1"]} and cut > context
    assert [row.get("cut") for row in read_evidence(found)["quiz"]] == [None, cut]
    with pytest.raises(AbovoError, match=f"quiz, row 1: is {cut} tokens too long for the context of {context}"):
        scored(replace(task, too_long="refuse"))


def test_results_hold_both_stages_side_by_side_and_follow_the_schema(small, evaluated, root):
    figure = drawn(small)
    for stages in (["pretrain"], ["pretrain", "sft"]):
        output = small["folder"] / stages[-1] / "small/results.json"
        parts = pair({stage: small[stage] for stage in stages}, [evaluated[stage] for stage in stages])
        made = assemble_results(parts, [figure], root / "config", RESULTS, output, world.SCRIPT)
        assert made["stage"] == stages[-1]
        check(read_manifest(output).data, results_schema(root / "config"), output)
    entry = made["metrics"]["validation.bits_per_byte"]
    assert entry["difference"]["value"] == pytest.approx(entry["sft"]["value"] - entry["pretrain"]["value"], abs=1e-7)
    low, high = entry["difference"]["interval"]
    assert low <= entry["difference"]["value"] <= high
    assert made["models"]["sft"]["model_sha256"] == small["sft"]["model_sha256"]
    assert small["corpus"].digest in made["data"].values() and small["packed"].digest in made["data"].values()
    path = figure.path.with_name("loss.svg")
    assert made["figures"] == {path.as_posix(): sha256_file(path)}
    resolved = json.loads(made.file("pipeline_config.json").read_text())
    for name in ("corpus", "packed", "pretrain", "sft"):
        assert resolved[small[name]["created_by"]["path"]] == small[name]["parameters"]


def drawn(small) -> Manifest:
    def make(folder: Path) -> Made:
        (folder / "loss.svg").write_text("<svg/>")
        return Made({})

    job = Job(small["folder"] / "report/small/loss.json", "abovo/figures/1", {"model": small["sft"]}, {}, world.SCRIPT)
    return produce(job, make)


def test_results_certify_no_figure_that_was_altered_or_drawn_of_another_model(small, evaluated, root, tmp_path):
    figure, parts = drawn(small), pair({"sft": small["sft"]}, [evaluated["sft"]])
    path = figure.path.with_name("loss.svg")
    for said, change in (("its bytes are not those that", lambda: path.write_text("<SVG/>")), ("missing", path.unlink)):
        path.chmod(0o644)
        change()
        with pytest.raises(AbovoError, match=f"loss.svg: .*{said}"):
            assemble_results(parts, [figure], root / "config", RESULTS, tmp_path / "results.json", world.SCRIPT)
    model = {"model": {"path": small["sft"].path.as_posix(), "digest": "0" * 64}}
    with pytest.raises(AbovoError, match=r"loss.json: was made from another state of its input model"):
        other = altered(figure, inputs=model)
        assemble_results(parts, [other], root / "config", RESULTS, tmp_path / "results.json", world.SCRIPT)


def test_results_are_put_together_of_what_the_run_asks_for_alone(small, evaluated, root, tmp_path):
    """Settings that a manifest has and that differ from the run's are told; keys of one side alone are not compared."""
    parts = pair({"sft": small["sft"]}, [evaluated["sft"]])

    def assemble(path, **asked):
        settings = replace(RESULTS, made_with={path: asked})
        assemble_results(parts, [], root / "config", settings, tmp_path / "results.json", world.SCRIPT)

    assemble("sft/small/manifest.json", seed=2, log_interval=5)
    for path, key in (("sft/small/manifest.json", "seed"), ("tokenizers/small/tokenizer_config.json", "sample_mb")):
        with pytest.raises(AbovoError) as error:
            assemble(path, **{key: 77})
        for part in (path, f"key {key}: was made with", "the run asks for 77; make it again: snakemake --cores 1"):
            assert part in str(error.value)


def test_results_of_a_stage_between_compare_each_model_with_the_one_it_came_from(small, evaluated, root, tmp_path):
    """Three stages, by the script itself: a name that no code knows, and the difference that the last stage made."""
    middle = world.make_model(small["folder"], "cpt", small["tokenizer"], small["packed"], seed=3)
    scored = evaluate(small, middle)
    models = {"pretrain": small["pretrain"], "cpt": middle, "sft": small["sft"]}
    evaluations = [evaluated["pretrain"], scored, evaluated["sft"]]
    made = {}
    for count in (2, 3):
        chosen = list(models.items())[:count]
        path = tmp_path / f"{count}/results.json"
        script = [sys.executable, str(root / "workflow/scripts/assemble_results.py")]
        command = [
            *script, "--settings", json.dumps(plain(RESULTS)),
            "--models", *(f"{name}={m.path}" for name, m in chosen),
            "--evaluations", *(str(one.path) for one in evaluations[:count]),
            "--config", str(root / "config"), "--output", str(path),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made[count] = read_manifest(path)
        check(made[count].data, results_schema(root / "config"), path)
    assert [made[2]["stage"], made[3]["stage"]] == ["cpt", "sft"]
    for count, before, after in ((2, "pretrain", "cpt"), (3, "cpt", "sft")):
        for entry in made[count]["metrics"].values():
            assert entry.keys() >= {before, after, "difference"}
            changed = entry[after]["value"] - entry[before]["value"]
            assert entry["difference"]["value"] == pytest.approx(changed, rel=1e-5, abs=1e-7)
    assert set(made[3]["models"]) == set(models)


def altered(manifest: Manifest, **fields) -> Manifest:
    return Manifest(manifest.path, {**manifest.data, **fields})


def test_results_of_another_model_or_with_a_broken_chain_are_refused(small, evaluated, root, tmp_path):
    def assemble(models, evaluations):
        parts = pair(dict(zip(("pretrain", "sft"), models, strict=False)), evaluations)
        output = tmp_path / "results.json"
        assemble_results(parts, [], root / "config", RESULTS, output, world.SCRIPT)

    models, evaluations = ([source[stage] for stage in ("pretrain", "sft")] for source in (small, evaluated))
    with pytest.raises(AbovoError, match="evaluates another model than"):
        assemble(models[::-1], evaluations)
    with pytest.raises(AbovoError, match=r"1 models \(pretrain\) and 2 evaluations"):
        assemble(models[:1], evaluations)
    with pytest.raises(AbovoError, match="made with tokenizer"):
        assemble(models, [evaluations[0], altered(evaluations[1], tokenizer_sha256=None)])
    other = {"packed": {**models[0]["inputs"]["packed"], "digest": "0" * 64}}
    with pytest.raises(AbovoError, match="was made from another state of its input packed"):
        assemble([altered(models[0], inputs=other), models[1]], evaluations)
    without = {key: value for key, value in evaluations[0]["metrics"].items() if not key.startswith("choice")}
    with pytest.raises(AbovoError, match=r"was measured on sft only"):
        assemble(models, [altered(evaluations[0], metrics=without), evaluations[1]])
    nameless = {"rows.validation_loss": {**evaluations[0]["metrics"]["rows.validation_loss"], "baseline": {}}}
    with pytest.raises(AbovoError, match=r"results.json, key metrics.rows.validation_loss.*baseline"):
        assemble(
            models,
            [altered(evaluation, metrics=nameless) for evaluation in evaluations],
        )
    assert not (tmp_path / "results.json").exists()


def test_model_rows_and_sets_that_do_not_belong_together_are_refused(small):
    model, packed, sets = small["pretrain"], small["packed"], small["sets"]

    def check(model=model, sets=sets, packed=packed):
        check_inputs(model, Given(sets={"small": sets}, packed={"small": packed}))

    check()
    with pytest.raises(AbovoError, match="made with tokenizer"):
        check(packed=altered(packed, tokenizer_sha256="0" * 64))
    with pytest.raises(AbovoError, match="made with tokenizer None"):
        check(packed=altered(packed, tokenizer_sha256=None))
    with pytest.raises(AbovoError, match="made from another state of its corpus"):
        check(sets=altered(sets, inputs={"corpus": {"digest": "0" * 64}}))


def test_altered_weights_are_named(small, tmp_path):
    folder = tmp_path / "pretrain/small"
    copy = world.make_model(tmp_path, "pretrain", small["tokenizer"], small["packed"], seed=3)
    weights = folder / "model/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.unlink()
    weights.write_bytes(data)
    with pytest.raises(AbovoError, match=r"model.safetensors: its bytes are not those"):
        verify_model(copy)
