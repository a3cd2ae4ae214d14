"""Turn a conversation into ids that fit a row: whole, or of a longer one its leading turns, or pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from abovo.errors import AbovoError
from abovo.instruction.fields import Found, Messages
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.templates import Encoded, Template

TOO_LONG = "first answer ends beyond a row"
LONG_TURN = "request and answer longer than a row"


@dataclass(frozen=True)
class Fitted:
    """The ids and masks of what fits, and of a longer conversation whether turns are missing (`shortened`) or it was
    `parted`; `left_out` are the reasons for what does not fit."""

    pieces: Sequence[Encoded]
    shortened: bool = False
    parted: bool = False
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class Fitter:
    """How conversations become rows of `length` ids; `too_long` is lead, split or refuse."""

    template: Template
    tokenizer: Tokenizer
    length: int
    too_long: str

    def fit(self, found: Found) -> Fitted:
        """Raises AbovoError naming the record where `refuse` meets a conversation longer than a row."""
        whole = self.template.encode(found.messages, self.tokenizer)
        if len(whole[0]) <= self.length:
            return Fitted([whole])
        if self.too_long == "refuse":
            what = f"the conversation has {len(whole[0]):,} tokens, a row {self.length:,}"
            raise AbovoError(what, found.where, "raise sequence_length, or set `too_long` to lead or split")
        if self.too_long == "split":
            return self._split(found.messages)
        leading, kept = self.template.encode_leading(found.messages, self.tokenizer, self.length)
        return Fitted([leading], shortened=True) if kept else Fitted([], left_out=[TOO_LONG])

    def _split(self, messages: Messages) -> Fitted:
        """As few pieces as turns allow, one after the other; requests and answers that fit no row are left out."""
        system, turns = _turns(messages)
        pieces: list[Encoded] = []
        left_out: list[str] = []
        open_piece: Messages = []
        encoded: Encoded = ([], [])
        for turn in turns:
            longer = self.template.encode([*system, *open_piece, *turn], self.tokenizer)
            if len(longer[0]) > self.length and open_piece:
                pieces.append(encoded)
                open_piece, longer = [], self.template.encode([*system, *turn], self.tokenizer)
            if len(longer[0]) > self.length:
                left_out.append(LONG_TURN)
                continue
            open_piece, encoded = [*open_piece, *turn], longer
        pieces += [encoded] if open_piece else []
        return Fitted(pieces, shortened=bool(left_out) and bool(pieces), parted=len(pieces) > 1, left_out=left_out)


def _turns(messages: Sequence[Mapping[str, str]]) -> tuple[Messages, list[Messages]]:
    """The system messages before the first request, and each request with all up to the next one that follows an
    answer."""
    begin = next((number for number, one in enumerate(messages) if one["role"] != "system"), len(messages))
    turns: list[Messages] = []
    answered = True
    for one in messages[begin:]:
        if answered and one["role"] == "user":
            turns.append([])
        turns[-1].append(dict(one))
        answered = one["role"] == "assistant"
    return [dict(one) for one in messages[:begin]], turns
