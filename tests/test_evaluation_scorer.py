"""Options and documents scored by our own engine: lm-eval's values, whatever the batch, the form and the model."""

import copy
import json
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import small_world as world
import torch
from small_scoring import NEAR, foreign, harness, requests, sharpened

from abovo.errors import AbovoError
from abovo.evaluation.branches import Line, ask, lay
from abovo.evaluation.scorer import LOGITS, Option, Scorer, encode_pair, encode_pairs, encode_texts
from abovo.modeling.family import FAMILIES
from abovo.modeling.opened import open_scored
from abovo.tokenizing.special import BOS, EOS


def texts(rows=24, options=4, longest=20):
    """Contexts, one of them empty and one too long, and options, some of a single token."""
    draw = random.Random(1)

    def words(least, most):
        return " ".join(draw.choices(world.WORDS, k=draw.randint(least, most)))

    found = [(words(0, longest), [" " + words(1, 8) for _ in range(options)]) for _ in range(rows)]
    return [
        *found,
        ("", ["peace", " union"]),
        (words(80, 80) + "  ", [words(3, 3), "navy"]),
        (words(9, 9), [" a", " e"]),
    ]


def encoded(opened, rows):
    return [[encode_pair(opened.tokenizer, context, option) for option in options] for context, options in rows]


def test_log_likelihoods_are_those_of_lm_eval_at_any_batch_size_and_in_any_order(any_model):
    opened, rows = any_model, texts()
    asked = requests(*((context, option) for context, options in rows for option in options))
    expected = harness(opened).loglikelihood(asked, disable_tqdm=True)
    options = encoded(opened, rows)
    for size in (1, 8, 64):
        scorer = Scorer(opened, size)
        found = [one for row in scorer.options(options) for one in row]
        assert [one.log_likelihood for one in found] == pytest.approx([nats for nats, _ in expected], abs=NEAR)
        assert [one.greedy for one in found] == [greedy for _, greedy in expected]
        assert scorer.forms.longest_tree(8) > 0, "the options of a row did not share what they begin with"
    turned = [one for row in reversed(scorer.options(options[::-1])) for one in row]
    assert [one.log_likelihood for one in turned] == pytest.approx([one.log_likelihood for one in found], abs=NEAR)
    cut = [one.cut > 0 for one in found]
    asked_for = [len(one.scored) for row in options for one in row]
    assert sum(cut) == 2 and [one.tokens for one in found] == asked_for


def test_documents_are_scored_in_the_windows_of_lm_eval(any_model):
    opened = any_model
    whole = [document.text * times for times, document in zip((1, 3, 7), world.documents(), strict=False)]
    expected = harness(opened).loglikelihood_rolling(requests(*((text,) for text in whole)), disable_tqdm=True)
    ids = encode_texts(opened.tokenizer, whole)
    found = Scorer(opened, 4).documents(ids)
    assert [one.log_likelihood for one in found] == pytest.approx(expected, rel=1e-6)
    assert [one.tokens for one in found] == [len(one) for one in ids]


def test_no_more_logits_are_there_at_once_than_fit(ours, monkeypatch):
    """A large vocabulary times all places of a batch would fill the memory; values are the same piece by piece."""
    options = encoded(ours, texts(8))
    whole = Scorer(ours, 8).options(options)
    scorer, seen = Scorer(ours, 8), []
    logits = scorer.forms.logits
    monkeypatch.setitem(LOGITS, "cpu", 5 * scorer.forms.vocabulary)
    monkeypatch.setattr(scorer.forms, "logits", lambda values: seen.append(len(values)) or logits(values))
    for row, other in zip(scorer.options(options), whole, strict=True):
        assert [one.log_likelihood for one in row] == pytest.approx([one.log_likelihood for one in other], abs=NEAR)
        assert [one.greedy for one in row] == [one.greedy for one in other]
    assert max(seen) == 5 and len(seen) > 10


def test_with_a_stride_each_id_is_scored_once_and_looks_back_far_enough(ours):
    ids = encode_texts(ours.tokenizer, [world.documents()[0].text * 2])[0]
    context, stride = ours.context, 16
    (found,) = Scorer(ours, 8).documents([ids], stride)
    whole, total = (ours.prefix, *ids), 0.0
    for place in range(len(ids)):
        last = place if place < context else context + ((place - context) // stride + 1) * stride - 1
        begin = max(0, min(last, len(ids) - 1) + 1 - context)
        assert place < context or place + 1 - begin > context - stride
        with torch.inference_mode():
            logits = ours.model(input_ids=torch.tensor([whole[begin : place + 1]])).logits[0, -1]
        total += float(torch.log_softmax(logits, -1)[ids[place]])
    assert found.log_likelihood == pytest.approx(total, abs=NEAR * 10) and found.tokens == len(ids)
    with pytest.raises(AbovoError, match=r"^key stride of the evaluation: .+ by 65 tokens .+ is 64; choose 1 to 64"):
        Scorer(ours, 8).documents([ids], 65)


def test_an_option_longer_than_the_context_is_scored_as_far_as_it_is_left(ours):
    ids = tuple(range(10, 110))
    ((found,),) = Scorer(ours, 1).options([[Option((5, 6, 7), ids)]])
    with torch.inference_mode():
        logits = ours.model(input_ids=torch.tensor([ids[-65:-1]])).logits[0]
    expected = torch.log_softmax(logits, -1)[range(64), ids[-64:]].sum()
    assert (found.tokens, found.cut) == (64, 38) and found.log_likelihood == pytest.approx(float(expected), abs=NEAR)


def test_what_options_begin_with_stands_once_and_options_apart_cost_nothing_more():
    def lines(*pairs, longest=100) -> list[Line]:
        return lay([ask(n, Option(*pair), 64, 2) for n, pair in enumerate(pairs)]).lines(longest)

    stem = tuple(range(10, 30))
    shared = lines((stem, (1, 2, 3)), (stem, (1, 4, 5)), (stem, (6, 7)))
    assert [len(line) for line in shared] == [20 + 2 + 1 + 1]
    assert shared[0].depths[-4:] == [20, 21, 21, 20]
    assert [len(line) for line in lines((stem, (1, 2, 3)), (stem, (4, 5, 6)), longest=0)] == [22, 22]
    assert [len(line) for line in lines((stem, (1,)), (stem, (2,)), (stem, (3,)), longest=0)] == [20]
    assert [len(line) for line in lines(((1,), stem), ((2,), stem))] == [20, 20]


def test_a_recurrent_family_and_a_foreign_model_without_positions_are_scored_in_the_plain_form(
    small_folder, monkeypatch, caplog
):
    from abovo.modeling.build import build_model
    from abovo.modeling.family import family_of, shape_of
    from abovo.modeling.opened import Opened

    monkeypatch.setitem(FAMILIES.entries, "odd", "odd_family:ODD")
    model = build_model(shape_of({"family": "odd", "width": 16, "inner": 24}), 600, 64, seed=1).eval()
    tokenizer = open_scored(small_folder).tokenizer
    options = encoded(SimpleNamespace(tokenizer=tokenizer), texts(8))
    found = []
    with caplog.at_level("INFO", "abovo"):
        for family in (family_of(model), None):
            opened = sharpened(Opened(model, tokenizer, family, 64, 2, "cpu", "float32"))
            scorer = Scorer(opened, 8)
            found = scorer.options(options)
            assert scorer.forms.longest_tree(8) == 0
            for row, asked in zip(found, options, strict=True):
                for one, option in zip(row, asked, strict=True):
                    ids = torch.tensor([(option.context + option.scored)[-65:]])
                    with torch.inference_mode():
                        scores = torch.log_softmax(model(input_ids=ids[:, :-1]).logits[0], -1)
                    expected = scores[range(-len(option.scored), 0), ids[0, -len(option.scored) :]].sum()
                    assert one.log_likelihood == pytest.approx(float(expected), abs=NEAR)
    assert "is scored in the plain form where options share what they begin with otherwise" in caplog.text


def test_a_model_whose_attention_counts_places_its_own_way_is_scored_option_by_option(small_folder, tmp_path):
    """Distances by ALiBi, and a window that ids see no farther than."""
    from transformers import BertConfig, BloomConfig, MistralConfig

    sides = {"vocab_size": 640, "hidden_size": 32, "eos_token_id": 2}
    bert = BertConfig(**sides, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    bloom = BloomConfig(**sides, n_layer=1, n_head=2)
    mistral = MistralConfig(
        **sides,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        sliding_window=8,
    )
    for name, config in (("bloom", bloom), ("mistral", mistral)):
        opened = foreign(small_folder, tmp_path / name, config)
        options, scorer = encoded(opened, texts(6)), Scorer(opened, 4)
        alone = [[Scorer(opened, 1).options([[option]])[0][0] for option in row] for row in options]
        assert scorer.forms.longest_tree(32) == 0
        for row, others in zip(scorer.options(options), alone, strict=True):
            assert [one.log_likelihood for one in row] == pytest.approx([o.log_likelihood for o in others], abs=NEAR)
    with pytest.raises(AbovoError, match="BertLMHeadModel is not causal"):
        Scorer(foreign(small_folder, tmp_path / "bert", bert), 4)


def test_half_precision_is_taken_only_where_it_is_asked_for(small_folder):
    assert next(open_scored(small_folder).model.parameters()).dtype == torch.float32
    half = open_scored(small_folder, precision="bfloat16")
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.bfloat16}
    options = encoded(half, texts(4))
    single = Scorer(open_scored(small_folder), 8).options(options)
    for row, other in zip(Scorer(half, 8).options(options), single, strict=True):
        for one, two in zip(row, other, strict=True):
            assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=0.02)


@pytest.mark.parametrize("bos", [False, True])
def test_pairs_are_parted_as_lm_eval_parts_them(ours, small_folder, bos):
    """By a tokenizer too that puts a token before each text, as those of some models do, and never twice."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(small_folder)
    if bos:
        tokenizer.bos_token = "<s>"
        alone = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
        tokenizer.backend_tokenizer.post_processor = alone
    pairs = [("peace  ", "navy"), ("", "navy"), ("Who?", " no one"), ("a b", "c"), ("<s>Who?", " me"), ("", "<s>navy")]
    model = harness(replace(ours, tokenizer=tokenizer))
    for pair, found in zip(pairs, encode_pairs(tokenizer, pairs), strict=True):
        start, bare = [BOS if bos else EOS], {"add_special_tokens": False}
        expected = model._encode_pair(*pair) if pair[0] else (start, model.tok_encode(pair[1], **bare))
        assert [list(found.context), list(found.scored)] == [list(part) for part in expected]
    assert encode_texts(tokenizer, ["peace"])[0] == tuple(model.tok_encode("peace"))


def test_a_folder_of_a_class_that_transformers_has_not_is_opened_without_a_word(integrator_folders, caplog):
    for folder in integrator_folders.values():
        assert open_scored(folder).family is FAMILIES["inl"]
    assert not caplog.records


def copied(small_folder, folder, leave=()):
    import shutil

    folder.mkdir()
    for path in small_folder.iterdir():
        if path.name not in leave:
            shutil.copy(path, folder)
    return folder


def test_a_folder_that_cannot_be_scored_is_refused_in_one_line(small_folder, tmp_path):
    def refused(folder, what, **more):
        with pytest.raises(AbovoError, match=what) as error:
            open_scored(folder, **more)
        assert str(folder) in str(error.value) and "\n" not in str(error.value)

    refused(
        small_folder, r"config.json: has 64 positions, a context of 65 was asked for; ask for at most 64", context=65
    )
    refused(small_folder, "a context of 0 holds no text", context=0)
    refused(tmp_path, "there is no config.json")
    bare = copied(small_folder, tmp_path / "bare", ["model.safetensors"])
    refused(bare, "holds no weights")
    (bare / "pytorch_model.bin").write_bytes(b"")
    refused(bare, r"its weights are a pickle \(pytorch_model.bin\)")
    refused(copied(small_folder, tmp_path / "mute", ["tokenizer.json", "tokenizer_config.json"]), "holds no tokenizer")
    other = copied(small_folder, tmp_path / "other")
    tokenizer = open_scored(other).tokenizer
    tokenizer.add_tokens([f"<|more{number}|>" for number in range(64)])
    tokenizer.save_pretrained(other)
    refused(other, r"its tokenizer's ids go up to \d+, the model has \d+ rows")
    strange = copied(small_folder, tmp_path / "strange")
    config = json.loads((strange / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps({**config, "model_type": "nobodys"}))
    refused(strange, "transformers cannot open it as a causal model")


@pytest.mark.parametrize("kind", ["ours", "another's"])
def test_weights_that_were_cut_short_are_told_with_their_file(small_folder, tmp_path, kind):
    folder = copied(small_folder, tmp_path / "cut")
    weights, config = folder / "model.safetensors", folder / "config.json"
    weights.write_bytes(weights.read_bytes()[:-100])
    if kind != "ours":
        config.write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(AbovoError, match=rf"^{weights}: its weights cannot be read \(.+\); fetch or save") as error:
        open_scored(folder)
    assert "\n" not in str(error.value)


def test_weights_that_are_no_numbers_are_told_by_scoring_alone(gpt2, caplog):
    broken = replace(gpt2, model=copy.deepcopy(gpt2.model))
    with torch.no_grad():
        next(broken.model.parameters()).fill_(float("nan"))
    caplog.set_level("INFO", "abovo")
    with pytest.raises(AbovoError, match="a log-likelihood is not finite"):
        Scorer(broken, 8).options([[Option((1,), (5, 6)), Option((1,), (7,))]])
    assert not caplog.records
