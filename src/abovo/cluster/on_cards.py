"""Turn a command into one that has GPUs of its own: wait for free ones, hide all others, and become it.

python -m abovo.cluster.on_cards 2 torchrun --standalone --nproc-per-node 2 -- SCRIPT ...
"""

import logging
import os
import sys
from collections.abc import Sequence

from abovo.cluster.cards import keep_over_exec, take_cards
from abovo.errors import AbovoError


def main(words: Sequence[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    number, *command = words or ("",)
    if not number.isdigit() or not command:
        sys.exit("error: wants a number of GPUs and a command: python -m abovo.cluster.on_cards 2 torchrun ...")
    try:
        take_cards(int(number), work_of(command))
        keep_over_exec()
        os.execvp(command[0], command)
    except AbovoError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {command[0]} cannot be started ({error.strerror})")


def work_of(command: Sequence[str]) -> str:
    """What others are told of a command: the artifact that it makes, where it names one."""
    words = list(command)
    return words[words.index("--output") + 1] if "--output" in words[:-1] else words[0]


if __name__ == "__main__":
    main(sys.argv[1:])
