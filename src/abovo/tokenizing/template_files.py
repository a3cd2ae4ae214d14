"""Turn the name of a chat template into its text, that of config/templates/NAME.jinja."""

from pathlib import Path

from abovo.errors import AbovoError
from abovo.settings.names import NAME, SHIPPED, close
from abovo.settings.template import ChatTemplate
from abovo.tokenizing.jinja import check_text

FOLDER = "templates"
# The name of the template that a tokenizer came with, and of the one that is taken where nothing names one.
OWN, DEFAULT = "own", "chatml"
# More than any template has (bytes).
LARGEST = 200_000


def chat_template(name: str, *folders: Path, asked: str = "") -> ChatTemplate:
    """The template of the first folder that has it, or the tokenizer's own; `asked` says who wants it.

    Raises AbovoError for a name that none has, and for a file that is no template.
    """
    if name == OWN:
        return ChatTemplate(name=OWN)
    places = [folder / FOLDER / f"{name}.jinja" for folder in folders]
    path = next((place for place in places if place.is_file()), None) if NAME.fullmatch(name) else None
    if path is None:
        known = sorted({found.stem for folder in folders for found in (folder / FOLDER).glob("*.jinja")})
        raise AbovoError(f"there is no template {name!r} in config/{FOLDER}", asked, close(name, [*known, OWN]))
    data = path.read_bytes()
    if len(data) > LARGEST:
        raise AbovoError(f"has {len(data):,} bytes, more than a template needs", path, f"at most {LARGEST:,}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise AbovoError("is not UTF-8", path, "convert it: iconv -t utf-8") from None
    check_text(text, str(path))
    return ChatTemplate(name=name, text=text)


def default_template(*folders: Path) -> ChatTemplate:
    """ChatML, as the first of the folders has it, or as it is shipped."""
    return chat_template(DEFAULT, *folders, SHIPPED)
