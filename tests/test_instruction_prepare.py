"""Instruction sets become rows; what is left out is told on the screen and counted by source and reason."""

import json

import pytest
import small_world as world

from abovo.errors import AbovoError
from abovo.instruction.prepare import prepare_instruction
from abovo.packing.bins import FIRST, open_bin, open_mask
from abovo.settings.instruction import Instruction, InstructionJob
from abovo.settings.keys import build
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.special import PAD

SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return world.make_tokenizer(folder, world.make_corpus(folder))


@pytest.fixture
def prepare(tokenizer, tmp_path):
    """A function that makes the rows of records, by name of their source; `keys` are those of the set."""

    def made(sources, name="set", formats=None, settings=Instruction, **keys):
        for source, records in sources.items():
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (tmp_path / f"{source}.jsonl").write_text(lines)
        places = {source: {"type": "local", "paths": str(tmp_path / f"{source}.jsonl")} for source in sources}
        parts = {source: {"source": place, **(formats or {}).get(source, {})} for source, place in places.items()}
        values = {"validation_share": 0.3, "sequence_length": 64, **keys}
        values |= {"sources": parts} if len(parts) > 1 else next(iter(parts.values()))
        output = tmp_path / f"{name}/small/manifest.json"
        return prepare_instruction(tokenizer, None, build(settings, values), output, world.SCRIPT)

    return made


def asked(number, **more):
    return {"instruction": f"Count the ships {number}", "output": f"There are {number}.", **more}


def turns(number, texts):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": f"{text} {number}"} for at, text in enumerate(texts)]}


def texts_of(made, tokenizer):
    """The text of each row, without its padding."""
    opened = load_tokenizer(tokenizer)
    return [opened.decode([i for i in row if i != PAD]) for split in SPLITS for row in open_bin(made, split).tolist()]


def total(made, key):
    return sum(made["counts"][split][key] for split in SPLITS)


def test_long_conversations_are_shortened_at_an_answer_and_counted(prepare, tokenizer, caplog):
    caplog.set_level("INFO", "abovo")
    made = prepare({"talks": [turns(n, ["Count", "One ship", "More", "ships " * 300]) for n in range(40)]})
    assert total(made, "shortened") == total(made, "conversations") == 40
    assert "(40 shortened to the turns that fit); left out: none" in caplog.text
    assert all("One ship" in text and "More" not in text for text in texts_of(made, tokenizer))


def test_long_conversations_are_parted_into_pieces_that_begin_with_a_request(prepare, tokenizer):
    system = {"role": "system", "content": "Be brief"}
    talks = [turns(n, ["Count", "One ship"] * 6) for n in range(20)]
    for talk in talks:
        talk["messages"].insert(0, system)
    made = prepare({"talks": talks}, too_long="split")
    texts = texts_of(made, tokenizer)
    assert total(made, "parted") == 20 and total(made, "shortened") == 0
    assert sum(text.count("One ship") for text in texts) == 120
    assert sum(text.count("Be brief") for text in texts) > 20
    for text in texts:
        for piece in text.split("<|im_start|>system\nBe brief<|im_end|>\n")[1:]:
            assert piece.startswith("<|im_start|>user\n") and piece.endswith("<|im_end|>\n")


def test_requests_that_fit_no_row_are_left_out_of_a_parted_conversation_and_counted(prepare, tokenizer):
    talk = ["Count", "One ship", "More", "ships " * 300, "And", "Two"]
    made = prepare({"talks": [turns(n, talk) for n in range(20)]}, too_long="split")
    assert made["counts"]["left_out"] == {"request and answer longer than a row": 20}
    assert total(made, "shortened") == 20 and not any("More" in text for text in texts_of(made, tokenizer))


def test_a_conversation_longer_than_a_row_is_refused_with_its_record_where_that_is_asked(prepare):
    records = [asked(n) for n in range(20)] + [asked(20, input="ships " * 300)]
    with pytest.raises(AbovoError, match=r"talks.jsonl, line 21: the conversation has [\d,]+ tokens, a row 64; raise"):
        prepare({"talks": records}, too_long="refuse")


@pytest.mark.parametrize("packing", [True, False])
def test_conversations_share_rows_or_have_one_each(prepare, packing):
    made = prepare({"talks": [asked(n) for n in range(40)]}, packing=packing, sequence_length=128)
    starts = [int((row & FIRST != 0).sum()) for split in SPLITS for row in open_mask(made, split)]
    assert sum(starts) == 40 and total(made, "shared_rows") == sum(start > 1 for start in starts)
    assert (max(starts) > 1) == packing
    assert packing or total(made, "rows") == 40


def test_conversations_beyond_the_limit_are_counted(prepare):
    made = prepare({"talks": [asked(n) for n in range(60)]}, max_conversations=5)
    assert [made["counts"][split]["conversations"] for split in SPLITS] == [5, 5]
    assert made["counts"]["left_out"] == {"beyond max_conversations": 50}


def test_conversations_that_stood_before_are_left_out_with_the_source_that_had_them(prepare):
    talks = [asked(n) for n in range(30)]
    again = [turns(n, ["Count the ships", "There are about"]) for n in range(5)]
    equal = [{"prompt": f"Count the  ships {n}", "completion": f"There are {n}.\n"} for n in range(7)]
    other = {"prompt": "A", "completion": "B"}
    made = prepare({"alpaca": [*talks, *talks[:3]], "chats": again, "prompts": [*equal, other]})
    counts = made["counts"]["sources"]
    assert counts["alpaca"]["left_out"] == {"duplicate of a conversation before it of alpaca": 3}
    assert counts["prompts"]["left_out"] == {"duplicate of a conversation before it of alpaca": 7}
    assert (counts["chats"]["conversations"], counts["prompts"]["conversations"]) == (5, 1)


def test_records_of_one_first_request_are_split_by_all_of_their_requests(prepare, caplog):
    caplog.set_level("INFO", "abovo")
    rows = [asked(n, system="You are a dictionary.", history=[["Two words: dog, cat", "Ready."]]) for n in range(20)]
    made = prepare({"talks": rows})
    assert made["split_by"] == "all requests" and total(made, "conversations") == 20
    assert "so all requests decide the split" in caplog.text
    same = "all have the same requests, which share a split, so nothing but other records helps"
    with pytest.raises(AbovoError, match=f"no conversation is left for .*; {same}"):
        prepare({"talks": [rows[0] | {"output": str(n)} for n in range(20)]})


def test_a_share_of_none_held_out_is_refused_by_its_key(prepare):
    with pytest.raises(AbovoError, match="validation_share"):
        prepare({"talks": [asked(n) for n in range(20)]}, validation_share=0)


NOTHING = (None, float("nan"), "", "  ")


def tree(number, **more):
    ids = {"message_tree_id": f"t{number}", "lang": "en"}
    ask = {"message_id": f"t{number}", "parent_id": None, "role": "prompter", "text": f"Ask {number}"}
    return {**ids, **ask, "replies": [{"message_id": f"a{number}", "role": "assistant", "text": "Yes", **more}]}


@pytest.mark.parametrize(
    ("sound", "key"),
    [
        (asked, "instruction"),
        (asked, "output"),
        (lambda n, **more: {"instruction": f"Ask {n}", "response": "Yes", **more}, "response"),
        (lambda n, **more: {"question": f"Ask {n}", "answer": "Yes", **more}, "answer"),
        (tree, "text"),
        (lambda n, **more: {"messages": [turns(n, ["Ask"])["messages"][0], {"role": "assistant"} | more]}, "content"),
        (lambda n, **more: asked(n, **({"history": [["Ask", more["h"]]]} if more else {})), "h"),
    ],
)  # fmt: skip
def test_records_without_a_text_are_left_out_in_every_format_and_the_first_is_named(prepare, sound, key, caplog):
    caplog.set_level("INFO", "abovo")
    filled = {"content": "Yes"} if key == "content" else {}
    records = [sound(n, **filled) for n in range(24)]
    records[3:3] = [sound(50 + n, **{key: value}) for n, value in enumerate(NOTHING)]
    lacking = json.loads(json.dumps(sound(60, **{key: "gone"})))
    holder = next((lacking[one][-1] for one in ("replies", "messages") if one in lacking), lacking)
    missing = holder.pop(key, None) is not None
    made = prepare({"talks": records + [lacking] * missing})
    assert made["counts"]["left_out"] == {"empty message": 4 + missing} and total(made, "conversations") == 24
    assert f"left out: empty message {4 + missing} (the first: " in caplog.text and "talks.jsonl, line 4" in caplog.text


def test_sources_of_several_formats_make_one_set_and_their_shares_are_told(prepare, tokenizer, caplog):
    caplog.set_level("INFO", "abovo")
    table = [{"frage": f"Wie viele Schiffe {n}", "antwort": f"Es sind {n}."} for n in range(20)]
    sources = {"alpaca": [asked(n) for n in range(20)], "chats": [turns(n, ["Sail", "Yes"]) for n in range(20)]}
    columns = {"prompt": "frage", "completion": "antwort"}
    made = prepare(sources | {"table": table}, formats={"table": {"format": "prompt", "columns": columns}})
    found = made["counts"]["sources"]
    assert [one["format"] for one in found.values()] == ["alpaca", "messages", "prompt"]
    assert "source alpaca: format auto found alpaca: 20 of the first 20 records have `instruction` and" in caplog.text
    assert sum(one["share"] for one in found.values()) == pytest.approx(1, abs=1e-5)
    assert sum(one["tokens"] for one in found.values()) == total(made, "tokens")
    assert "; of the tokens alpaca " in caplog.text
    text = "".join(texts_of(made, tokenizer))
    assert text.count("Count the ships") == text.count("Sail") == text.count("Schiffe") == 20


def test_rows_of_local_records_do_not_depend_on_where_the_file_lies_and_what_is_left_out_is_told(
    tokenizer, tmp_path, caplog
):
    caplog.set_level("INFO", "abovo")
    rows = [asked(n, input="") for n in range(60)]
    rows.append({"instruction": "Say nothing", "input": "", "output": ""})
    rows.append({"instruction": "Say much", "input": "", "output": "ships " * 400, "topic": "ships"})
    made = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = {
            "format": "alpaca", "source": {"type": "local", "paths": str(tmp_path / folder / "a.jsonl")},
            "validation_share": 0.2, "max_conversations": None, "sequence_length": 64,
        }  # fmt: skip
        output = tmp_path / folder / "alpaca/small/manifest.json"
        made.append(prepare_instruction(tokenizer, None, build(Instruction, settings), output, world.SCRIPT))
    assert made[0]["outputs"] == made[1]["outputs"] and made[0]["split_by"] == "first request"
    counts = made[0]["counts"]
    assert total(made[0], "conversations") == 60
    assert counts["left_out"] == {"empty message": 1, "first answer ends beyond a row": 1}
    assert counts["sources"]["records"]["unread_keys"] == {"topic": 1}
    assert counts["sources"]["records"]["records"] == 62
    assert "keys of its records that are not read: topic 1" in caplog.text
    assert f"left out: empty message 1 (the first: {tmp_path}/one/a.jsonl, line 61)" in caplog.text
    assert "; left out: empty message 1, first answer ends beyond a row 1 (" in caplog.text
    text = load_tokenizer(tokenizer).decode([i for i in open_bin(made[0], "train")[0].tolist() if i != PAD])
    assert text.startswith("<|im_start|>user\nCount the ships ")


def test_conversations_that_share_words_with_rows_of_tasks_are_left_out_and_counted_by_task(prepare, tmp_path):
    passage = "the old mill by the river number {} ground the corn of seven villages"
    rows = [{"q": passage.format(number)} for number in range(3)] + [{"q": "too short"}]
    (tmp_path / "mills.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = {
        "mills": {"name": "mills", "source": {"type": "local", "paths": str(tmp_path / "mills.jsonl")}},
        "gone": {"name": "gone", "source": {"type": "local", "paths": str(tmp_path / "gone.jsonl")}},
    }
    said = [asked(n) for n in range(20)]
    said += [asked(20, input=passage.format(1).upper() + "!"), asked(21) | {"output": f"So: {passage.format(2)}."}]
    said += [asked(22, input=passage.format(7))]
    made = prepare({"talks": said}, overlap={"tasks": tasks}, settings=InstructionJob, sequence_length=128)
    assert made["counts"]["left_out"] == {"shares 13 words with a row of mills": 2}
    assert total(made, "conversations") == 21
    gone = f"{tmp_path}/gone.jsonl: the file does not exist; mend the source's `paths`"
    assert made["overlap"] == {"ngram": 13, "tasks": {"gone": {"absent": gone}, "mills": {"rows": 4, "too_short": 1}}}
    assert made["absent"] == f"gone: {gone}"


def test_conversations_that_the_template_refuses_are_left_out_and_counted(prepare, caplog):
    caplog.set_level("INFO", "abovo")
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    template = {"name": "strict", "text": strict + world.CHATML.text}
    made = prepare({"talks": [asked(n) for n in range(20)] + [asked(20, system="Be brief")]}, template=template)
    assert made["counts"]["left_out"] == {"refused by template strict": 1} and total(made, "conversations") == 20
    assert "refused by template strict 1 (the first: no system turns in " in caplog.text
