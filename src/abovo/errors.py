"""The exceptions that scripts turn into a single line for the user."""


class AbovoError(Exception):
    """Something the user can mend: `what` is wrong, `where` (file, key or record), and the `mend`."""

    def __init__(self, what: str, where: object = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, str(where), mend
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f"; {self.mend}" if self.mend else ""
        return " ".join(f"{place}{self.what}{mend}".split())


class Unreachable(AbovoError):
    """Data that are not there or cannot be had now: a missing file, no network, a data set that is not given out."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, as far as it fits into one of our lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
