"""Turn the files of a run into those of a new run: linked by their own names, with the comments that they have.

Copied is what says which text, chats and tasks are used: run, corpora, tokenizer, fine-tuning, instruction sets,
evaluation. Shapes, recipes and engines stay shared by name, since a run may set single values of them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from abovo.config.load import find, load
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.provenance.files import atomic_path
from abovo.settings.keys import references, schema_of
from abovo.settings.names import ALLOWED, NAME
from abovo.settings.run import Run, RunFile
from abovo.settings.strict_yaml import read_value

# The evaluation of a run on text that is nobody's but one's own.
PLAIN = "text"
# Kinds of files that a new run has of its own.
OWN = ("runs", "corpora", "tokenizers", "cpt", "sft", "instruction", "evaluation")
CORPUS = """\
# What the corpus is for (one sentence)
description: Text of {run}
# Budget of the whole corpus (tokens; null takes all that the sources hold)
tokens: null
# Estimate that budgets count with (bytes per token); a small vocabulary makes about 3 bytes of English each
bytes_per_token: 3.0
# Expected share of documents held out (fraction)
validation_share: 0.05
# Shorter documents are refused (characters after cleaning)
min_characters: 150
# Sources by name; of equal documents the one of the source named first stays
sources:
  text:
    # Where the text comes from
    type: local
    # File, folder or list of them: .txt, .md, .jsonl, .csv, .parquet, packed ones too
    paths: {text}
    # Licence of the text; travels to manifests and model cards
    licence: not stated
    # Language of the text (BCP 47 code)
    language: {language}
"""
CHATS = """\
# Where the conversations come from; auto looks at the first records and says what it found
format: auto
# Where the records lie: type huggingface (dataset, config, split, revision) or local (paths)
source:
  # Kind of source (huggingface, local)
  type: local
  # File, folder or list of them
  paths: {chats}
  # Licence that the data set states; it travels into manifests and model cards
  licence: not stated
# Share of conversations held out, by the hash of the first request (fraction, 0 to 0.5)
validation_share: 0.1
# Length of a row (tokens); longer conversations keep the leading turns that fit
sequence_length: {length}
"""


# A file of config/: its kind and its name.
File = tuple[str, str]
# What stands for a key's value in a copy; None takes the key out.
Changes = dict[str, str | None]


def write_new_run(
    configuration: Configuration, run: str, like: str, text: str | None = None, chats: str | None = None
) -> list[Path]:
    """Write the files of `run`, made of those of the run `like`, to the config/ of this call; their paths.

    `text` (file or folder) takes the place of the corpora, `chats` (records) that of the instruction sets; with text
    and no chats the run is not fine-tuned. Of a run that continues a pretraining it is the text that this goes on with,
    and what the base model is made of stays, shared by name. Raises AbovoError, and writes nothing, for a name that is
    none or is taken, for text or chats that are not there, and where the files would make no run.
    """
    if not NAME.fullmatch(run):
        raise AbovoError(f"{run!r} is no name of a run", "RUN", ALLOWED)
    if not isinstance(read_value(run, "RUN"), str):
        raise AbovoError(f"a config file takes {run} for no text", "RUN", "begin the name with a letter, as run-1")
    for name, path in (("TEXT", text), ("CHATS", chats)):
        if path is not None and not Path(path).exists():
            raise AbovoError(f"{path} is not there", name, "name a file or a folder")
    if configuration.given(like) is not None:
        mend = f"copy config/runs/{like}.yaml to config/runs/{run}.yaml and change what it names, or take a run as nano"
        raise AbovoError(f"run {like} is a model that was trained elsewhere, with no files to make anew", "FROM", mend)
    old = configuration.run(like)
    files: dict[File, str] = {}
    changes: dict[File, Changes] = {("runs", like): {"description": f"The run {like} with files of its own"}}
    continued = text is not None and old.cpt is not None
    for stage, recipe in old.tunings.items():
        if not continued and recipe.start is not None and "/" not in recipe.start:
            # a run with a tokenizer of its own cannot go on from another run's model
            changes[stage, getattr(old.parts, stage)] = {"start": None}
    kinds = [kind for kind in OWN if not (continued and kind in ("corpora", "tokenizers"))]
    copy = partial(_copy, configuration.folders, (like, run), kinds, changes, files)
    if text is not None or chats is not None:
        without = "sft." if text is not None and chats is None else None
        changes["runs", like] |= {"set": _of_other_text(configuration, like, without)}
    if text is not None:
        language = _language(configuration, old) if continued else "en"
        files["corpora", run] = CORPUS.format(run=run, text=json.dumps(text, ensure_ascii=False), language=language)
        if continued:
            changes["cpt", str(old.parts.cpt)] = {"corpora": f"{{{run}: 1.0}}"}
        else:
            changes["tokenizers", old.parts.tokenizer] = {"corpus": run}
            changes["runs", like] |= {"corpus": run, "phases": None, "evaluation": f"{run}-{PLAIN}"}
            copy(("evaluation", PLAIN))
        changes["runs", like] |= {} if chats else {"sft": "null"}
    if chats is not None:
        if old.parts.sft is None:
            raise AbovoError(f"run {like} is not fine-tuned", "FROM", "take one that is, such as nano")
        files["instruction", run] = CHATS.format(
            chats=json.dumps(chats, ensure_ascii=False), length=old.sequence_length
        )
        changes.setdefault(("sft", old.parts.sft), {})["datasets"] = f"{{{run}: 1.0}}"
    copy(("runs", like))
    return _written(configuration, run, files)


def _language(configuration: Configuration, old: Run) -> str:
    """The language of the text that a run continues its base model on, which other text in its place is to be in."""
    assert old.cpt is not None
    sources = [one for name in old.cpt.corpora for one in configuration.shared("corpora", name).sources.values()]
    return str(sources[0].language)


def _copy(folders: Sequence[Path], names: tuple[str, str], kinds: Sequence[str], changes: Mapping[File, Changes],
          files: dict[File, str], file: File) -> None:  # fmt: skip
    """Add the copy of a file, and of those of `kinds` that it names, to `files`."""
    kind, new = file[0], _renamed(*file, *names)
    if (kind, new) in files:
        return
    files[kind, new] = ""  # who names it while it is made finds it made
    own = changes.get(file, {})
    content = f"{find(*file, *folders).read_text('utf-8').rstrip()}\n"
    for key, value in own.items():
        content = _with_value(content, key, value)
    renamed: dict[str, dict[str, str]] = {}
    for keys, other, name in references(load(*file, *folders)):
        if other in kinds and keys[0] not in own:
            renamed.setdefault(str(keys[0]), {})[name] = _renamed(other, name, *names)
            _copy(folders, names, kinds, changes, files, (other, name))
    for key, found in renamed.items():
        content = _block(key).sub(partial(_substituted, found), content)
    files[kind, new] = content


def _renamed(kind: str, name: str, like: str, run: str) -> str:
    """nano-4k of nano is mine-4k of mine; a name that has nothing of the old run's has the new one before it."""
    if kind in ("runs", "cpt", "sft"):
        return run
    rest = name.removeprefix(like)
    return run + rest if rest != name and rest[:1] in ("", "-", "_") else f"{run}-{name}"


def _of_other_text(configuration: Configuration, like: str, without: str | None) -> str:
    """The values that a run sets, without beginnings and questions that are about its text, and those that begin with
    `without`."""
    values = load("runs", like, *configuration.folders).set
    kept = {key: value for key, value in values.items() if not key.endswith("samples.prompts")}
    return json.dumps({key: value for key, value in kept.items() if not (without and key.startswith(without))})


def _block(key: str, *, comments: bool = False) -> re.Pattern[str]:
    """The lines of a key at the left of a file, with the comments above it or without."""
    above = r"(?:^#.*\n)*" if comments else ""
    return re.compile(rf"{above}^{re.escape(key)}:.*\n(?:[ \t-].*\n|[ \t]*\n(?=[ \t-]))*", re.MULTILINE)


def _substituted(names: Mapping[str, str], block: re.Match[str]) -> str:
    """The lines of a block with other names in them; comments stay."""
    words = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in names))
    lines = block[0].splitlines(keepends=True)
    return "".join(
        line if line.lstrip().startswith("#") else words.sub(lambda found: names[found[0]], line) for line in lines
    )


def _with_value(content: str, key: str, value: str | None) -> str:
    if value is None:
        return _block(key, comments=True).sub("", content)
    changed, found = _block(key).subn(lambda _: f"{key}: {value}\n", content)
    if found:
        return changed
    return f"{content}# {schema_of(RunFile)['properties'][key]['description']}\n{key}: {value}\n"


def _written(configuration: Configuration, run: str, files: Mapping[File, str]) -> list[Path]:
    """Write the files, all or none, and see that they make a run."""
    paths = {configuration.root / kind / f"{name}.yaml": content for (kind, name), content in files.items()}
    for path in paths:
        if path.exists():
            raise AbovoError("is there already", path, "choose another name, or remove it")
    try:
        for path, content in paths.items():
            with atomic_path(path) as temporary:
                temporary.write_text(content, encoding="utf-8")
        Configuration(configuration.root, shipped=configuration.folders[-1]).run(run)
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    return list(paths)
