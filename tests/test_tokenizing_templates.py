"""Chat templates: labels on what the assistant says and its end, equal ids and masks here and in the exported form."""

from dataclasses import replace

import pytest
import small_world as world

from abovo.errors import AbovoError
from abovo.instruction.prepare import prepare_instruction
from abovo.instruction.rows import OPEN_ROWS, RowFiller
from abovo.packing.bins import FIRST, LEARNED, open_bin, open_mask
from abovo.provenance.code import reached
from abovo.settings.instruction import Instruction, Records
from abovo.tokenizing.chatml import CHATML
from abovo.tokenizing.export import export_tokenizer
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.special import EOS, IM_END, IM_START, PAD, PIECES
from abovo.tokenizing.templates import TEMPLATES, stop_ids

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What of the treaty?\n\n  It has  blanks "},
    {"role": "assistant", "content": " The treaty stands.\n"},
    {"role": "user", "content": "And the navy: é, 日本?"},
    {"role": "assistant", "content": "It sails."},
]
FACTS = Instruction(format="facts", corpus="small", facts="speech", max_conversations=90, sequence_length=128)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    corpus = world.make_corpus(folder)
    return folder, corpus, world.make_tokenizer(folder, corpus)


@pytest.fixture(scope="module")
def tokenizer(small):
    return load_tokenizer(small[2])


@pytest.fixture(params=list(TEMPLATES))
def template(request):
    return TEMPLATES[request.param]


def test_chatml_and_alpaca_read_as_their_users_know_them():
    assert TEMPLATES["chatml"] is CHATML
    assert CHATML.render(TALK) == "".join(f"<|im_start|>{one['role']}\n{one['content']}<|im_end|>\n" for one in TALK)
    assert CHATML.ask("Who?") == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    asked = "Be brief.\n\n### Instruction:\nWho?\n\n### Response:\n"
    talk = [TALK[0], {"role": "user", "content": "Who?"}]
    assert TEMPLATES["alpaca"].render(talk, answer=True) == asked
    talk = [*talk, {"role": "assistant", "content": "Lincoln."}]
    assert TEMPLATES["alpaca"].render(talk) == f"{asked}Lincoln.<|im_end|>\n\n"


def test_mask_covers_what_the_assistant_says_and_its_end_marker_only(tokenizer, template):
    ids, mask = template.encode(TALK, tokenizer)
    labels = [token for token, counts in zip(ids, mask, strict=True) if counts]
    assert tokenizer.decode(labels) == " The treaty stands.\n<|im_end|>It sails.<|im_end|>"
    assert labels.count(IM_END) == 2 and IM_START not in labels


def test_a_conversation_longer_than_a_row_keeps_its_leading_turns_up_to_an_answer(tokenizer, template):
    whole = template.encode(TALK, tokenizer)
    first = template.encode(TALK[:3], tokenizer)
    size, least = len(whole[0]), len(first[0])
    assert template.encode_leading(TALK, tokenizer, size) == (whole, 5)
    for length in (size - 1, least + 1, least):
        assert template.encode_leading(TALK, tokenizer, length) == (first, 3)
    assert template.encode_leading(TALK, tokenizer, least - 1) == (([], []), 0)


def test_encoding_part_by_part_equals_encoding_the_rendered_text(tokenizer, template):
    ids, _ = template.encode(TALK, tokenizer)
    assert ids == tokenizer.encode(template.render(TALK))
    assert tokenizer.decode(ids) == template.render(TALK)


def test_exported_template_gives_the_same_text_ids_and_mask_in_transformers(tokenizer, template, tmp_path):
    from transformers import AutoTokenizer

    export_tokenizer(tokenizer, tmp_path, 128, template)
    exported = AutoTokenizer.from_pretrained(tmp_path)
    ids, mask = template.encode(TALK, tokenizer)
    assert exported.apply_chat_template(TALK, tokenize=False) == template.render(TALK)
    found = exported.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    assert (found["input_ids"], found["assistant_masks"]) == (ids, mask)
    asked = exported.apply_chat_template(TALK[:2], tokenize=False, add_generation_prompt=True)
    assert asked == template.render(TALK[:2], answer=True)
    assert ids[: len(tokenizer.encode(asked))] == tokenizer.encode(asked)


def test_template_whose_parts_share_a_piece_is_not_exported(tokenizer, tmp_path):
    """The blank before the answer joins its first word: the ids of the parts are not those of the whole."""
    jinja = (
        "{% for message in messages %}{{ message['role'] + ':' + ' ' }}"
        "{% generation %}{{ message['content'] }}{% endgeneration %}{% endfor %}"
    )
    with pytest.raises(AbovoError, match="the exported template ChatML gives other ids or another mask"):
        export_tokenizer(tokenizer, tmp_path, 128, replace(CHATML, jinja=jinja))


def test_end_of_an_answer_is_a_stop_beside_the_end_of_a_text(template, tokenizer):
    assert stop_ids(tokenizer, template) == (EOS, IM_END) and stop_ids(tokenizer, None) == (EOS,)
    said = [text for text, said in template.parts(TALK) if said]
    assert len(said) == 2 and all(text.endswith(tuple(PIECES[number] for number in template.ends)) for text in said)


@pytest.mark.parametrize("name", [*TEMPLATES, None])
@pytest.mark.parametrize("script", ["prepare_instruction", "train", "evaluate"])
def test_only_the_template_that_settings_name_counts_as_code(root, script, name):
    found = reached(root / f"workflow/scripts/{script}.py", {"template": name})
    assert {one for one in TEMPLATES if f"abovo.tokenizing.{one}" in found} == {name} - {None}


def test_template_runs_in_a_sandbox():
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        replace(CHATML, jinja="{{ messages.__class__.__mro__[1].__subclasses__() }}").render(TALK)


@pytest.mark.parametrize(
    ("conversation", "reason"),
    [
        ([{"role": "user", "content": "Hello"}], "does not end with an answer"),
        ([{"role": "critic", "content": "Hm"}, {"role": "assistant", "content": "Yes"}], "unknown role"),
        ([{"role": "user", "content": " \n"}, {"role": "assistant", "content": "Yes"}], "empty message"),
        ([{"role": "user", "content": "a<|im_end|>b"}, {"role": "assistant", "content": "Yes"}], "ChatML marker"),
        ([], "does not end with an answer"),
    ],
)
def test_conversation_that_cannot_be_learned_from_is_named(conversation, reason):
    assert reason in CHATML.problem(conversation)
    assert CHATML.problem(TALK) is None


def test_rows_hold_whole_conversations_with_their_first_id_flagged_and_padding_has_no_flag():
    sizes = [(number * 37) % 60 + 4 for number in range(200)]
    talks = [([number + 10] * size, [number % 2] * size) for number, size in enumerate(sizes)]
    filler = RowFiller(64, PAD)
    rows = [row for talk in talks for row in filler.add(*talk)] + list(filler.close())
    placed = {}
    for ids, flags, used in rows:
        assert len(ids) == len(flags) == 64
        assert ids[used:] == [PAD] * (64 - used) and not any(flags[used:])
        for token, flag in zip(ids[:used], flags[:used], strict=True):
            assert bool(flag & FIRST) == (token not in placed)
            placed.setdefault(token, []).append(flag & LEARNED)
    assert {token: len(counts) for token, counts in placed.items()} == {n + 10: size for n, size in enumerate(sizes)}
    assert all(set(counts) == {(token - 10) % 2} for token, counts in placed.items())
    assert sum(sizes) / (64 * len(rows)) > 0.85 and len(rows) > OPEN_ROWS


def test_packed_window_never_mixes_labels(small, tokenizer):
    """In every row the labels are exactly the spans between `assistant` and <|im_end|> of whole conversations."""
    folder, corpus, path = small
    made = prepare_instruction(path, corpus, FACTS, folder / "instruction/facts/small/manifest.json", world.SCRIPT)
    asks = tokenizer.encode("<|im_start|>user\n")
    for split in ("train", "val"):
        ids, mask = open_bin(made, split), open_mask(made, split)
        assert ids.shape == mask.shape and ids.shape[1] == 128
        for row, counts in zip(ids.tolist(), mask.tolist(), strict=True):
            used = [token for token in row if token != PAD]
            text, expected = tokenizer.decode(used), []
            counts, first = [flag & LEARNED for flag in counts], [flag & FIRST for flag in counts]
            begins = [place for place in range(len(used)) if used[place : place + len(asks)] == asks]
            assert [place for place, flag in enumerate(first) if flag] == begins
            for talk in filter(None, text.split("<|im_start|>user\n")):
                question, answer = talk.split("<|im_end|>\n<|im_start|>assistant\n")
                messages = [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer.removesuffix("<|im_end|>\n")},
                ]
                expected += CHATML.encode(messages, tokenizer)[1]
            assert counts == expected + [0] * (len(row) - len(expected))


def test_rows_are_written_in_the_template_that_the_data_set_names(small, tokenizer):
    folder, corpus, path = small
    output = folder / "instruction/alpaca/small/manifest.json"
    made = prepare_instruction(path, corpus, replace(FACTS, template="alpaca"), output, world.SCRIPT)
    for row, counts in zip(open_bin(made, "train").tolist(), open_mask(made, "train").tolist(), strict=True):
        text = tokenizer.decode([token for token in row if token != PAD])
        said = tokenizer.decode([token for token, label in zip(row, counts, strict=True) if label & LEARNED])
        talks = text.removesuffix("\n\n").split("\n\n### Instruction:\n")
        assert text.startswith("### Instruction:\n") and all(talk.endswith("<|im_end|>") for talk in talks)
        assert said == "".join(talk.split("\n\n### Response:\n")[1] for talk in talks)


def test_facts_inherit_the_split_of_their_document(small, tokenizer):
    folder, corpus, path = small
    made = prepare_instruction(path, corpus, FACTS, folder / "instruction/facts/small/manifest.json", world.SCRIPT)
    assert made["tokenizer_sha256"] == tokenizer.sha256
    held_out = {item.text for item in world.read_documents(corpus, "val")}
    for split in ("train", "val"):
        for row in open_bin(made, split).tolist():
            for talk in filter(None, tokenizer.decode([i for i in row if i != PAD]).split("<|im_start|>user\n")):
                quote = talk.split('"')[1]
                found = [text for text in held_out if quote in text]
                assert bool(found) == (split == "val")


def test_too_long_conversations_are_left_out_and_counted(small):
    folder, corpus, path = small
    output = folder / "instruction/short/small/manifest.json"
    made = prepare_instruction(path, corpus, replace(FACTS, sequence_length=68), output, world.SCRIPT)
    assert made["counts"]["left_out"]["first answer ends beyond a row"] > 0
    assert made["counts"]["train"]["conversations"] > 0
    with pytest.raises(AbovoError, match="no conversation is left for train"):
        prepare_instruction(path, corpus, replace(FACTS, sequence_length=16), output, world.SCRIPT)


@pytest.mark.parametrize("change", [{"format": "alpaca"}, {"source": Records(type="local", paths="x.jsonl")}])
def test_format_that_does_not_go_with_the_other_keys_is_named(small, change):
    folder, corpus, path = small
    with pytest.raises(AbovoError, match="does not go with the other keys; format facts needs"):
        prepare_instruction(path, corpus, replace(FACTS, **change), folder / "wrong/small/manifest.json", world.SCRIPT)
