"""What is measured: for each metric its form, its direction, and what it means."""

import math
from dataclasses import dataclass
from typing import Literal

from abovo.errors import AbovoError
from abovo.evaluation.statistics import Interval, Scores, proportion_interval, ratio_interval

# Exponents beyond this are no number; and what is said of an interval that ends there.
HIGHEST = 700.0
CAPPED = ", capped at e^700"


@dataclass(frozen=True)
class Measure:
    """One metric: how its value comes from sums over items, which way is better, and what it is called."""

    form: Literal["ratio", "proportion"]
    """A ratio of sums over items of unequal size, or a share of items."""
    better: Literal["lower", "higher"] | None
    label: str
    meaning: str
    exponent: bool = False
    """Whether the value is e to the ratio."""
    whole: str | None = None
    """What the sums are divided by, where that is not the number of items."""
    headline: bool = False
    """Whether it is worth a line where there is room for few."""

    def value(self, scores: Scores) -> float:
        return math.exp(min(scores.value, HIGHEST)) if self.exponent else scores.value

    def interval(self, scores: Scores) -> tuple[Interval | None, str]:
        """The 95 % interval of the value, and how it was made."""
        if self.form == "proportion":
            return proportion_interval(scores)
        interval, how = ratio_interval(scores)
        if interval is None:
            return None, how
        low, high = interval
        low = max(0.0, low)  # what is summed is never negative
        if not self.exponent:
            return (low, high), how
        how += CAPPED if high > HIGHEST else ""
        return (math.exp(min(low, HIGHEST)), math.exp(min(high, HIGHEST))), how


def _perplexity(of: str, compares: str, *, headline: bool = False) -> Measure:
    meaning = f"e to the mean nats that the model needs for a {of}; {compares}; lower is better"
    return Measure("ratio", "lower", f"{of} perplexity", meaning, exponent=True, whole=f"{of}s", headline=headline)


MEASURES = {
    "bits_per_byte": Measure(
        "ratio", "lower", "bits per byte",
        "bits that the model needs for a byte of text, whatever its tokenizer; lower is better",
        whole="bytes", headline=True,
    ),
    "token_perplexity": _perplexity("token", "compares models of one tokenizer alone", headline=True),
    "word_perplexity": _perplexity(
        "word", "words as the protocol counts them; compares models of any tokenizer, and with papers that count so"
    ),
    "byte_perplexity": _perplexity("byte", "2 to the bits per byte"),
    "validation_loss": Measure(
        "ratio", "lower", "validation loss",
        "mean loss of a token in nats, as the trainer validates; lower is better", whole="targets",
    ),
    "probability_at_ends": Measure(
        "ratio", "higher", "probability of the end",
        "mean probability of EOS where a document ends; higher is better, with a low one elsewhere", whole="targets",
        headline=True,
    ),
    "probability_elsewhere": Measure(
        "ratio", None, "probability of the end elsewhere",
        "mean probability of EOS where a document goes on; of a model of text about one over the tokens of a document",
        whole="targets",
    ),
    "accuracy": Measure(
        "proportion", "higher", "accuracy",
        "share of items whose right option is the likeliest to the model, or whose last word it would write; of pairs,"
        " equally likely ones count half; higher is better", headline=True,
    ),
    "accuracy_per_character": Measure(
        "proportion", "higher", "accuracy per character",
        "accuracy where options are compared by their likelihood per character, which lm-eval calls acc_norm; higher is"
        " better",
    ),
    "accuracy_per_byte": Measure(
        "proportion", "higher", "accuracy per byte",
        "accuracy where options are compared by their likelihood per byte of UTF-8; higher is better",
    ),
    "exact_match": Measure(
        "proportion", "higher", "exact match",
        "share of prompts to which the model writes the answer and nothing else; higher is better", headline=True,
    ),
    "offered": Measure(
        "proportion", "higher", "answers as offered",
        "share of prompts to which the model writes one of the answers that the question offers and nothing else,"
        " rightly or not; form, not quality; higher is better", headline=True,
    ),
    "answer_perplexity": Measure(
        "ratio", "lower", "answer perplexity",
        "e to the mean nats that the model needs for a token of what the assistant says, ends of turns included;"
        " compares models of one tokenizer alone; lower is better", exponent=True, whole="tokens", headline=True,
    ),
    "ends_its_turn": Measure(
        "proportion", "higher", "ends its turn",
        "share of answers that the model ends by itself, within the tokens that the protocol allows; form, not"
        " quality; higher is better", headline=True,
    ),
    "stays_in_role": Measure(
        "proportion", "higher", "stays in role",
        "share of answers without a marker of the chat template inside, with which the model would begin another"
        " turn; form, not quality; higher is better",
    ),
    "yes_rate": Measure(
        "proportion", None, "answers yes",
        "share of questions that the model answers with yes, rightly or not; near 0 or 1 it says the same to all of"
        " them, and its accuracy says nothing", headline=True,
    ),
    "second_option_rate": Measure(
        "proportion", None, "second option",
        "share of questions for which the model takes the second of two options, rightly or not",
    ),
}  # fmt: skip


def measure_of(name: str) -> Measure:
    """The measure at the end of a metric's name, such as yesno.accuracy."""
    kind = name.rpartition(".")[2]
    if kind not in MEASURES:
        mend = f"known are {', '.join(MEASURES)}"
        raise AbovoError("no metric ends so", f"metric {name}", mend)
    return MEASURES[kind]
