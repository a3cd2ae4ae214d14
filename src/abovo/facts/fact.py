"""What a document says, as a question and its answer."""

from dataclasses import dataclass

from abovo.corpus.shards import Document

YES, NO = "Yes.", "No."


@dataclass(frozen=True)
class Fact:
    """A question and its answer, and the document that gives it.

    Where the answer stands for a choice among others of its kind, `family` names the kind and `option` the wording
    that can stand in a list of options (an answer of the same family is a wrong option for another document). Where
    the question itself offers its answers, `options` are all of them.
    """

    document: Document
    question: str
    answer: str
    family: str = ""
    option: str = ""
    options: tuple[str, ...] = ()

    @property
    def is_yes_no(self) -> bool:
        return self.answer in (YES, NO)
