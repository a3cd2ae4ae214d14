"""Say of one document whether it passes a filter, by its figures and the thresholds of its corpus."""

import unicodedata
from collections import Counter

from abovo.corpus.language import is_language
from abovo.corpus.traits import Figures
from abovo.settings.thresholds import Thresholds


def language(document: Figures, limits: Thresholds) -> bool:
    return is_language(document.text, document.language, limits.language_score)


def words(document: Figures, limits: Thresholds) -> bool:
    return limits.min_words <= document.words <= limits.max_words


def word_length(document: Figures, limits: Thresholds) -> bool:
    return limits.min_mean_word_length <= document.mean_word_length <= limits.max_mean_word_length


def alphabetic(document: Figures, limits: Thresholds) -> bool:
    return document.alphabetic_words >= limits.min_alphabetic_words


_FEW = 64
_NO_LETTERS = bytes(byte for byte in range(128) if not (chr(byte).isalpha() or chr(byte).isspace()))


def letters(document: Figures, limits: Thresholds) -> bool:
    return letters_in(document.text) >= limits.min_letters * len(document.text)


def letters_in(text: str) -> int:
    """How many characters are letters, the marks upon them, or blanks."""
    kept = text.encode().translate(None, _NO_LETTERS)
    number = len(kept)
    if not text.isascii():
        letters = kept.decode()
        strange = [sign for sign in set(letters) if unicodedata.category(sign)[0] not in "LMZ" and not sign.isspace()]
        # Counting one character after the other is faster where there are few, as nearly everywhere.
        counted = letters.count if len(strange) <= _FEW else Counter(letters).__getitem__
        number = len(letters) - sum(map(counted, strange))
    return number


def unique_words(document: Figures, limits: Thresholds) -> bool:
    return document.unique_words >= limits.min_unique_words


def symbols(document: Figures, limits: Thresholds) -> bool:
    text = document.text
    found = text.count("#") + text.count("...") + text.count("\u2026")
    return found <= limits.max_symbols * document.words


_STOP_WORDS = tuple(f" {word} " for word in ("the", "be", "to", "of", "and", "that", "have", "with"))


def stop_words(document: Figures, limits: Thresholds) -> bool:
    """English prose has at least some of the eight words; other languages are not asked."""
    if not document.language.startswith("en"):
        return True
    wanted = limits.min_stop_words
    for word in _STOP_WORDS:
        if wanted <= 0:
            break
        wanted -= word in document.text
    return wanted <= 0


_BULLETS = ("•", "-", "*", "‣", "◦", "·", "–")


def line_marks(document: Figures, limits: Thresholds) -> bool:
    text = document.text
    bullets = ellipses = 0
    # Most texts show at a glance that no line begins or ends with a mark.
    if text.startswith((*_BULLETS, " ")) or "\n " in text or any(f"\n{bullet}" in text for bullet in _BULLETS):
        bullets = sum(line.lstrip().startswith(_BULLETS) for line in _lines(text))
    if "..." in text or "…" in text:
        ellipses = sum(line.endswith(("...", "…")) for line in _lines(text))
    number = len(_lines(text)) if bullets or ellipses else 0
    return bullets <= limits.max_bullet_lines * number and ellipses <= limits.max_ellipsis_lines * number


def _lines(text: str) -> list[str]:
    """The lines that hold something; cleaning has left no blanks alone on one."""
    return list(filter(None, text.split("\n")))


def repeated_lines(document: Figures, limits: Thresholds) -> bool:
    """Equal lines, and equal paragraphs, as share of their number and of the text."""
    text = document.text
    if "\n" not in text:
        return True
    for parts, name in ((_lines(text), "lines"), (text.split("\n\n") if "\n\n" in text else [], "paragraphs")):
        again = len(parts) - len(set(parts))
        if again > getattr(limits, f"max_repeated_{name}") * len(parts):
            return False
        if again:
            characters = sum(map(len, parts)) - sum(map(len, set(parts)))
            if characters > getattr(limits, f"max_repeated_{name}_text") * len(text):
                return False
    return True


def repeated_words(document: Figures, limits: Thresholds) -> bool:
    return not document.repeats_words


def line_length(document: Figures, limits: Thresholds) -> bool:
    """Mean and largest length of a line: minified code, and data within code, have long ones."""
    text = document.text
    if len(text) > limits.max_mean_line * (text.count("\n") + (not text.endswith("\n"))):
        return False
    return len(text) <= limits.max_line or max(map(len, text.split("\n"))) <= limits.max_line


def alphanumeric(document: Figures, limits: Thresholds) -> bool:
    """Letters and digits as share of all characters; blanks count as characters, too."""
    text = document.text
    if text.isascii():
        return len(text.encode().translate(None, _NO_LETTERS_OR_DIGITS)) >= limits.min_alphanumeric * len(text)
    found = sum(number for sign, number in Counter(text).items() if sign.isalnum())
    return found >= limits.min_alphanumeric * len(text)


_NO_LETTERS_OR_DIGITS = bytes(byte for byte in range(128) if not chr(byte).isalnum())
# What generators of code write at the head of it.
_HEAD = 5
_GENERATED = ("auto-generated", "autogenerated", "automatically generated", "generated by", "do not edit")


def generated(document: Figures, limits: Thresholds) -> bool:
    """No word of a generator in the first lines."""
    head = "\n".join(document.text[:4096].split("\n", _HEAD)[:_HEAD]).lower()
    return not any(words in head for words in _GENERATED)
