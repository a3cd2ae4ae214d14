"""Talk with a model in the terminal: one line, one answer; a model without a chat template continues texts.

python workflow/tools/chat.py --run nano --stage sft
python workflow/tools/chat.py --model ~/models/any-hugging-face-folder --temperature 0.5 --system "Be brief."
echo "Who spoke?" | python workflow/tools/chat.py --run nano --seed 1
"""

import argparse

from abovo.console.launch import run, script_parser
from abovo.serving.find import add_model_arguments


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument("--system", default="", help="what the model is told before the conversation")
    parser.add_argument("--temperature", type=float, help="0 to 2; 0 takes the likeliest token (default: 0.7)")
    parser.add_argument("--top-p", type=float, help="share of the probability that is drawn from (default: 1)")
    parser.add_argument("--top-k", type=int, help="number of likeliest tokens that are drawn from (default: 0, all)")
    parser.add_argument("--repetition-penalty", type=float, help="above 1: less is said again (default: 1)")
    parser.add_argument("--seed", type=int, help="equal seeds draw equal answers (default: another one each time)")
    parser.add_argument("--max-tokens", type=int, help="longest answer (tokens; default: what the context holds)")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.serving.find import find_model
    from abovo.serving.sampling import Sampling
    from abovo.settings.keys import build

    given = {name: value for name in Sampling.__dataclass_fields__ if (value := getattr(options, name)) is not None}
    wishes = build(Sampling, given, "arguments")
    found = find_model(options.run, options.stage, options.model, options.results)
    # what is wrong with the call is told before torch is there
    from abovo.serving.model import open_chat
    from abovo.serving.terminal import talk

    talk(open_chat(found, options.context, options.precision), wishes, options.system)


if __name__ == "__main__":
    run(main, arguments())
