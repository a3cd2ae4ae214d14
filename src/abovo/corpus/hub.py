"""Turn a data set of the Hugging Face hub into records, streamed, at a revision that is resolved once and then kept.

The library finds configurations, splits and files, and reads HF_ENDPOINT and HF_TOKEN by itself; neither is ever
logged or stored here. Files are read by ours, piece by piece. No code of a data set is executed.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from abovo.corpus.parquet import parquet_groups
from abovo.corpus.readers import KNOWN, kind_of, read_file
from abovo.corpus.records import Part, Rules
from abovo.corpus.retry import Patience
from abovo.corpus.units import FINE, cut, parts, unit_names
from abovo.errors import AbovoError, Unreachable
from abovo.settings.place import Place

log = logging.getLogger("abovo")
# Errors of the libraries that say of no setting that it is wrong: the same call may go well elsewhere or later.
OUT_OF_REACH = ("GatedRepoError", "RepositoryNotFoundError", "DatasetNotFoundError", "OfflineModeIsEnabled")
# Files that are asked for in one request.
PATHS_AT_ONCE = 200


def open_dataset(place: Place, revision: Mapping[str, Any] | None, rules: Rules):
    """Open a data set; a unit is a file or a run of its row groups.

    `revision` names the commit and the files that were resolved before; with it nothing is asked of the hub before a
    unit is read.
    """
    connection = Connection(place, rules.mend, rules.endings)
    if revision is None or "files" not in revision:
        revision = connection.resolve(revision["sha"] if revision else None)
    files = {item["name"]: item for item in revision["files"]}
    known = dict(revision)

    def read(unit: str, start: int = 0) -> Iterator[Any]:
        name, number, pieces = cut(unit)
        with connection.open(files[name], known["sha"]) as file:
            where = f"{connection.where}, file {name}"
            yield from read_file(file, name, where, rules, Part(number, pieces, start))

    return known, unit_names(known["files"]), read


def _listed(file: Any) -> dict[str, Any]:
    """What is recorded of a file: with its length and the hash of its content the hub cannot change it unnoticed."""
    return {"name": file.path, "bytes": file.size, "etag": file.lfs.sha256 if file.lfs else file.blob_id}


class Connection:
    """A data set and the client that its requests go through; `mend` is for a hub that does not keep to the plan."""

    def __init__(self, place: Place, mend: str, endings: tuple[str, ...] = ()) -> None:
        self.place, self.name, self.mend, self.endings = place, place.dataset or "", mend, endings
        self.where = f"data set {self.name}"
        self.patience = Patience.of(place, self.where)
        self._client: Any = None
        # The footer of the parquet file that was opened last, by its name.
        self.footers: dict[str, Any] = {}

    @property
    def client(self) -> Any:
        """Made at the first request; the hub's library gets clients like it, so that its requests are retried too."""
        if self._client is None:
            import huggingface_hub
            from huggingface_hub.utils import get_session

            from abovo.corpus.remote import PatientClient

            # The library's hooks refuse requests when HF_HUB_OFFLINE is set.
            hooks = get_session().event_hooks

            def make() -> PatientClient:
                return PatientClient(self.patience, huggingface_hub.constants.ENDPOINT, event_hooks=hooks)

            huggingface_hub.set_client_factory(make)
            self._client = make()
        return self._client

    def open(self, file: Mapping[str, Any], sha: str) -> Any:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        from abovo.corpus.remote import Address, HubFile

        url = hf_hub_url(self.name, file["name"], repo_type="dataset", revision=sha)
        address = Address(url, file["name"], file["bytes"], sha, file["etag"], self.mend)
        opened = HubFile(self.client, address, build_hf_headers(), self.footers)
        if kind_of(file["name"])[0] != "parquet":
            opened.expect(0, address.bytes)
        return opened

    def resolve(self, sha: str | None) -> dict[str, Any]:
        """The commit that the settings' branch or tag stands for now, and the files of config and split at it."""
        sha = sha or self.commit()
        with self._clear_errors():
            names = self._files(sha)
            files = self._describe(names, sha)
        parquet = [item for item in files if kind_of(item["name"])[0] == "parquet"]
        if len(parquet) < FINE:
            for item in parquet:
                with self.open(item, sha) as file:
                    item |= parts(parquet_groups(file, f"{self.where}, file {item['name']}"), len(parquet))
        return {"dataset": self.name, "sha": sha, "files": files}

    def commit(self) -> str:
        from huggingface_hub import HfApi

        assert self.client
        with self._clear_errors():
            sha = HfApi().dataset_info(self.name, revision=self.place.revision).sha
        if not sha:
            raise AbovoError("the hub names no commit for it", self.where, "set the source's `revision` to a commit")
        return sha

    def _files(self, sha: str) -> list[str]:
        """The files of config and split, in the data set's own order."""
        import datasets

        datasets.disable_progress_bars()
        # It would tell another server which data set is opened.
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        builder = datasets.load_dataset_builder(
            self.name, self.place.config, data_dir=self.place.data_dir, revision=sha
        )
        splits: Mapping[str, Any] = builder.config.data_files or {}
        split = self.place.split
        if split not in splits:
            known = ", ".join(map(str, splits)) or "none"
            raise AbovoError(f"no split {split!r} (known: {known})", self.where, "set the source's `split`")
        start = f"hf://datasets/{self.name}@{sha}/"
        names = [str(path) for path in splits[split]]
        elsewhere = [name for name in names if not name.startswith(start)]
        if elsewhere:
            raise AbovoError(f"its file {elsewhere[0]} is not in the data set", self.where, "choose another config")
        names = [name.removeprefix(start) for name in names]
        unread = [name for name in names if not kind_of(name, self.endings)[0]]
        if unread:
            what = f"no reader for its file {unread[0]} (known: {KNOWN})"
            raise AbovoError(what, self.where, "set `revision: refs/convert/parquet`, where the hub has that")
        return names

    def _describe(self, names: list[str], sha: str) -> list[dict[str, Any]]:
        from huggingface_hub import HfApi

        found: dict[str, Any] = {}
        for first in range(0, len(names), PATHS_AT_ONCE):
            some = names[first : first + PATHS_AT_ONCE]
            found |= {
                item.path: item for item in HfApi().get_paths_info(self.name, some, repo_type="dataset", revision=sha)
            }
        missing = [name for name in names if name not in found]
        if missing:
            raise AbovoError("the hub does not describe it", f"{self.where}, file {missing[0]}", "start again")
        return [_listed(found[name]) for name in names]

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Turn what the libraries raise into one line; an end of patience comes first, however they wrapped it."""
        try:
            yield
        except Exception as error:
            if self.patience.failure is not None:
                raise self.patience.failure from None
            if isinstance(error, AbovoError):
                raise
            for name, (what, mend) in self._explanations().items():
                if name in {kind.__name__ for kind in type(error).__mro__}:
                    kind = Unreachable if name in OUT_OF_REACH else AbovoError
                    raise kind(what(error), self.where, mend) from None
            what_else = f"cannot be resolved ({type(error).__name__}: {str(error)[:160]})"
            raise AbovoError(what_else, self.where, "check its name, config and split") from None

    def _explanations(self) -> dict[str, tuple[Callable[[Exception], str], str]]:
        """Class of an error of the libraries -> what it means here, and the mend; the first that fits counts."""
        wanted = self.place.revision or "main"
        return {
            "GatedRepoError": (lambda _: "access is restricted", "accept its terms on the hub and set HF_TOKEN"),
            "RevisionNotFoundError": (lambda _: f"no revision {wanted!r}", "set the source's `revision`"),
            "RepositoryNotFoundError": (
                lambda _: "the hub does not know it", "check its name, or set HF_TOKEN if private"
            ),
            "DatasetNotFoundError": (lambda error: str(error)[:200], "check its name and revision"),
            "OfflineModeIsEnabled": (lambda _: "the hub may not be asked", "unset HF_HUB_OFFLINE"),
            "ValueError": (lambda error: str(error)[:200], "check config and split"),
            "RuntimeError": (
                lambda error: f"{str(error)[:160]}; its code is not executed",
                "set `revision: refs/convert/parquet`, where the hub has that",
            ),
        }  # fmt: skip
