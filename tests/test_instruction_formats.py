"""Records of instruction data sets become the conversations that they mean."""

import json

import pytest
import small_world as world

from abovo.corpus.records import Row
from abovo.errors import AbovoError
from abovo.instruction.fields import Tally
from abovo.instruction.formats import FORMATS
from abovo.instruction.prepare import prepare_instruction
from abovo.packing.bins import open_bin
from abovo.settings.instruction import Instruction
from abovo.settings.keys import build
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.special import PAD


def message(name, parent, role, text="Hm", **more):
    return {"message_id": name, "parent_id": parent, "message_tree_id": "a", "role": role, "text": text, **more}


FLAT = [
    message("a", None, "prompter", "Ask", lang="en"),
    message("b", "a", "assistant", "Second best", rank=1, lang="en"),
    message("c", "a", "assistant", "Best", rank=0, lang="en"),
    message("d", "a", "assistant", "Never ranked", rank=None, lang="en"),
    message("e", "c", "prompter", "Ask again", rank=0, lang="en"),
    message("f", "e", "assistant", "Deleted", rank=0, deleted=True, lang="en"),
    message("g", "e", "assistant", "Answer again", rank=1, lang="en"),
    message("h", "g", "prompter", "Thanks", lang="en"),
]


def rows_of(records):
    return [Row(f"file, line {number}", record) for number, record in enumerate(records, 1)]


def conversations(name, records, tally=None, **settings):
    settings = Instruction(format=name, sequence_length=64, **settings)
    return list(FORMATS[name](rows_of(records), settings, Tally() if tally is None else tally))


BEST = [
    {"role": "user", "content": "Ask"},
    {"role": "assistant", "content": "Best"},
    {"role": "user", "content": "Ask again"},
    {"role": "assistant", "content": "Answer again"},
]


def test_alpaca_input_is_never_dropped():
    rows = [
        {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"},
        {"instruction": "Greet.", "input": "", "output": "Hello"},
    ]
    (_, first), (_, second) = conversations("alpaca", rows)
    assert first[0] == {"role": "user", "content": "Translate.\n\nGuten Tag"}
    assert first[1] == {"role": "assistant", "content": "Good day"}
    assert second[0]["content"] == "Greet."


def test_best_path_of_a_message_tree_ends_with_an_answer():
    ((key, messages),) = conversations("oasst", FLAT)
    assert (key, messages) == ("Ask", BEST)


def test_nested_and_flat_trees_give_the_same_conversation():
    nodes = {row["message_id"]: {**row, "replies": []} for row in FLAT}
    for row in FLAT[1:]:
        nodes[row["parent_id"]]["replies"].append(nodes[row["message_id"]])
    assert conversations("oasst", [{"prompt": nodes["a"]}]) == [("Ask", BEST)]
    assert conversations("oasst", [nodes["a"]]) == [("Ask", BEST)]


def test_prompt_is_never_its_own_response():
    for _, messages in conversations("oasst", FLAT):
        assert [item["role"] for item in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert len({item["content"] for item in messages}) == len(messages)


def test_other_languages_are_left_out():
    assert conversations("oasst", FLAT, languages=["fr"]) == []


SOUND = {"instruction": "a", "output": "b"}
TREE = message("x", None, "prompter", "Hm")


@pytest.mark.parametrize(
    ("name", "records", "says"),
    [
        ("alpaca", [SOUND, {"instruction": "c"}], "file, line 2: key 'output' is missing (has: instruction)"),
        ("alpaca", [SOUND | {"output": None}], "file, line 1: key 'output' holds null, not text"),
        ("alpaca", [SOUND | {"output": float("nan")}], "file, line 1: key 'output' holds nan, not text"),
        ("alpaca", [SOUND | {"input": True}], "file, line 1: key 'input' holds bool, not text"),
        ("alpaca", [SOUND | {"input": float("inf")}], "file, line 1: key 'input' holds inf, not text"),
        ("alpaca", [SOUND | {"input": {"a": 1}}], "file, line 1: key 'input' holds dict, not text"),
        ("alpaca", [SOUND | {"system": ["x"]}], "file, line 1: key 'system' holds list, not text"),
        ("alpaca", [SOUND | {"history": "a, b"}], "file, line 1: key 'history' holds str, not a list; format alpaca"),
        ("alpaca", [SOUND | {"history": [["a", "b"], ["c"]]}], "line 1: pair 2 of key 'history' is no list of two"),
        ("alpaca", [SOUND | {"history": [["a", None]]}], "line 1: pair 1 of key 'history' holds null, not text"),
        ("alpaca", [SOUND | {"input": ["1", "2"]}], "file, line 1: key 'input' holds list, not text"),
        ("oasst", [SOUND], "file, line 1, message tree None: no message_tree_id"),
        ("oasst", [TREE | {"message_tree_id": 3}], "file, line 1, message tree 3: no message_tree_id"),
        ("oasst", [TREE | {"message_id": None}], "file, line 1: key 'message_id' holds null, not text"),
        ("oasst", [TREE | {"role": "critic"}], "file, line 1, message x: unknown role 'critic'"),
        ("oasst", [TREE, message("y", "x", "assistant", None)], "line 2, message y: key 'text' holds null"),
        (
            "oasst", [TREE, *(message(name, "x", "assistant", "A", rank="0") for name in "yz")],
            "line 2, message y: key 'rank' holds str, not a number",
        ),
        ("oasst", [TREE, message("y", "x", "assistant", "A", deleted="no")], "y: key 'deleted' holds str, not true"),
        ("oasst", [TREE, message("y", ["x"], "assistant", "A")], "line 2: key 'parent_id' holds list, not text"),
        ("oasst", [{"prompt": "Hm"}], "file, line 1: a message of the tree is no object"),
        ("oasst", [{"prompt": TREE | {"replies": [3]}}], "file, line 1: a message of the tree is no object"),
        (
            "oasst", [FLAT[0], {**FLAT[0], "message_tree_id": "b"}, FLAT[1]],
            "file, line 3, message tree a: its messages do not stand together",
        ),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_its_format_is_named_with_its_place_and_key(name, records, says):
    with pytest.raises(AbovoError) as caught:
        conversations(name, records)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [None, "", float("nan")])
def test_a_missing_input_is_no_input(value):
    for record in (SOUND, SOUND | {"input": value}, SOUND | {"system": value, "history": value}):
        ((key, messages),) = conversations("alpaca", [record])
        assert (key, messages[0]["content"], len(messages)) == ("a", "a", 2)


@pytest.mark.parametrize(("value", "spelled"), [(0, "0"), (21, "21"), (0.5, "0.5")])
def test_numbers_are_taken_as_their_text(value, spelled):
    ((_, messages),) = conversations("alpaca", [{"instruction": "Double it", "input": value, "output": value}])
    assert [one["content"] for one in messages] == [f"Double it\n\n{spelled}", spelled]


def test_earlier_turns_and_a_system_text_are_taken_with_their_record():
    record = SOUND | {"system": "You are a dictionary.", "history": [["Two words: dog, cat", "Ready."]]}
    ((key, messages),) = conversations("alpaca", [record])
    assert key == "Two words: dog, cat"
    assert [(one["role"], one["content"]) for one in messages] == [
        ("system", "You are a dictionary."), ("user", "Two words: dog, cat"), ("assistant", "Ready."),
        ("user", "a"), ("assistant", "b"),
    ]  # fmt: skip


def test_keys_that_are_not_read_are_counted():
    tally = Tally()
    conversations("alpaca", [SOUND | {"context": "x", "id": None}, SOUND | {"context": "y", "id": 2}], tally)
    assert tally.counts() == {"left_out": {}, "unread_keys": {"context": 2, "id": 1}}


def answered(name, **more):
    return [message(name, None, "prompter", f"Ask {name}", **more), message(f"{name}-1", name, "assistant", "Yes")]


@pytest.mark.parametrize(
    ("records", "left_out"),
    [
        (answered("a", deleted=True), {"tree whose root is deleted": 1}),
        (answered("a")[1:], {"tree without a root": 1}),
        (answered("a")[:1], {"tree without an answer": 1}),
        (
            [*answered("a")[:1], message("b", "a", "assistant", "No", deleted=True), message("c", "b", "prompter")],
            {"tree without an answer": 1},
        ),
        ([*answered("a"), message("b", "gone", "assistant", "No")], {"message whose parent is missing": 1}),
        (
            [*answered("a"), message("b", None, "prompter", "Other"), message("c", "b", "assistant", "No")],
            {"message that is a second root of its tree": 1, "message that leads to no root": 1},
        ),
        ([*answered("a"), message("a", None, "prompter", "Other")], {"message whose message_id stood before": 1}),
        (
            [*answered("a"), message("b", "c", "assistant", "No"), message("c", "b", "prompter", "?")],
            {"message that leads to no root": 2},
        ),
        (
            [
                *answered("a"), message("b", "a", "assistant", "No", deleted=True), message("c", "b", "prompter", "?"),
                message("d", "a", "assistant", "No", rank=3), message("e", "d", "prompter", "?"),
            ],
            {
                "message beside the best path or after its last answer": 2,
                "message that is deleted or answers a deleted one": 2,
            },
        ),
    ],
)  # fmt: skip
def test_what_a_tree_leaves_out_is_counted_by_reason(records, left_out):
    tally = Tally()
    found = conversations("oasst", records, tally)
    assert tally.counts()["left_out"] == left_out
    alone = any(reason.startswith("tree") for reason in left_out)
    assert [key for key, _ in found] == ([] if alone else ["Ask a"])


def test_a_rank_of_nan_is_none():
    replies = [message(name, "a", "assistant", name, rank=rank) for name, rank in (("b", float("nan")), ("c", 1.0))]
    ((_, messages),) = conversations("oasst", [FLAT[0], *replies])
    assert messages[1]["content"] == "c"


def test_a_tree_may_be_as_deep_as_json_can_be():
    tree = message("0", None, "assistant", "last")
    for number in range(1, 5001):
        tree = message(str(number), None, ("assistant", "prompter")[number % 2], f"{number}", replies=[tree])
    ((_, messages),) = conversations("oasst", [{"prompt": message("root", None, "prompter", "Ask", replies=[tree])}])
    assert len(messages) == 5002


def test_long_conversations_are_shortened_at_an_answer_and_counted(tmp_path, caplog):
    caplog.set_level("INFO", "abovo")
    path = world.make_tokenizer(tmp_path, world.make_corpus(tmp_path))
    turns = [("prompter", "Count"), ("assistant", "One ship"), ("prompter", "More"), ("assistant", "ships " * 300)]
    with (tmp_path / "trees.jsonl").open("w") as file:
        for tree in range(40):
            for number, (role, text) in enumerate(turns):
                row = message(f"{tree}-{number}", f"{tree}-{number - 1}" if number else None, role, text, lang="en")
                text = f"{text} {tree}" if number == 0 else text
                file.write(json.dumps(row | {"message_tree_id": str(tree), "text": text}) + "\n")
    settings = {
        "format": "oasst", "source": {"type": "local", "paths": str(tmp_path / "trees.jsonl")}, "languages": ["en"],
        "validation_share": 0.3, "max_conversations": None, "sequence_length": 64,
    }  # fmt: skip
    made = prepare_instruction(
        path, None, build(Instruction, settings), tmp_path / "trees/small/manifest.json", world.SCRIPT
    )
    counts = made["counts"]
    assert sum(counts[split]["shortened"] for split in ("train", "val")) == 40
    assert "(40 shortened to the turns that fit); left out: none" in caplog.text
    text = load_tokenizer(path).decode([i for i in open_bin(made, "train")[0].tolist() if i != PAD])
    assert "One ship<|im_end|>" in text and "More" not in text


def test_conversations_beyond_the_limit_are_counted(tmp_path):
    path = world.make_tokenizer(tmp_path, world.make_corpus(tmp_path))
    rows = [{"instruction": f"Count the ships {n}", "output": f"There are {n}."} for n in range(60)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "format": "alpaca", "source": {"type": "local", "paths": str(tmp_path / "a.jsonl")}, "validation_share": 0.3,
        "max_conversations": 5, "sequence_length": 64,
    }  # fmt: skip
    output = tmp_path / "alpaca/small/manifest.json"
    counts = prepare_instruction(path, None, build(Instruction, settings), output, world.SCRIPT)["counts"]
    assert [counts[split]["conversations"] for split in ("train", "val")] == [5, 5]
    assert sum(counts[split]["left_out"]["beyond max_conversations"] for split in ("train", "val")) == 50


def test_rows_of_local_records_do_not_depend_on_where_the_file_lies_and_what_is_left_out_is_told(tmp_path, caplog):
    caplog.set_level("INFO", "abovo")
    corpus = world.make_corpus(tmp_path)
    path = world.make_tokenizer(tmp_path, corpus)
    rows = [{"instruction": f"Count the ships {n}", "input": "", "output": f"There are {n}."} for n in range(60)]
    rows.append({"instruction": "Say nothing", "input": "", "output": ""})
    rows.append({"instruction": "Say much", "input": "", "output": "ships " * 400, "topic": "ships"})
    made = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = {
            "format": "alpaca", "source": {"type": "local", "paths": "a.jsonl"}, "validation_share": 0.2,
            "max_conversations": None, "sequence_length": 64,
        }  # fmt: skip
        settings["source"]["paths"] = str(tmp_path / folder / "a.jsonl")
        output = tmp_path / folder / "alpaca/small/manifest.json"
        made.append(prepare_instruction(path, None, build(Instruction, settings), output, world.SCRIPT))
    assert made[0]["outputs"] == made[1]["outputs"]
    counts = made[0]["counts"]
    assert sum(counts[split]["conversations"] for split in ("train", "val")) == 60
    left_out = [counts[split]["left_out"].get("empty message", 0) for split in ("train", "val")]
    assert sum(left_out) == 1
    assert sum(counts[split]["left_out"].get("first answer ends beyond a row", 0) for split in ("train", "val")) == 1
    assert counts["source"] == {"left_out": {}, "unread_keys": {"topic": 1}}
    assert "keys of its records that are not read: topic 1" in caplog.text
    assert "; left out: empty message 1, first answer ends beyond a row 1 (" in caplog.text
    text = load_tokenizer(path).decode([i for i in open_bin(made[0], "train")[0].tolist() if i != PAD])
    assert text.startswith("<|im_start|>user\nCount the ships ")
