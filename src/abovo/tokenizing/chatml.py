"""Turn a conversation into ChatML: token ids, and a mask that is 1 on the assistant's words and their <|im_end|>."""

from collections.abc import Mapping, Sequence

from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.special import IM_END, IM_START

ROLES = ("system", "user", "assistant")
START, END = "<|im_start|>", "<|im_end|>"
Conversation = Sequence[Mapping[str, str]]


def problem(conversation: Conversation) -> str | None:
    """Why a conversation cannot be learned from, in a few words; None where it can.

    A marker inside a content would end a message early and put the label mask on words that nobody said.
    """
    if not conversation or conversation[-1].get("role") != "assistant":
        return "does not end with an answer"
    for message in conversation:
        if message.get("role") not in ROLES:
            return "unknown role"
        if not message.get("content", "").strip():
            return "empty message"
        if START in message["content"] or END in message["content"]:
            return "ChatML marker in a message"
    return None


def render(conversation: Conversation, *, answer: bool = False) -> str:
    """The text of a conversation; with `answer`, up to where the assistant is to answer."""
    text = "".join(f"{START}{message['role']}\n{message['content']}{END}\n" for message in conversation)
    return f"{text}{START}assistant\n" if answer else text


def encode(conversation: Conversation, tokenizer: Tokenizer, length: int | None = None) -> tuple[list[int], list[int]]:
    """Ids and mask of one conversation, equal in length; of one longer than `length` those of its leading turns that
    fit, up to an answer, or none.

    The ids are those of the rendered text as a whole: markers and newline are symbols of the vocabulary, no piece
    reaches across them, so encoding part by part changes nothing. The newline after <|im_end|> is not a label: a
    model that has said <|im_end|> is done.
    """
    ids: list[int] = []
    mask: list[int] = []
    answered = 0
    for message in conversation:
        label = int(message["role"] == "assistant")
        head = [IM_START, *tokenizer.encode(f"{message['role']}\n")]
        said = [*tokenizer.encode(message["content"]), IM_END]
        tail = tokenizer.encode("\n")
        ids += head + said + tail
        mask += [0] * len(head) + [label] * len(said) + [0] * len(tail)
        if length is not None and len(ids) > length:
            return ids[:answered], mask[:answered]
        if label:
            answered = len(ids)
    return ids, mask
