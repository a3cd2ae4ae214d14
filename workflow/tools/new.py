"""Write the files of a run of your own, made of those of another run, with their comments.

    python workflow/tools/new.py --run mine --from nano
    python workflow/tools/new.py --run mine --from nano --text texts --chats chats.jsonl

Copied is what says which text, chats and tasks are used; shapes, recipes and engine stay those of the other run,
by name. Nothing is written where one of the files is there already.
"""

import argparse
import logging
from pathlib import Path

from abovo.console.launch import run, script_parser

log = logging.getLogger("abovo")


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the new run")
    parser.add_argument("--from", dest="like", default="nano", help="run that it is made of (default: nano)")
    parser.add_argument("--text", help="file or folder of text that it is pretrained on")
    parser.add_argument("--chats", help="file or folder of conversations that it is fine-tuned on")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.config.new_run import write_new_run
    from abovo.config.runs import Configuration
    from abovo.settings.names import SHIPPED

    configuration = Configuration(Path("config"), shipped=SHIPPED)
    written = write_new_run(configuration, options.run, options.like, options.text or None, options.chats or None)
    stage = Configuration(Path("config"), shipped=SHIPPED).stages(options.run)[-1]
    target = f"results/{stage}/{options.run}/results.json"
    log.info("%s\n\nWhat it will do, and then do it:\n", "\n".join(str(path) for path in written))
    log.info("  snakemake -n %s\n  snakemake --cores all %s", target, target)


if __name__ == "__main__":
    run(main, arguments())
