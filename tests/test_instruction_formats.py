"""Records of instruction data sets become the conversations that they mean."""

import pytest

from abovo.corpus.records import Row
from abovo.errors import AbovoError
from abovo.instruction.detect import detect
from abovo.instruction.fields import LOOK, Tally, between
from abovo.instruction.formats import FORMATS, renamed
from abovo.settings.instruction import Conversations


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
    """(first request, conversation) of each that the records hold."""
    tally = Tally() if tally is None else tally
    found = FORMATS[name](rows_of(records), Conversations(format=name, **settings), tally)
    whole = (between(one, tally) for one in found)
    return [(one.requests[0], one.messages) for one in whole if one]


def said(*texts, system=""):
    """The conversation of texts that user and assistant say in turns."""
    roles = ("user", "assistant")
    turns = [{"role": roles[number % 2], "content": text} for number, text in enumerate(texts)]
    return [{"role": "system", "content": system}] * bool(system) + turns


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


def test_roles_are_read_in_any_case():
    assert conversations("oasst", [one | {"role": one["role"].title()} for one in FLAT]) == [("Ask", BEST)]


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
        ("alpaca", [SOUND | {"output": []}], "file, line 1: key 'output' holds list, not text"),
        ("alpaca", [SOUND | {"input": True}], "file, line 1: key 'input' holds bool, not text"),
        ("alpaca", [SOUND | {"input": float("inf")}], "file, line 1: key 'input' holds inf, not text"),
        ("alpaca", [SOUND | {"input": {"a": 1}}], "file, line 1: key 'input' holds dict, not text"),
        ("alpaca", [SOUND | {"system": ["x"]}], "file, line 1: key 'system' holds list, not text"),
        ("alpaca", [SOUND | {"history": "a, b"}], "file, line 1: key 'history' holds str, not a list; format alpaca"),
        ("alpaca", [SOUND | {"history": [["a", "b"], ["c"]]}], "line 1: pair 2 of key 'history' is no list of two"),
        ("alpaca", [SOUND | {"history": [["a", {}]]}], "line 1: pair 1 of key 'history' holds dict, not text"),
        ("alpaca", [SOUND | {"input": ["1", "2"]}], "file, line 1: key 'input' holds list, not text"),
        ("oasst", [SOUND], "file, line 1, message tree None: no message_tree_id"),
        ("oasst", [TREE | {"message_tree_id": 3}], "file, line 1, message tree 3: no message_tree_id"),
        ("oasst", [TREE | {"message_id": None}], "file, line 1: key 'message_id' holds null, not text"),
        ("oasst", [TREE, message("y", "x", "assistant", [])], "line 2, message y: key 'text' holds list"),
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
    assert tally.counts() == {"records": 0, "left_out": {}, "unread_keys": {"context": 2, "id": 1}}


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
                "message beside the paths that are taken or after their last answers": 2,
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


def test_every_path_of_a_tree_is_taken_to_its_last_answer():
    found = conversations("oasst", FLAT, paths="all")
    assert [messages[1]["content"] for _, messages in found] == ["Second best", "Best", "Never ranked"]
    assert found[1][1] == BEST and all(key == "Ask" for key, _ in found)
    tally = Tally()
    conversations("oasst", FLAT, tally, paths="all")
    beside = "message beside the paths that are taken or after their last answers"
    assert tally.left_out == {"message that is deleted or answers a deleted one": 1, beside: 1}


def test_a_deep_tree_of_many_paths_needs_no_recursion():
    tree = message("0", None, "assistant", "last")
    for number in range(1, 3001):
        side = [message(f"s{number}", None, "assistant", "side")] if number % 1001 == 0 else []
        tree = message(str(number), None, ("assistant", "prompter")[number % 2], f"{number}", replies=[tree, *side])
    found = conversations("oasst", [{"prompt": message("root", None, "prompter", "Ask", replies=[tree])}], paths="all")
    assert [len(messages) for _, messages in found] == [3002, 2002, 1001]


CHAT = [{"role": "user", "content": "Ask"}, {"role": "assistant", "content": "Best"}]
SHARED = [{"from": "human", "value": "Ask"}, {"from": "gpt", "value": "Best"}]
OTHERS = [{"from": "user", "value": "Ask"}, {"from": "chatgpt", "value": "Best"}]
PARTS = [{"type": "text", "text": "As"}, {"type": "text", "text": "k"}]
PLAIN, LED = said("Ask", "Best"), said("Ask", "Best", system="Be brief")
TOOLS = "uses tools, which no template writes"


@pytest.mark.parametrize(
    ("name", "record", "meant"),
    [
        ("messages", {"messages": CHAT}, PLAIN),
        ("messages", {"messages": [{"role": "developer", "content": "Be brief"}, *CHAT]}, LED),
        ("messages", {"conversations": CHAT}, PLAIN),
        ("messages", {"messages": [{"role": "user", "content": PARTS}, CHAT[1]]}, PLAIN),
        ("sharegpt", {"conversations": SHARED}, PLAIN),
        ("sharegpt", {"system": "Be brief", "conversations": SHARED}, LED),
        ("sharegpt", {"conversations": [{"from": "system", "value": "Be brief"}, *SHARED]}, LED),
        ("sharegpt", {"conversations": OTHERS}, PLAIN),
        ("messages", {"messages": [{"role": one["role"].title(), "content": one["content"]} for one in CHAT]}, PLAIN),
        ("prompt", {"prompt": "Ask", "completion": "Best"}, PLAIN),
        ("prompt", {"prompt": "Ask", "response": "Best"}, PLAIN),
        ("prompt", {"prompt": "", "question": "Ask", "response": None, "answer": "Best"}, PLAIN),
        ("prompt", {"system_prompt": "Be brief", "question": "Ask", "answer": "Best"}, LED),
        ("prompt", {"prompt": CHAT[:1], "completion": CHAT[1:]}, PLAIN),
        ("prompt", {"system": "Be brief", "prompt": CHAT[:1], "completion": CHAT[1:]}, LED),
        ("dolly", {"instruction": "Ask", "context": "", "response": "Best", "category": "qa"}, PLAIN),
        ("dolly", {"instruction": "Ask", "context": "Here", "response": "Best"}, said("Ask\n\nHere", "Best")),
        ("alpaca", {"instruction": "Ask", "output": "Best"}, PLAIN),
    ],
)
def test_each_format_gives_the_conversation_that_is_meant_and_is_found_by_its_records(name, record, meant):
    assert conversations(name, [record]) == [(meant[-2]["content"], meant)]
    found, why = detect(rows_of([record] * 3))
    assert found == name and why.startswith("3 of the first 3 records have ")


def test_first_records_without_messages_leave_the_format_to_the_others():
    empty = [{"messages": []}, {"messages": None}, {"messages": [None]}]
    assert detect(rows_of([*empty, {"messages": CHAT}])) == (
        "messages", "1 of the first 4 records have a list `messages` of role and content"
    )  # fmt: skip
    assert detect(rows_of([{"messages": [{"role": None, "content": "Hm"}]}]))[0] == "messages"
    assert detect(rows_of([{"messages": None, "prompt": "Ask", "completion": None}]))[0] == "prompt"
    with pytest.raises(AbovoError, match=r"file, line 1: the record is of no format that is known \(has: messages\)"):
        detect(rows_of(empty))


def test_trees_are_found_by_their_records():
    assert detect(rows_of(FLAT))[0] == detect(rows_of([{"prompt": FLAT[0]}]))[0] == "oasst"


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([{"text": "Once"}], "file, line 1: the record is of no format that is known (has: text); name the `format`"),
        (
            [{"messages": CHAT}, {"conversations": SHARED}],
            "the first records are of several formats: messages (file, line 1: a list `messages` of role and content)"
            " and sharegpt (file, line 2: ",
        ),
    ],
)
def test_records_of_no_format_or_of_several_are_told_with_what_they_hold(records, says):
    with pytest.raises(AbovoError) as caught:
        detect(rows_of(records))
    assert says in str(caught.value)


def test_columns_of_a_table_are_read_under_the_keys_of_a_format():
    table = [{"frage": "Ask", "antwort": "Best", "id": 1}]
    columns = {"prompt": "frage", "completion": "antwort"}
    (row,) = renamed(rows_of(table), columns, Tally())
    assert row.values == {"prompt": "Ask", "completion": "Best", "id": 1}
    with pytest.raises(AbovoError, match=r"file, line 1: no column 'frage' \(has: text\)"):
        list(renamed(rows_of([{"text": "a"}]), columns, Tally()))


def test_columns_change_places_at_once():
    (row,) = renamed(rows_of([SOUND]), {"instruction": "output", "output": "instruction"}, Tally())
    assert row.values == {"instruction": "b", "output": "a"}


def test_what_stood_under_the_key_that_a_column_takes_is_counted_as_unread():
    tally = Tally()
    records = [SOUND | {"input": "own", "context": "c"}, SOUND | {"input": None, "context": "c"}]
    rows = list(renamed(rows_of(records), {"input": "context"}, tally))
    assert [row.values for row in rows] == [SOUND | {"input": "c"}] * 2
    list(FORMATS["alpaca"](rows, Conversations(), tally))
    assert tally.unread_keys == {"input": 1}


def test_a_column_that_a_later_record_lacks_holds_nothing_there():
    *_, last = renamed(rows_of([{"q": "a"}] * LOOK + [{"input": "own"}]), {"input": "q"}, Tally())
    assert last.values == {}


@pytest.mark.parametrize(
    ("name", "record", "reason"),
    [
        ("messages", {"messages": [*CHAT, {"role": "tool", "content": "3"}]}, TOOLS),
        ("messages", {"messages": [CHAT[0], {"role": "assistant", "content": None, "tool_calls": [{}]}]}, TOOLS),
        ("sharegpt", {"conversations": [*SHARED, {"from": "observation", "value": "3"}]}, TOOLS),
        ("messages", {"messages": [{"role": "critic", "content": "Hm"}, *CHAT]}, "unknown role"),
        ("messages", {"messages": [{"role": None, "content": "Hm"}, *CHAT]}, "unknown role"),
        ("messages", {"messages": [{"role": ["user"], "content": "Hm"}, *CHAT]}, "unknown role"),
        ("messages", {"messages": [*CHAT, {"role": "Tool", "content": "3"}]}, TOOLS),
        ("messages", {"messages": [None, *CHAT]}, "empty message"),
        ("messages", {"messages": None}, "no assistant turn"),
        ("prompt", {"prompt": CHAT[:1], "completion": None}, "no assistant turn"),
        ("messages", {"messages": [CHAT[0] | {"content": [{"type": "x"}]}, CHAT[1]]}, "content that is no text"),
        ("messages", {"messages": CHAT[:1]}, "no assistant turn"),
        ("messages", {"messages": []}, "no assistant turn"),
        ("sharegpt", {"conversations": SHARED[::-1]}, "no assistant turn"),
        ("oasst", TREE | {"role": "critic", "replies": [message("y", None, "assistant", "A")]}, "unknown role"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_left_out_by_reason(name, record, reason):
    tally = Tally()
    assert conversations(name, [record], tally) == []
    assert tally.left_out[reason] == 1 and reason in tally.examples


def test_turns_before_the_first_request_and_after_the_last_answer_are_dropped_and_counted():
    tally = Tally()
    shared = [SHARED[1], *SHARED, SHARED[0]]
    assert conversations("sharegpt", [{"conversations": shared}], tally) == [("Ask", said("Ask", "Best"))]
    assert tally.left_out == {"message before the first request": 1, "message after the last answer": 1}


def test_keys_of_messages_and_of_records_that_are_not_read_are_counted():
    tally = Tally()
    record = {"messages": [CHAT[0] | {"name": "Ann"}, CHAT[1]], "tools": [], "id": 3}
    conversations("messages", [record] * 2, tally)
    assert tally.unread_keys == {"id": 2, "tools": 2, "messages.name": 2}


@pytest.mark.parametrize(
    ("name", "record", "says"),
    [
        ("messages", {"text": "a"}, "line 1: key 'messages' is missing (has: text); format messages"),
        ("messages", {"messages": "a"}, "file, line 1: key 'messages' holds str, not a list of messages"),
        ("messages", {"messages": ["a"]}, "file, line 1, message 1: is str, not an object"),
        ("messages", {"messages": [{"content": "a"}]}, "line 1, message 1: key 'role' is missing (has: content)"),
        ("messages", {"messages": [{"role": "user"}]}, "line 1, message 1: key 'content' is missing (has: role)"),
        ("messages", {"messages": [{"role": "user", "content": {"a": 1}}]}, "message 1: its content holds dict"),
        ("prompt", {"prompt": "a"}, "line 1: key 'completion' is missing (has: prompt); format prompt needs"),
        ("prompt", {"prompt": CHAT[:1], "completion": "a"}, "one of prompt and completion is a list, the other is not"),
        ("dolly", {"instruction": "a"}, "file, line 1: key 'response' is missing (has: instruction)"),
        ("dolly", {"instruction": "a", "response": []}, "file, line 1: key 'response' holds list, not text"),
    ],
)  # fmt: skip
def test_a_record_that_fits_no_chat_is_named_with_its_place_and_key(name, record, says):
    with pytest.raises(AbovoError) as caught:
        conversations(name, [record])
    assert says in str(caught.value)
