"""Records of instruction data sets become the conversations that they mean."""

import json

import pytest
import small_world as world

from abovo.corpus.records import Row
from abovo.errors import AbovoError
from abovo.instruction.prepare import FORMATS, prepare_instruction
from abovo.packing.bins import open_bin
from abovo.settings.instruction import Instruction
from abovo.settings.keys import build
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.special import PAD


def message(name, parent, role, text, **more):
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


def conversations(name, records, **settings):
    return list(FORMATS[name](rows_of(records), Instruction(format=name, sequence_length=64, **settings)))


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
        ("alpaca", [SOUND | {"input": 0}], "file, line 1: key 'input' holds int, not text"),
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


def test_a_missing_input_is_no_input():
    for record in (SOUND, SOUND | {"input": None}, SOUND | {"input": ""}):
        assert conversations("alpaca", [record])[0][0] == "a"


def test_long_conversations_are_shortened_at_an_answer_and_counted(tmp_path):
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
    text = load_tokenizer(path).decode([i for i in open_bin(made, "train")[0].tolist() if i != PAD])
    assert "One ship<|im_end|>" in text and "More" not in text


def test_rows_of_local_records_do_not_depend_on_where_the_file_lies(tmp_path):
    corpus = world.make_corpus(tmp_path)
    path = world.make_tokenizer(tmp_path, corpus)
    rows = [{"instruction": f"Count the ships {n}", "input": "", "output": f"There are {n}."} for n in range(60)]
    rows.append({"instruction": "Say nothing", "input": "", "output": ""})
    rows.append({"instruction": "Say much", "input": "", "output": "ships " * 400})
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
    text = load_tokenizer(path).decode([i for i in open_bin(made[0], "train")[0].tolist() if i != PAD])
    assert text.startswith("<|im_start|>user\nCount the ships ")
