"""Read a manifest and verify the files that it speaks for.

A manifest is a small JSON file beside an artifact. Its `digest` is the artifact's identity: the sha256 of everything in
it but `created_by` and `measured` (by clocks), so that other code which makes equal bytes, or a busier machine, makes
an equal artifact.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.files import read_json
from abovo.provenance.hashing import sha256_file, sha256_json
from abovo.provenance.leavings import passed_over

OUTSIDE_DIGEST = ("created_by", "digest", "measured")


@dataclass(frozen=True)
class Manifest:
    """A manifest on disk; its file names are relative to its own folder."""

    path: Path
    data: dict[str, Any]

    @property
    def digest(self) -> str:
        return self.data["digest"]

    def __getitem__(self, key: str) -> Any:
        try:
            return self.data[key]
        except KeyError:
            raise AbovoError(f"key {key!r} is missing", self.path, "remove the file and make it again") from None

    @property
    def record(self) -> dict[str, Any]:
        """What is told beside the manifest of how it was made: machine, time, memory; nothing where that is gone."""
        return read_json(self.record_path) if self.record_path.is_file() else {}

    @property
    def record_path(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.record.json")

    def names(self, prefix: str = "") -> list[str]:
        """The names of the output files that start with `prefix`, sorted."""
        return sorted(name for name in self["outputs"] if name.startswith(prefix))

    def file(self, name: str) -> Path:
        """The path of one output file after its size and sha256 were found to be those of the manifest."""
        expected = self["outputs"].get(name)
        path = (self.path if self.path.is_dir() else self.path.parent) / name
        mend = f"remove {self.path} and make it again"
        if expected is None:
            raise AbovoError(f"does not list {name}", self.path, mend)
        if not path.is_file():
            raise AbovoError(f"the file is missing, {self.path} lists it", path, mend)
        if path.stat().st_size != expected["bytes"] or sha256_file(path) != expected["sha256"]:
            raise AbovoError(f"its bytes are not those that {self.path} lists", path, mend)
        return path

    def verify(self, prefix: str = "") -> None:
        """Fail unless every output file whose name starts with `prefix` has the bytes that the manifest lists."""
        for name in self.names(prefix):
            self.file(name)

    def require_tokenizer(self, sha256: str | None) -> None:
        """Fail unless the artifact was made with the tokenizer whose spm.model has this sha256; null never passes."""
        own = self.data.get("tokenizer_sha256")
        if not own or not sha256 or own != sha256:
            what = f"made with tokenizer {str(own)[:12]}, but the tokenizer in use is {str(sha256)[:12]}"
            raise AbovoError(what, self.path, "remove it and make it again with this tokenizer")


def describe_folder(folder: Path) -> Manifest:
    """What a manifest would say of a folder that came from elsewhere and has none: its files, and a digest of them.

    What a file manager leaves in it does not belong to it.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not passed_over(path.name))
    if not files:
        raise AbovoError("holds no file", folder, "name a folder that does")
    outputs = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in files
    }
    return Manifest(folder, {"outputs": outputs, "digest": sha256_json(outputs)})


def digest_of(data: dict[str, Any]) -> str:
    return sha256_json({key: value for key, value in data.items() if key not in OUTSIDE_DIGEST})


def read_manifest(path: Path, schema: str | None = None) -> Manifest:
    """Read a manifest; `schema` is the start of the schema name that the caller expects, such as abovo/packed/,
    with its version where no other one can be read."""
    data = read_json(path)
    if not isinstance(data, dict) or "digest" not in data:
        raise AbovoError("not a manifest", path, "remove it and make it again")
    if not all(isinstance(entry, dict) for entry in data.get("inputs", {}).values()):
        raise AbovoError("written by an earlier version, which named no roles", path, "remove it and make it again")
    if data["digest"] != digest_of(data):
        raise AbovoError("the manifest was altered after it was written", path, "remove it and make it again")
    found = str(data.get("schema", ""))
    if schema and not found.startswith(schema):
        if found.startswith(f"{schema.rpartition('/')[0]}/"):
            what = f"was written by another version of abovo ({found}, this one reads {schema})"
            raise AbovoError(what, path, "remove it and make it again")
        raise AbovoError(f"is a {data.get('schema')} manifest, expected {schema}", path, "check the path")
    return Manifest(path, data)
