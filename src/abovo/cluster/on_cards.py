"""Turn a command into one that has GPUs of its own."""

import argparse
import logging
from collections.abc import Sequence

from abovo.cluster.cards import keep_over_exec, take_cards
from abovo.cluster.launched import become, end, word_after
from abovo.errors import AbovoError


def main(arguments: Sequence[str], description: str) -> None:
    """Wait for free GPUs, hide all others, and become the command that follows their number."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gpus", type=int, help="GPUs that it waits for")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what is started then")
    words = parser.parse_args(arguments)
    if words.gpus < 1 or not words.command:
        parser.error("wants a number of GPUs and a command")
    try:
        # others are told of the artifact that it makes, where it names one
        take_cards(words.gpus, word_after("--output", words.command) or words.command[0])
        keep_over_exec()
        become(words.command)
    except AbovoError as error:
        end(error, words.command)
