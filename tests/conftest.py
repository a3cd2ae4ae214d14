"""Shared fixtures: the repository's root, and small manifests and models made with the real code."""

import signal
from pathlib import Path

import pytest

from abovo.provenance.products import Job, Made, produce

ROOT = Path(__file__).resolve().parent.parent

# A shell ignores Ctrl-C for what it starts in the background, and what tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def text_corpus(tmp_path_factory):
    """A corpus of real text; tests only read it."""
    from real_text import real_corpus

    return real_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def text_tokenizers(tmp_path_factory, text_corpus):
    """A tokenizer of each kind, trained on `text_corpus`; tests only read them."""
    from real_text import real_tokenizer

    folder = tmp_path_factory.mktemp("tokenizers")
    return {kind: real_tokenizer(folder, text_corpus, kind) for kind in ("bpe", "unigram")}


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """The folder of an untrained model of ours, to be scored; tests only read it."""
    from small_scoring import made

    return made(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def ours(small_folder):
    """The same, opened, with larger weights."""
    from small_scoring import sharpened

    from abovo.modeling.opened import open_scored

    return sharpened(open_scored(small_folder))


@pytest.fixture(scope="session")
def chat_folder(small_folder):
    """The folder of an untrained model of ours that was exported for chats; tests only read it."""
    from small_scoring import made_beside

    return made_beside(small_folder, small_folder.parents[2], chat=True)


@pytest.fixture(scope="session")
def integrator_folders(small_folder, tmp_path_factory):
    """Context -> the folder of an untrained model of integrators that was exported for chats; tests only read them."""
    from small_scoring import made_beside
    from small_training import integrators

    folder = tmp_path_factory.mktemp("integrators")
    # with weights so large that it does not merely repeat its last token
    spread = {"chat": True, "initializer_range": 0.3}
    return {
        context: made_beside(small_folder, folder / context, like=integrators(context), **spread)
        for context in ("causal_mean", "attention")
    }


@pytest.fixture(scope="session", params=["ours", "gpt2", "causal_mean", "attention"])
def any_model(request):
    """An opened model of a decoder, of another's class, or of integrators with either context; tests only read it."""
    from abovo.modeling.opened import open_scored

    if request.param in ("ours", "gpt2"):
        return request.getfixturevalue(request.param)
    return open_scored(request.getfixturevalue("integrator_folders")[request.param])


@pytest.fixture(scope="session")
def gpt2(small_folder, tmp_path_factory):
    """A model of none of our families, opened; tests only read it."""
    from small_scoring import two_layers_of_gpt2

    return two_layers_of_gpt2(small_folder, tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory):
    """The folder of a model of none of our families, with a tokenizer of its own; tests only read it."""
    from small_given import gpt2_folder

    return gpt2_folder(tmp_path_factory.mktemp("given") / "gpt2")


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    """The folder of a chat model of one of our families, with a tokenizer of its own; tests only read it."""
    from small_given import llama_folder

    return llama_folder(tmp_path_factory.mktemp("given") / "llama")


@pytest.fixture
def make_manifest(tmp_path):
    """A function that writes files (name -> bytes) and a manifest with `fields` for them, by way of produce()."""

    def make(folder: str, schema: str, files: dict[str, bytes], name: str = "manifest.json", counts=None, **fields):
        def write(place: Path) -> Made:
            for file, data in files.items():
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                (place / file).write_bytes(data)
            return Made(counts=counts or {}, fields=fields)

        return produce(Job(tmp_path / folder / name, schema, {}, {}, Path(__file__)), write)

    return make
