"""Walk from a manifest to all manifests that stand behind it, by role.

A manifest names each input by its role (`tokenizer`, `packed/nano`) with path and digest. Paths are relative to the
folder in which the work was done; where results/ was moved or copied, whole or in part, they are found beside the
manifest that names them, which knows under which path it was written itself.
"""

from collections.abc import Sequence
from pathlib import Path

from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest, read_manifest


class Chain:
    """The manifests behind others, each read once and found to be the one that was used."""

    def __init__(self) -> None:
        self._read: dict[Path, Manifest] = {}

    def behind(self, manifest: Manifest) -> dict[str, Manifest]:
        """Role -> manifest of each input that has one, in the order of the roles; a plain folder has none.

        Raises AbovoError naming both files where an input is gone, or is not the one that the artifact was made from.
        """
        found = {role: self._follow(manifest, role) for role in sorted(manifest["inputs"])}
        return {role: one for role, one in found.items() if one is not None}

    def input(self, manifest: Manifest, role: str) -> Manifest:
        """The manifest of one input."""
        found = self._follow(manifest, role) if role in manifest["inputs"] else None
        if found is None:
            known = ", ".join(sorted(manifest["inputs"])) or "none"
            raise AbovoError(f"has no input {role!r} (it has {known})", manifest.path, "name another manifest")
        return found

    def all(self, tops: Sequence[Manifest]) -> dict[str, Manifest]:
        """Path as it was written -> every manifest behind `tops`, the tops themselves left out; sorted."""
        found: dict[str, Manifest] = {}
        waiting, seen = list(tops), {one.path.resolve() for one in tops}
        while waiting:
            top = waiting.pop()
            for role, one in self.behind(top).items():
                place = one.path.resolve()
                if place not in seen:
                    seen.add(place)
                    waiting.append(one)
                    found[top["inputs"][role]["path"]] = one
        return dict(sorted(found.items()))

    def _follow(self, manifest: Manifest, role: str) -> Manifest | None:
        entry = manifest["inputs"][role]
        path = place_of(manifest, entry["path"])
        if path.is_dir():
            return None
        mend = f"make both again: snakemake --cores 1 {manifest.path.as_posix()}"
        if not path.is_file():
            raise AbovoError(f"its input {role}, {path}, is gone", manifest.path, mend)
        if path not in self._read:
            self._read[path] = read_manifest(path)
        found = self._read[path]
        if found.digest != entry["digest"]:
            raise AbovoError(f"was made from another state of its input {role}, {path}", manifest.path, mend)
        return found


def place_of(manifest: Manifest, path: str) -> Path:
    """Where an input lies that the manifest calls `path`: as far from the manifest as it was when that was written."""
    written, now = Path(manifest["created_by"]["path"]), manifest.path
    if written == now:
        return Path(path)
    old, new = list(written.parts), list(now.absolute().parts)
    while old and new and old[-1] == new[-1]:
        old.pop(), new.pop()
    inside = Path(path).parts
    return Path(*new, *inside[len(old) :]) if list(inside[: len(old)]) == old else Path(path)
