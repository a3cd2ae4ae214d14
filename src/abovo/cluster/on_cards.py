"""Turn a command into one that has GPUs of its own: wait for free ones, hide all others, and become it.

python -m abovo.cluster.on_cards 2 torchrun --standalone --nproc-per-node 2 -- SCRIPT ...
"""

import logging
import sys
from collections.abc import Sequence

from abovo.cluster.cards import keep_over_exec, take_cards
from abovo.cluster.launched import become, end, word_after
from abovo.errors import AbovoError


def main(words: Sequence[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    number, *command = words or ("",)
    if not number.isdigit() or not command:
        sys.exit("error: wants a number of GPUs and a command: python -m abovo.cluster.on_cards 2 torchrun ...")
    try:
        # others are told of the artifact that it makes, where it names one
        take_cards(int(number), word_after("--output", command) or command[0])
        keep_over_exec()
        become(command)
    except AbovoError as error:
        end(error, command)


if __name__ == "__main__":
    main(sys.argv[1:])
