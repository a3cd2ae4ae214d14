"""Turn the manifest of an instruction set into a page that the report shows.

python workflow/scripts/show_instruction.py --title "Instruction set speech-facts" \\
    --instruction results/instruction/speech-facts/nano-4k/manifest.json \\
    --output results/report/instruction/speech-facts/nano-4k/set.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--title", required=True, help="title of the page")
    parser.add_argument("--instruction", type=Path, required=True, help="manifest of the instruction set")
    parser.add_argument("--output", type=Path, required=True, help="manifest of set.html, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.reporting.draw import page_of_instruction

    page_of_instruction(options.instruction, options.title, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
