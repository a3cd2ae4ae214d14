"""Chat templates: labels on what the assistant says and its end, equal ids and masks here and in the exported form."""

from dataclasses import replace

import pytest
import small_world as world
from small_given import TURNS

from abovo.errors import AbovoError
from abovo.instruction.prepare import prepare_instruction
from abovo.instruction.rows import OPEN_ROWS, RowFiller
from abovo.packing.bins import FIRST, LEARNED, open_bin, open_mask
from abovo.settings.instruction import Instruction, Records
from abovo.settings.names import SHIPPED
from abovo.settings.template import ChatTemplate
from abovo.settings.tokenizer import AdoptedSettings
from abovo.tokenizing.adopt import adopt_tokenizer
from abovo.tokenizing.export import export_tokenizer
from abovo.tokenizing.jinja import Refused
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.special import EOS, PAD
from abovo.tokenizing.template_files import chat_template
from abovo.tokenizing.templates import open_template, stop_ids
from abovo.tokenizing.train import train_tokenizer

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What of the treaty?\n\n  It has  blanks "},
    {"role": "assistant", "content": " The treaty stands.\n"},
    {"role": "user", "content": "And the navy: é, 日本?"},
    {"role": "assistant", "content": "It sails."},
]
FACTS = Instruction(format="facts", corpus="small", facts="speech", max_conversations=90, sequence_length=128)
ENDS = {"chatml": "<|im_end|>", "alpaca": "<|im_end|>", "llama3": "<|eot_id|>", "gemma": "<end_of_turn>"}
PIECES = (
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>",
    "<end_of_turn>",
)  # fmt: skip
# A template that marks nothing.
PLAIN = TURNS.replace("{% generation %}", "").replace("{% endgeneration %}", "")


def named(name):
    return chat_template(name, SHIPPED)


def written(text, name="mine"):
    return ChatTemplate(name=name, text=text)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    corpus = world.make_corpus(folder)
    return folder, corpus, world.make_tokenizer(folder, corpus)


@pytest.fixture(scope="module")
def tokenizer(small):
    """One that has the pieces of ChatML."""
    return load_tokenizer(small[2])


@pytest.fixture(scope="module")
def wide(small):
    """One that has the pieces of all templates."""
    folder, corpus, _ = small
    path = folder / "tokenizers/wide/tokenizer_config.json"
    return load_tokenizer(train_tokenizer(replace(world.SPELLING, chat_pieces=PIECES), corpus, path, world.SCRIPT).path)


@pytest.fixture(scope="module")
def llama(llama_folder, tmp_path_factory):
    """One that came with a model, and a template of its own."""
    output = tmp_path_factory.mktemp("llama") / "tokenizer_config.json"
    adopt_tokenizer(AdoptedSettings(model_directory=str(llama_folder)), output, world.SCRIPT)
    return load_tokenizer(output)


@pytest.fixture(params=list(ENDS))
def template(request, wide):
    return open_template(named(request.param), wide)


@pytest.fixture(scope="module")
def chatml(tokenizer):
    return open_template(world.CHATML, tokenizer)


def test_templates_read_as_their_users_know_them(wide):
    opened = {name: open_template(named(name), wide) for name in ENDS}
    talk = [TALK[0], {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Lincoln."}]
    assert {name: one.render(talk) for name, one in opened.items()} == {
        "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n"
        "<|im_start|>assistant\nLincoln.<|im_end|>\n",
        "alpaca": "Be brief.\n\n### Instruction:\nWho?\n\n### Response:\nLincoln.<|im_end|>\n\n",
        "llama3": "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nLincoln.<|eot_id|>",
        "gemma": "<start_of_turn>user\nBe brief.\n\nWho?<end_of_turn>\n<start_of_turn>model\nLincoln.<end_of_turn>\n",
    }
    for one in opened.values():
        asked = one.render(talk[:2], answer=True)
        assert one.render(talk).startswith(asked + "Lincoln.") and one.ask("Who?") == one.render(talk[1:2], answer=True)


def test_mask_covers_what_the_assistant_says_and_its_end_marker_only(wide, template):
    ids, mask = template.encode(TALK, wide)
    labels = [token for token, counts in zip(ids, mask, strict=True) if counts]
    end, first = ENDS[template.name], TALK[2]["content"]
    first = first.strip() if "| trim" in template.jinja else first
    assert wide.decode(labels) == f"{first}{end}It sails.{end}"


def test_a_conversation_longer_than_a_row_keeps_its_leading_turns_up_to_an_answer(wide, template):
    whole = template.encode(TALK, wide)
    first = template.encode(TALK[:3], wide)
    size, least = len(whole[0]), len(first[0])
    assert template.encode_leading(TALK, wide, size) == (whole, 5)
    for length in (size - 1, least + 1, least):
        assert template.encode_leading(TALK, wide, length) == (first, 3)
    assert template.encode_leading(TALK, wide, least - 1) == (([], []), 0)


def test_encoding_part_by_part_equals_encoding_the_rendered_text(wide, template):
    ids, _ = template.encode(TALK, wide)
    assert ids == wide.encode(template.render(TALK))
    assert wide.decode(ids) == template.render(TALK)


def test_exported_template_gives_the_same_text_ids_and_mask_in_transformers(wide, template, tmp_path):
    from transformers import AutoTokenizer

    export_tokenizer(wide, tmp_path, 128, template)
    exported = AutoTokenizer.from_pretrained(tmp_path)
    ids, mask = template.encode(TALK, wide)
    assert exported.apply_chat_template(TALK, tokenize=False) == template.render(TALK)
    found = exported.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    assert (found["input_ids"], found["assistant_masks"]) == (ids, mask)
    asked = exported.apply_chat_template(TALK[:2], tokenize=False, add_generation_prompt=True)
    assert asked == template.render(TALK[:2], answer=True)
    assert ids[: len(wide.encode(asked))] == wide.encode(asked)


def test_ends_and_markers_follow_from_the_text(wide, template):
    end = wide.pieces[ENDS[template.name]]
    assert template.ends == (end,) and stop_ids(wide, template) == (EOS, end) and stop_ids(wide, None) == (EOS,)
    headings = ("### Instruction:\n", "### Response:\n") if template.name == "alpaca" else ()
    assert set(template.markers) == {*PIECES, *headings}


def test_a_tokenizer_s_own_template_is_trained_in_as_transformers_renders_it(llama, llama_folder):
    from transformers import AutoTokenizer

    template = open_template(ChatTemplate(name="own"), llama)
    assert template.marked and template.closing == "<|done|>"
    ids, mask = template.encode(TALK, llama)
    theirs = AutoTokenizer.from_pretrained(llama_folder)
    found = theirs.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    assert (found["input_ids"], found["assistant_masks"]) == (ids, mask)


def test_a_template_that_marks_nothing_gives_the_same_ids_and_mask_by_comparison(llama):
    marked, plain = (open_template(written(text), llama) for text in (TURNS, PLAIN))
    assert marked.marked and not plain.marked
    assert plain.encode(TALK, llama) == marked.encode(TALK, llama) and plain.ends == marked.ends


def turns(answer, other="{{ message['content'] }}<|im_end|>", lead="<|im_start|>{{ message['role'] }}\n"):
    """A template of an answer, and of what others say."""
    said = "{% if message['role'] == 'assistant' %}" + answer + "{% else %}" + other + "{% endif %}"
    return "{% for message in messages %}" + lead + said + "{% endfor %}"


BARE = "{{ message['content'] }}"
SAID = "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (turns(BARE, BARE), "nothing ends what the assistant says; write a special piece"),
        (turns(SAID.replace("<|im_end|>", "") + "<|im_end|>"), "nothing ends what the assistant says"),
        (
            turns(SAID, lead="<|user|>"),
            "it writes <|user|>, which is no piece of the tokenizer; name it in",
        ),
        (turns(BARE + "</s>"), "it writes </s>, which is no piece of the tokenizer"),
        ("{{ messages[-1]['content'] }}<|im_end|>", "it leaves out a message of a conversation"),
        ("{{ raise_exception('no chats') }}", "it cannot write a conversation (no chats)"),
        ("{{ 1 / 0 }}", "it cannot write a conversation (division by zero)"),
        (turns(SAID, lead="{{ message['role'] }}: "), "a piece of the tokenizer reaches into what the assistant says"),
        (turns(SAID, SAID), "it marks something else than answers with their ends"),
        (turns(BARE + "<|im_end|>", lead="{{ loop.length }}\n"), "it does not show what the assistant says (what asks"),
        ("{% if x %}", "is no Jinja template"),
    ],
)
def test_a_template_that_cannot_be_trained_in_is_refused_with_its_name(tokenizer, text, says):
    with pytest.raises(AbovoError) as caught:
        open_template(written(text), tokenizer)
    assert str(caught.value).startswith("chat template mine") and says in str(caught.value)


def test_templates_without_their_pieces_or_their_text_are_refused_with_the_mend(tokenizer):
    mend = (
        r"chat template llama3: it writes <\|start_header_id\|>, which is no piece of the tokenizer; name it in chat_"
    )
    with pytest.raises(AbovoError, match=mend):
        open_template(named("llama3"), tokenizer)
    with pytest.raises(AbovoError, match="chat template own: the tokenizer came with no chat template; name one of"):
        open_template(ChatTemplate(name="own"), tokenizer)


def test_a_template_that_is_exported_with_another_mask_is_refused(tokenizer, chatml, tmp_path):
    jinja = turns(SAID, lead="{{ message['role'] }}: ")
    with pytest.raises(AbovoError, match="the exported template chatml gives other ids or another mask"):
        export_tokenizer(tokenizer, tmp_path, 128, replace(chatml, jinja=jinja))


def test_template_runs_in_a_sandbox(chatml):
    unsafe = replace(chatml, jinja="{{ messages.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(Refused, match="unsafe"):
        unsafe.render(TALK)


@pytest.mark.parametrize(
    ("conversation", "reason"),
    [
        ([{"role": "user", "content": "Hello"}], "does not end with an answer"),
        ([{"role": "critic", "content": "Hm"}, {"role": "assistant", "content": "Yes"}], "unknown role"),
        ([{"role": "user", "content": " \n"}, {"role": "assistant", "content": "Yes"}], "empty message"),
        ([{"role": "user", "content": "a<|im_end|>b"}, {"role": "assistant", "content": "Yes"}], "marker of chatml"),
        ([], "does not end with an answer"),
    ],
)
def test_conversation_that_cannot_be_learned_from_is_named(chatml, conversation, reason):
    assert reason in chatml.problem(conversation)
    assert chatml.problem(TALK) is None


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


def test_packed_window_never_mixes_labels(small, tokenizer, chatml):
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
                expected += chatml.encode(messages, tokenizer)[1]
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
