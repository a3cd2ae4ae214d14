"""Whatever stands in a config file or in --config set, the answer is one line that names it, and it comes at once."""

import re
import time
from pathlib import Path

import pytest

from abovo.config import inputs
from abovo.config.jobs import job_settings
from abovo.config.load import KINDS
from abovo.config.overrides import known_keys, parse, refuse_lost
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.settings.keys import schema_of

CONFIG = Path(__file__).resolve().parent.parent / "config"
NAMES = {
    "run": "nano",
    "corpus": "nano",
    "dataset": "speech-facts",
    "tokenizer": "nano-4k",
    "stage": "sft",
    "task": "held_out",
}
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12)
)

# (file, key of it, what stands there, what the line says besides file and key)
VALUES = [
    *(("runs/nano", "tokens", value, words) for value, words in [
        ("-5", "less than the minimum"),
        ("0", "less than the minimum"),
        ("1e30", "greater than the maximum"),
        ("99999999999999999999999999", "greater than the maximum"),
        ("9" * 5000, "not of type 'integer'"),
        ("1.5", "not of type 'integer'"),
        ("1e-3", "not of type 'integer'"),
        (".nan", "not a finite number"),
        (".inf", "not a finite number"),
        ("-.inf", "not a finite number"),
        ("1e999", "not a finite number"),
        ("many", "'many' is not of type 'integer'"),
        ("01000", "octal"),
        ("10:30", "'10:30' is not of type"),
        ("1_0", "'1_0' is not of type"),
        ("2026-11-26", "'2026-11-26' is not of type"),
        ("'5000'", "'5000' is not of type"),
        ("yes", "'yes' is not of type"),
        ("true", "True is not of type"),
        ("null", "None is not of type"),
        ("", "None is not of type"),
        ("[1]", "not of type"),
        ("{a: 1}", "not of type"),
        ("*y", "anchor"),
        ("!!int '5'", "tag"),
        ("!!python/object/apply:os.system [ls]", "tag"),
        ("5: 6", "not valid YAML"),
        ("'5", "not valid YAML"),
    ]),
    *(("runs/nano", "seed", value, words) for value, words in [
        ("12345678901234567890123456", "greater than the maximum"),
        ("-1", "less than the minimum"),
        ("1e99", "greater than the maximum"),
        ("0777", "octal"),
        ("on", "'on' is not of type"),
        ("12:30:45", "not of type"),
        ("0x", "not of type"),
    ]),
    ("runs/nano", "threads", "1_000_000", "greater than the maximum"),
    ("runs/nano", "sequence_length", "1e9", "greater than the maximum"),
    ("runs/nano", "parameters", "-3", "less than the minimum"),
    ("runs/nano", "description", "2026", "quote it"),
    *(("runs/nano", "model", value, words) for value, words in [
        ("nanoo", "did you mean nano"),
        ("../models/nano", "is no name"),
        ("na no", "is no name"),
        ("größer", "is no name"),
        ("nano.v2", "is no name"),
        ("5", "quote it"),
        ("no", "there is no 'no'"),
        ("[nano]", "not of type"),
        ("", "not of type"),
    ]),
    ("runs/nano", "corpus", "nope", "there is no 'nope'"),
    ("runs/nano", "tokenizer", "nope", "there is no 'nope'"),
    ("runs/nano", "engine", "torhc", "did you mean torch"),
    ("runs/nano", "sft", "nope", "there is no 'nope'"),
    ("runs/nano", "evaluation", "nope", "there is no 'nope'"),
    ("training/nano", "log_interval", "0", "less than the minimum"),
    ("training/nano", "gradient_clip", ".inf", "not a finite number"),
    ("models/nano", "layers", "1e6", "greater than the maximum"),
    ("models/nano", "family", "lama", "lama"),
    ("models/nano", "family", "[llama]", "llama"),
    ("models/nano", "tied_embeddings", "no", "true or false"),
    ("engines/torch", "kind", "jax", "is not one of"),
    ("tokenizers/nano-4k", "vocabulary_size", "1e9", "greater than the maximum"),
    ("tokenizers/nano-4k", "corpus", "nope", "there is no 'nope'"),
    ("evaluation/facts", "facts", "[speach]", "is not one of"),
    ("evaluation/facts", "prompts", "[]", "non-empty"),
    ("sft/nano", "datasets", "{nope: 1}", "there is no 'nope'"),
    ("sft/nano", "datasets", "{}", "non-empty"),
    ("sft/nano", "tokens", "1e16", "greater than the maximum"),
    ("corpora/nano", "validation_share", "0.9", "greater than the maximum"),
    ("corpora/nano", "validation_share", ".NaN", "not a finite number"),
    ("corpora/nano", "bytes_per_token", "null", "bytes_per_token"),
    ("corpora/nano", "weights", "{speeches: 0.6, docstrings: 0.3}", "add up to 0.9"),
    ("corpora/nano", "weights", "{speeches: .nan, docstrings: 0.35}", "not a finite number"),
    ("corpora/nano", "weights", "{speeches: 0.5, speeches: 0.5}", "stands twice"),
    ("corpora/nano", "shard_mb", "1e29", "greater than the maximum"),
    ("corpora/nano", "sources", "{}", "non-empty"),
    ("corpora/nano", "sources", "{Web: {type: local, paths: x, licence: none, language: no}}", "does not match"),
    ("corpora/nano", "sources", "{web: {type: lokal, paths: x, licence: none, language: no}}", "is not one of"),
    ("corpora/nano", "sources", "{web: {type: local, paths: x, licence: none, language: true}}", "quote it"),
    ("corpora/nano", "sources", "{web: {type: local, paths: x, licence: a, language: b, parts: 1e6}}", "maximum"),
    ("instruction/speech-facts", "format", "alpacca", "is not one of"),
    ("instruction/speech-facts", "corpus", "nope", "there is no 'nope'"),
]  # fmt: skip
# (file, all that it holds, what the line says)
FILES = [
    (b"", "holds no keys"),
    (b"- tokens\n", "holds no keys"),
    (b"tokens\n", "holds no keys"),
    (b"tokens: 1\nseed: 2\ntokens: 3\n", "line 3, key tokens: stands twice, on line 1 too"),
    (b"tokens: 1\n\tseed: 2\n", "line 2: a tab"),
    (b"set:\n\tseed: 2\n", "line 2: a tab"),
    ("tokens: 1\n".encode("utf-16"), "UTF-16"),
    ("tokens: 1\n".encode("utf-16-be"), "UTF-16"),
    ("# x\ndescription: Prüfung\n".encode("latin-1"), "line 2: not UTF-8"),
    ("tokens: 1\n# note\u2028seed: 7\n".encode(), "line 2: holds U+2028"),
    (b"Mac OS X        \x00\x05\x16\x07\x00\x02\xb0\x00", "no text at all"),
    (b"description: \x07\n", "not valid YAML"),
    (b"tokens: 1\n---\ntokens: 2\n", "line 2: a second document"),
    (b"%YAML 1.1\n---\ntokens: 1\n", "YAML 1.1"),
    (b"set: &a\n  training.x: *a\n", "line 2, key set.training.x: *a holds itself"),
    (b"set: &a [*a]\n", "holds itself"),
    (BOMB.encode(), "more than 20,000 values"),
    (b"set: " + b"[" * 100_000, "nested more than 32 deep"),
    (b"set: " + b"{a: " * 5_000, "nested more than 32 deep"),
    (b"- " * 5_000, "nested more than 32 deep"),
    (b"description: " + b"x" * (1 << 21), "larger than 1 MB"),
    (b"set:\n" + b"".join(b"  training.k%d: 1\n" % n for n in range(30_000)), "more than 20,000 values"),
    (b"? [tokens]\n: 1\n", "a key that is no plain text"),
    (b"base: &b {tokens: 1}\n<<: *b\n", "unknown key"),
    (b"tokenz: 1\n", "line 1, key tokenz: unknown key tokenz (did you mean tokens?)"),
    (b"no: 1\n", "key no: unknown key no"),
    (b"2026-11-26: 1\n", "unknown key 2026-11-26"),
    (b"tokens: 1\n", "is a required property"),
    (b"\xef\xbb\xbftokenz: 1\n", "unknown key tokenz"),
    (b"tokenz: 1\r\n", "unknown key tokenz"),
]
# (--config set, what the line says besides `--config set`)
OVERRIDES = [
    ("nano", "cannot read 'nano'"),
    ("=5", "cannot read"),
    ("nano=5", "cannot read"),
    ("nano..tokens=5", "cannot read"),
    ("nanno.tokens=5", "key nanno.tokens: there is no 'nanno'"),
    ("nano.tokenz=5", "key nano.tokenz: unknown key tokenz (did you mean tokens?)"),
    ("nano.tokens=-5", "key nano.tokens: -5 is less than"),
    ("nano.tokens=.nan", "key nano.tokens: is not a finite number"),
    ("nano.tokens=1e30", "key nano.tokens: 10000"),
    ("nano.tokens=many", "key nano.tokens: 'many' is not of type"),
    ("nano.tokens=010", "key nano.tokens: 010 is octal"),
    ("nano.tokens=", "key nano.tokens: None is not of type"),
    ("nano.tokens=5,nano.tokens=6", "key nano.tokens: is given twice"),
    ("nano.training.optimizer={kind: adamw},nano.training.optimizer.kind=muon", "is given twice"),
    ("nano.corpus.tokens=5,nano.corpora.nano.tokens=6", "key nano.corpora.nano.tokens: is given twice (nano.corpus"),
    ("nano.model=nope", "key nano.model: there is no 'nope'"),
    ("nano.training.optimizer.learning_rat=1", "key nano.training.optimizer.learning_rat: unknown key"),
    ("nano.training.optimizr.kind=muon", "key nano.training.optimizr.kind: unknown key optimizr"),
    ("nano.training.log_interval.x=1", "key nano.training.log_interval.x: log_interval holds a value"),
    ("nano.training.optimizer.betas=[0.9,1.0]", "key nano.training.optimizer.betas.1: 1.0 is greater"),
    ("nano.training.optimizer.betas=[0.9", "a bracket is not closed"),
    ("nano.sft.lora.rank=0", "key nano.sft.lora.rank: 0 is less than"),
    ("nano.sft.training.batch_tokens=auto", "nano.sft.training.batch_tokens (with "),
    ("nano.engine.processes=1000000", "key nano.engine.processes: 1000000 is greater"),
    ("nano.training.batch_tokens=1000", "nano.training.batch_tokens (with "),
    ("nano.sft.training.batch_tokens=1000", "key sft.training.batch_tokens): 1000 is no multiple"),
    ("nano.parameters=5", "nano.parameters (with "),
    ("nano.sequence_length=128", "speech-facts.yaml, key sequence_length): is 256 where run nano has rows of 128"),
    ("nano.instruction.speech-facts.sequence_length=128", "is 128 where run nano has rows of 256"),
    ("nano.engine.processes=2", "nano.engine.processes (with "),
    (
        "nano.corpora.nanoo.tokens=5",
        "key nano.corpora.nanoo.tokens: run nano uses no 'nanoo' of config/corpora; did you mean nano?",
    ),
    ("nano.corpora.tiny.tokens=5", "key nano.corpora.tiny.tokens: run nano uses no 'tiny'"),
    ("nano.corpora.nano.v2.tokens=5", "key nano.corpora.nano.v2.tokens: unknown key v2"),
    ("nano.corpora.nano=5", "key nano.corpora.nano: names no key"),
    ("nano.corpus.sources.web.type=local", "key nano.corpus.sources.web"),
    ("nano.corpus.weights.speeches=.5", "nano.corpus.weights.speeches (with "),
    ("nano.instruction.speech_facts.facts_per_document=1", "did you mean speech-facts?"),
    ("nano.instruction.alpaca.validation_share=0.1", "run nano uses no 'alpaca'"),
    ("nano.decontamination.standard.ngram=8", "run nano uses no 'standard'"),
    ("nano.evaluation.tasks=[boolq,boolq]", "key nano.evaluation.tasks: ['boolq', 'boolq'] has non-unique"),
    ("nano.sft=null,nano.sft.tokens=5", "key nano.sft.tokens: the run has no fine-tuning"),
    ("nano-phases.corpus.tokens=5", "run nano-phases has no corpus"),
    ("corpora.nano=5", "names a part and no key"),
    ("corpora.nope.tokens=5", "key corpora.nope.tokens: there is no 'nope'"),
    ("tokenizers.nano-4k.vocabulary_size=1", "key tokenizers.nano-4k.vocabulary_size: 1 is less"),
]
# (words after --config as Snakemake reads them, what the line says)
CONFIGS = [
    ({"sets": "nano.tokens=5e5"}, "--config sets: nothing takes sets"),
    ({"nano": "tokens=5e5"}, "nothing takes nano"),
    ({"tokens": 5}, "nothing takes tokens"),
    ({"set": {"nano.tokens": 5}}, "is read as YAML with keys"),
    ({"set": ["nano.tokens=5"]}, "is read as YAML with keys"),
]


def ask(root: Path, overrides: str = "") -> None:
    """All that rules ask of the configuration before the first job of a run starts."""
    configuration = Configuration(root, overrides, CONFIG)
    configuration.check()
    configuration.run("nano")
    for job in ("plan", "corpus", "tokenizer", "pretrain", "sft", "instruction", "evaluate", "results"):
        job_settings(configuration, job, NAMES)
    inputs.evaluation_sets(configuration, NAMES)


def told(function, *arguments) -> str:
    begun = time.monotonic()
    with pytest.raises(AbovoError) as error:
        function(*arguments)
    assert time.monotonic() - begun < 5
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 2000
    return line


def write(root: Path, file: str, content: bytes) -> Path:
    path = root / f"{file}.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def identify(value) -> str:
    return re.sub(r"[^ -~]", "", str(value))[:40]


@pytest.mark.parametrize(("file", "key", "value", "words"), VALUES, ids=identify)
def test_value_of_a_file_is_told_with_file_and_key(tmp_path, file, key, value, words):
    text = (CONFIG / f"{file}.yaml").read_text()
    begin = re.search(rf"(?m)^{key}:", text)
    kept = text[begin.end() :].splitlines(keepends=True)
    # a value of several lines goes as a whole
    rest = next((number for number, line in enumerate(kept[1:], 1) if not line.startswith((" ", "-"))), len(kept))
    path = write(tmp_path, file, f"{text[: begin.end()]} {value}\n{''.join(kept[rest:])}".encode())
    line = told(ask, tmp_path)
    assert str(path) in line
    assert key in line or "not valid YAML" in line
    assert words in line


def test_value_is_what_is_wrong(tmp_path):
    """The files that the cases above are made of have no fault of their own."""
    ask(tmp_path)
    assert Configuration(CONFIG).check() == []


@pytest.mark.parametrize(("content", "words"), FILES, ids=identify)
def test_file_is_told_with_its_name(tmp_path, content, words):
    path = write(tmp_path, "runs/nano", content)
    line = told(ask, tmp_path)
    assert line.startswith(str(path))
    assert words in line


@pytest.mark.parametrize(("overrides", "words"), OVERRIDES, ids=identify)
def test_override_is_told_and_not_the_file(tmp_path, overrides, words):
    line = told(ask, tmp_path, overrides)
    assert line.startswith("--config set")
    assert words in line


@pytest.mark.parametrize(("config", "words"), CONFIGS, ids=identify)
def test_key_of_the_call_that_nothing_takes_is_told(config, words):
    assert words in told(known_keys, config, ["nano"], True, {})


def test_project_that_imports_the_workflow_has_keys_of_its_own():
    assert known_keys({"genomes": ["a"], "set": "nano.tokens=5"}, ["nano"], False, {}) == "nano.tokens=5"
    assert known_keys({"genomes": ["a"], "set": None}, ["nano"], False, {}) == ""
    assert known_keys({"set": "nano.seed=1"}, ["nano"], True, {"a.yaml": "nano.seed=1"}) == "nano.seed=1"
    assert "would be lost" in told(known_keys, {"set": "nano.seed=1"}, ["nano"], True, {"a.yaml": "nano.tokens=5"})
    assert "sets" in told(known_keys, {"genomes": ["a"], "sets": "nano.tokens=5"}, ["nano"], False, {})


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "set=nano.tokens=5", "set=nano.seed=3"],
        ["-C", "set=nano.tokens=5", "--config", "set=nano.seed=3"],
        ["--config", "set=nano.tokens=5", "--config=set=nano.seed=3"],
        ["-Cset=nano.tokens=5", "-C", "set=nano.seed=3"],
    ],
)
def test_values_that_snakemake_would_drop_are_told(words):
    assert "only the last one counts" in told(refuse_lost, ["snakemake", "-n", "all", *words])
    refuse_lost(["snakemake", "--config", "set=nano.tokens=5", "-n"])


def test_lists_commas_and_quotes_reach_their_key(tmp_path):
    text = (
        "nano.training.optimizer.betas=[0.8, 0.9],nano.description='one, two', nano.seed=1_000,"
        'nano.training.samples.prompts=["a, b", c],nano.corpus.description=one\\, two,'
        "nano.training.schedule={kind: cosine, warmup_steps: 3},corpora.nano.seed=7,"
    )
    configuration = Configuration(tmp_path, text, CONFIG)
    configuration.check()
    run = configuration.run("nano")
    assert run.training.optimizer.betas == (0.8, 0.9)
    assert (run.description, run.seed) == ("one, two", 1000)
    assert run.training.samples.prompts == ("a, b", "c")
    assert (run.training.schedule.kind, run.training.schedule.warmup_steps) == ("cosine", 3)
    corpus = configuration.shared("corpora", "nano")
    assert (corpus.description, corpus.seed) == ("one, two", 7)
    assert configuration.overridden("nano")["corpora.nano.seed"] == 7


def test_part_that_the_call_names_takes_the_keys_of_the_call(tmp_path):
    text = "nano.engine=ddp,nano.engine.processes=3,nano.evaluation=text,nano.evaluation.batch_size=4"
    configuration = Configuration(tmp_path, text, CONFIG)
    configuration.check()
    run = configuration.run("nano")
    assert (run.engine.strategy, run.engine.processes, run.evaluation.batch_size) == ("ddp", 3, 4)
    assert configuration.shared("evaluation", "facts").batch_size == 16


def test_other_runs_do_not_suffer_from_a_file_that_cannot_be_read(tmp_path):
    write(tmp_path, "runs/mine", b"tokens: [\n")
    (tmp_path / "runs/._nano.yaml").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "runs/my run.yaml").write_bytes(b"tokens: 5\n")
    (tmp_path / "runs/other.yml").write_bytes(b"tokens: 5\n")
    configuration = Configuration(tmp_path, "", CONFIG)
    told = configuration.check()
    assert [line.partition(":")[0] for line in told] == [
        f"{tmp_path}/runs/{name}" for name in ("my run.yaml", "other.yml", "mine.yaml, line 2")
    ]
    with pytest.raises(AbovoError, match=r"rename .*runs/other\.yml to other\.yaml"):
        configuration.run("other")
    configuration.run("nano")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_number_of_a_file_has_bounds(kind):
    def unbounded(schema, path):
        inner = {
            **schema.get("properties", {}),
            "ITEM": schema.get("items"),
            "NAME": schema.get("additionalProperties"),
        }
        for name, part in inner.items():
            if isinstance(part, dict):
                yield from unbounded(part, f"{path}.{name}")
        types = schema.get("type", ())
        number = {"integer", "number"} & set([types] if isinstance(types, str) else types)
        if number and not (
            set(schema) & {"maximum", "exclusiveMaximum"} and set(schema) & {"minimum", "exclusiveMinimum"}
        ):
            yield path

    assert list(unbounded(schema_of(KINDS[kind]), kind)) == []


def test_last_quote_may_be_one_that_snakemake_took_away():
    (one,) = parse("nano.description='short, cold")
    assert one.value == "short, cold"
    assert [item.value for item in parse('nano.seed=7,nano.description="short, cold"')] == [7, "short, cold"]


def test_key_given_twice_below_set_of_a_run_is_told(tmp_path):
    text = (CONFIG / "runs/nano.yaml").read_text().partition("\nset:")[0]
    keys = "training.schedule.warmup_steps: 5, training.schedule: {kind: constant, warmup_steps: 6}"
    write(tmp_path, "runs/mine", f"{text}\nset: {{{keys}}}\n".encode())
    line = told(Configuration(tmp_path, "", CONFIG).run, "mine")
    assert "key set.training.schedule: is given twice (training.schedule.warmup_steps too)" in line
