"""Turn lines that a person types, or that a pipe brings, into a conversation with a model, shown as it is written."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

import torch

from abovo.errors import AbovoError
from abovo.provenance.files import atomic_path
from abovo.serving.model import ChatModel, Message
from abovo.serving.sampling import Sampling
from abovo.settings.keys import build
from abovo.settings.strict_yaml import read_value

HELP = """\
  /reset            forget what was said
  /system TEXT      what the model is told first; forgets what was said
  /set NAME VALUE   {names}; without a value as the model has it
  /save FILE        write what was said to FILE, a line of JSON that fine-tuning reads
  /help, /quit      these lines; leave (Ctrl-D does too). Ctrl-C ends an answer
  A line that ends with \\ goes on in the next one."""
CONTINUES = "The model has no chat template: it continues what you type; an empty line goes on with what it wrote."
# Share of the context that is kept free for an answer when older turns are left out.
ROOM = 4


class Chat:
    """A conversation; what the model says goes to `out`, all else to `notes`."""

    def __init__(self, model: ChatModel, wishes: Sampling, system: str, out: TextIO, notes: TextIO) -> None:
        self.model, self.wishes, self.system, self.out, self.notes = model, wishes, system, out, notes
        self.failed = False
        self.reset()

    def reset(self) -> None:
        """Begin anew: nothing was said, and random numbers start from the seed again."""
        self.messages: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        self.text = ""
        seed = self.wishes.seed
        self.generator = torch.Generator()
        self.generator.manual_seed(seed) if seed is not None else self.generator.seed()

    def take(self, line: str) -> bool:
        """Answer a line, or do what it commands; the result is whether another one is wanted."""
        try:
            if line.startswith("/"):
                name, _, rest = line.partition(" ")
                return self.command(name, rest)
            self.answer(line) if self.model.chats else self.go_on(line)
        except AbovoError as error:
            self.failed = True
            self.note(f"error: {error}")
        return True

    def answer(self, line: str) -> None:
        if not line.strip():
            return
        said: list[Message] = [*self.messages, {"role": "user", "content": line}]
        room = min(self.wishes.max_tokens or self.model.context, self.model.context // ROOM)
        ids, kept = self.model.fitting(said, room)
        if len(kept) < len(said):
            self.note(f"({len(said) - len(kept)} older messages no longer fit into the context and are left out)")
        text = self.say(ids)
        self.messages = [*kept, {"role": "assistant", "content": text}]

    def go_on(self, line: str) -> None:
        self.text = line or self.text
        ids = self.model.read(self.text)[-(self.model.context - self.model.context // ROOM) :]
        self.text += self.say(ids)

    def say(self, ids: Sequence[int]) -> str:
        """What the model writes after `ids`, as far as Ctrl-C lets it."""
        said: list[str] = []

        def show(text: str) -> bool:
            said.append(text)
            self.out.write(text)
            self.out.flush()
            return True

        try:
            answer = self.model.write(ids, self.wishes, show, generator=self.generator)
        except KeyboardInterrupt:
            ending = "(stopped)"
        else:
            ending = "(the longest answer is reached)" if answer.finish == "length" else ""
        self.out.write("\n")
        self.out.flush()
        if ending:
            self.note(ending)
        return "".join(said)

    def command(self, name: str, rest: str) -> bool:
        rest = rest.strip()
        match name:
            case "/quit" | "/exit":
                return False
            case "/help":
                self.note(HELP.format(names=", ".join(one.name for one in fields(Sampling))))
            case "/reset":
                self.reset()
                self.note("(nothing was said)")
            case "/system":
                if not self.model.chats:
                    raise AbovoError("is told nothing first: it continues texts", self.model.name)
                self.system = rest
                self.reset()
            case "/set":
                self.set(*rest.split(maxsplit=1))
            case "/save":
                self.save(rest)
            case _:
                raise AbovoError(
                    f"there is no command {name}", "", "/help lists them; put a blank before a / to say it"
                )
        return True

    def set(self, name: str = "", value: str = "") -> None:
        names = [one.name for one in fields(Sampling)]
        if name not in names:
            raise AbovoError(f"there is no setting {name!r}", "/set", f"use one of {', '.join(names)}")
        new = {**self.wishes.wishes(), name: read_value(value, f"/set {name}") if value else None}
        self.wishes = build(Sampling, {key: one for key, one in new.items() if one is not None}, "/set")
        if name == "seed":
            self.generator.manual_seed(self.wishes.seed) if self.wishes.seed is not None else self.generator.seed()
        self.note(", ".join(f"{name} {one}" for name, one in self.wishes.over(self.model.defaults).wishes().items()))

    def save(self, rest: str) -> None:
        if not rest:
            raise AbovoError("names no file", "/save", "say /save chat.jsonl")
        path = Path(rest).expanduser()
        if path.exists():
            raise AbovoError("is there already", path, "name another file")
        content = {"messages": self.messages} if self.model.chats else {"text": self.text}
        try:
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise AbovoError(f"cannot be written ({error.strerror})", path, "name another file") from None
        self.note(f"(saved in {path})")

    def note(self, text: str) -> None:
        self.notes.write(text + "\n")
        self.notes.flush()


def talk(model: ChatModel, wishes: Sampling, system: str = "") -> None:
    """Answer the lines of standard input until it ends; a terminal gets a prompt and a line of help, a pipe of which a
    line had no answer the exit status 1."""
    if system and not model.chats:
        raise AbovoError("is told nothing first: it continues texts", model.name, "leave SYSTEM away")
    for stream in (sys.stdin, sys.stdout):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    chat = Chat(model, wishes, system, sys.stdout, sys.stderr)
    person = sys.stdin.isatty()
    if person:
        chat.note(("" if model.chats else f"{CONTINUES}\n") + "/help lists the commands, /quit leaves.")
    for line in lines(_typed("you> " if model.chats else "text> ") if person else _piped()):
        if not chat.take(line):
            break
    if chat.failed and not person:
        sys.exit(1)


def lines(read: Callable[[], str | None]) -> Iterator[str]:
    """Whole inputs: a line, and those after it where it ends with a backslash."""
    begun: list[str] = []
    while (line := read()) is not None:
        if line.endswith("\\"):
            begun.append(line[:-1])
            continue
        yield "\n".join([*begun, line])
        begun = []
    if begun:
        yield "\n".join(begun)


def _typed(prompt: str) -> Callable[[], str | None]:
    import readline  # noqa: F401  (lines can be edited and called back)

    def read() -> str | None:
        try:
            return input(prompt)
        except (EOFError, KeyboardInterrupt):
            print()
            return None

    return read


def _piped() -> Callable[[], str | None]:
    def read() -> str | None:
        line: Any = sys.stdin.readline()
        return line.rstrip("\n") if line else None

    return read
