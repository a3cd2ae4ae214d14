"""Records of instruction data sets become the conversations that they mean."""

import gzip
import json

import pytest
import small_world as world
import zstandard

from abovo.corpus.rows import open_rows
from abovo.errors import AbovoError
from abovo.instruction.formats import FORMATS
from abovo.instruction.prepare import prepare_instruction
from abovo.packing.bins import open_bin
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
    (_, first), (_, second) = FORMATS["alpaca"](rows, {})
    assert first[0] == {"role": "user", "content": "Translate.\n\nGuten Tag"}
    assert first[1] == {"role": "assistant", "content": "Good day"}
    assert second[0]["content"] == "Greet."


def test_best_path_of_a_message_tree_ends_with_an_answer():
    ((key, messages),) = FORMATS["oasst"](FLAT, {})
    assert (key, messages) == ("Ask", BEST)


def test_nested_and_flat_trees_give_the_same_conversation():
    nodes = {row["message_id"]: {**row, "replies": []} for row in FLAT}
    for row in FLAT[1:]:
        nodes[row["parent_id"]]["replies"].append(nodes[row["message_id"]])
    assert list(FORMATS["oasst"]([{"prompt": nodes["a"]}], {})) == [("Ask", BEST)]
    assert list(FORMATS["oasst"]([nodes["a"]], {})) == [("Ask", BEST)]


def test_prompt_is_never_its_own_response():
    for _, messages in FORMATS["oasst"](FLAT, {}):
        assert [item["role"] for item in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert len({item["content"] for item in messages}) == len(messages)


def test_other_languages_are_left_out():
    assert list(FORMATS["oasst"](FLAT, {"languages": ["fr"]})) == []


def test_record_without_the_formats_keys_is_named():
    with pytest.raises(AbovoError, match="record 1: key 'output' is missing"):
        list(FORMATS["alpaca"]([{"instruction": "a", "output": "b"}, {"instruction": "c"}], {}))
    with pytest.raises(AbovoError, match="message tree None: no message_tree_id"):
        list(FORMATS["oasst"]([{"instruction": "a"}], {}))
    with pytest.raises(AbovoError, match="message x: unknown role 'critic'"):
        list(FORMATS["oasst"]([message("x", None, "critic", "Hm")], {}))
    apart = [FLAT[0], {**FLAT[0], "message_tree_id": "b"}, FLAT[1]]
    with pytest.raises(AbovoError, match="message tree a: its messages do not stand together"):
        list(FORMATS["oasst"](apart, {}))


def test_local_files_of_every_kind_give_the_same_records(tmp_path):
    rows = [{"instruction": f"Do {number}", "output": "Done"} for number in range(5)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(lines))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for path in tmp_path.iterdir():
        assert list(open_rows({"type": "local", "paths": str(path)}).read()) == rows


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("none.jsonl", None, "none.jsonl: the file does not exist"),
        ("a.csv", "x", "no reader for this kind of file"),
        ("a.jsonl", '{"a": 1}\n{', "a.jsonl, line 2: not valid JSON"),
        ("a.jsonl", "[1]", "a.jsonl, record 1: not a JSON object"),
        ("a.json", '{"a": 1}', "not a list of records"),
        ("a.jsonl.gz", "no gzip", "a.jsonl.gz: cannot be read"),
    ],
)
def test_unreadable_file_is_named(tmp_path, name, content, error):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(AbovoError, match=error):
        list(open_rows({"type": "local", "paths": str(tmp_path / name)}).read())


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
    made = prepare_instruction(path, None, settings, tmp_path / "trees/small/manifest.json", world.SCRIPT)
    counts = made["counts"]
    assert sum(counts[split]["shortened"] for split in ("train", "val")) == 40
    text = load_tokenizer(path).decode([i for i in open_bin(made, "train")[0].tolist() if i != PAD])
    assert "One ship<|im_end|>" in text and "More" not in text


def test_unknown_source_type_is_named():
    with pytest.raises(AbovoError, match="no source type 'ftp'; use one of local, huggingface"):
        open_rows({"type": "ftp"})


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
        made.append(prepare_instruction(path, None, settings, output, world.SCRIPT))
    assert made[0]["outputs"] == made[1]["outputs"]
    counts = made[0]["counts"]
    assert sum(counts[split]["conversations"] for split in ("train", "val")) == 60
    left_out = [counts[split]["left_out"].get("empty message", 0) for split in ("train", "val")]
    assert sum(left_out) == 1
    assert sum(counts[split]["left_out"].get("first answer ends beyond a row", 0) for split in ("train", "val")) == 1
    text = load_tokenizer(path).decode([i for i in open_bin(made[0], "train")[0].tolist() if i != PAD])
    assert text.startswith("<|im_start|>user\nCount the ships ")
