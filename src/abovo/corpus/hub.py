"""Turn a data set of the Hugging Face hub into records, streamed, at a revision that is resolved once and then kept.

The library reads HF_ENDPOINT and HF_TOKEN by itself; neither is ever logged or stored here. No code of a data set is
executed.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from abovo.corpus.local import text_of
from abovo.errors import AbovoError

log = logging.getLogger("abovo")
ATTEMPTS = 5


def open_dataset(settings: Mapping[str, Any], revision: Mapping[str, Any] | None = None):
    """Open a data set; its one unit is the stream of a split. `revision` names the commit that was resolved before."""
    sha = revision["sha"] if revision else _resolve(settings)

    def read(unit: str) -> Iterator[tuple[str, str | None]]:
        return _stream(settings, sha)

    return {"dataset": settings["dataset"], "sha": sha}, ("stream",), read


def _resolve(settings: Mapping[str, Any]) -> str:
    """The commit that a branch or tag stands for now. The hub's interface is tried again when it is busy or away."""
    import tenacity
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    final = (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError)

    def again(error: BaseException) -> bool:
        status = getattr(getattr(error, "response", None), "status_code", None)
        busy = status is None or status in (408, 425, 429) or status >= 500
        # The library's HTTP client has errors of its own for connections that fail.
        network = isinstance(error, HfHubHTTPError | OSError) or type(error).__module__.startswith("http")
        return not isinstance(error, final) and network and busy

    wait = tenacity.wait_random_exponential(multiplier=0.5, max=20)
    retry = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS), wait=wait, retry=tenacity.retry_if_exception(again), reraise=True
    )
    name, where = settings["dataset"], f"data set {settings['dataset']}"
    try:
        sha = retry(lambda: HfApi().dataset_info(name, revision=settings["revision"], timeout=20).sha)
    except GatedRepoError:
        raise AbovoError("access is restricted", where, "accept its terms on the hub and set HF_TOKEN") from None
    except RevisionNotFoundError:
        raise AbovoError(f"no revision {settings['revision']!r}", where, "set the source's `revision`") from None
    except RepositoryNotFoundError:
        raise AbovoError("the hub does not know it", where, "check its name, or set HF_TOKEN if private") from None
    except Exception as error:
        what = f"the hub cannot be reached ({type(error).__name__})"
        raise AbovoError(what, where, "check the network and HF_ENDPOINT") from None
    if not sha:
        raise AbovoError("the hub names no commit for it", where, "set the source's `revision` to a commit")
    return sha


def _stream(settings: Mapping[str, Any], sha: str) -> Iterator[tuple[str, str | None]]:
    import datasets

    name, column = settings["dataset"], settings["column"]
    where = f"data set {name}, config {settings['config'] or 'default'}, split {settings['split']}"
    datasets.disable_progress_bars()
    try:
        rows = datasets.load_dataset(
            name, settings["config"], split=settings["split"], revision=sha, streaming=True, trust_remote_code=False
        )
        for number, row in enumerate(rows, 1):
            yield f"{name}#{number:09d}", text_of(row, column, f"{where}, row {number}")
    except (AbovoError, MemoryError):
        raise
    except ValueError as error:
        raise AbovoError(str(error)[:200], where, "check config and split") from None
    except Exception as error:
        what = f"streaming failed ({type(error).__name__}: {str(error)[:160]})"
        raise AbovoError(what, where, "check the network and start again") from None
