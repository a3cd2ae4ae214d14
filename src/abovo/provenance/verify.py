"""Turn manifests into one line for each broken link of the chain behind them; nothing is written.

A link is sound where a manifest is as it was written, each of its files has the bytes that it lists, and each of its
inputs is there in the state that it was made from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from abovo.errors import AbovoError
from abovo.provenance.chain import place_of
from abovo.provenance.files import read_json
from abovo.provenance.hashing import sha256_file, sha256_json
from abovo.provenance.manifest import Manifest, describe_folder, read_manifest


@dataclass
class Verified:
    """What was looked at: how many manifests, and the files that they speak for with their size (bytes)."""

    manifests: int = 0
    files: int = 0
    size: int = 0
    _seen: dict[Path, Manifest | None] = field(default_factory=dict)

    def broken(self, tops: Sequence[Path]) -> Iterator[AbovoError]:
        """The broken links of `tops` and of all that stands behind them, each manifest looked at once."""
        waiting = list(tops)
        while waiting:
            path = waiting.pop()
            if path.resolve() in self._seen:
                continue
            try:
                manifest = read_manifest(path)
            except AbovoError as error:
                self._seen[path.resolve()] = None
                yield error
                continue
            self._seen[path.resolve()] = manifest
            self.manifests += 1
            yield from self._files(manifest)
            for role, entry in sorted(manifest.data.get("inputs", {}).items()):
                place = place_of(manifest, entry["path"])
                problem = _problem(place, entry["digest"])
                if problem:
                    yield AbovoError(problem.format(role=role, place=place), path)
                if place.is_file():
                    waiting.append(place)

    def _files(self, manifest: Manifest) -> Iterator[AbovoError]:
        for name, entry in sorted(manifest.data.get("outputs", {}).items()):
            self.files, self.size = self.files + 1, self.size + entry["bytes"]
            try:
                manifest.file(name)
            except AbovoError as error:
                yield error
        try:
            record = manifest.record
        except AbovoError as error:
            yield error
            return
        if not record:
            yield AbovoError(f"the record beside {manifest.path} is gone", manifest.record_path)
        elif record.get("digest") != sha256_json({key: value for key, value in record.items() if key != "digest"}):
            yield AbovoError("the record was altered after it was written", manifest.record_path)
        for name, entry in sorted(record.get("files", {}).items()):
            path = manifest.path.with_name(name)
            if not path.is_file():
                yield AbovoError(f"the file is missing, {manifest.record_path} lists it", path)
            elif sha256_file(path) != entry["sha256"]:
                yield AbovoError(f"its bytes are not those that {manifest.record_path} lists", path)


def _problem(place: Path, digest: str) -> str | None:
    """What is wrong with the input at a place, in words; a manifest that cannot be read is told by itself."""
    if place.is_dir():
        try:
            found = describe_folder(place).digest
        except AbovoError:
            return "its input {role}, {place}, holds no file"
    elif not place.is_file():
        return "its input {role}, {place}, is gone"
    else:
        try:
            found = read_json(place).get("digest")
        except (AbovoError, AttributeError):
            return None
    return None if found == digest else "was made from another state of its input {role}, {place}"
