"""Ask a real llama.cpp what a GGUF file says: the ids of a text, greedy tokens, the text of a conversation.

The engine is xllamacpp's server in this process, on one thread, with keys and values in single precision; a request
never leaves the machine.
"""

import importlib.metadata
import json
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError

PACKAGE = "xllamacpp"


def installed_version() -> str | None:
    """The version of the package that carries llama.cpp; None where it is not installed."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None


class LlamaCpp:
    """A GGUF file opened by llama.cpp, with `context` positions."""

    def __init__(self, path: Path, context: int) -> None:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel, parameters.n_gpu_layers = context, 1, 0
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        parameters.warmup = parameters.fit_params = parameters.ui = False
        parameters.verbosity = -1
        try:
            self.server = xllamacpp.Server(parameters)
        except Exception as error:
            raise AbovoError(f"llama.cpp does not open it ({error})", path, "report this") from None
        self.path = path

    def ids(self, text: str, *, special: bool) -> list[int]:
        """The ids of a text; with `special`, the names of control pieces in it are those pieces."""
        return self._ask("/tokenize", {"content": text, "add_special": False, "parse_special": special})["tokens"]

    def greedy(self, prompt: Sequence[int], count: int, banned: Sequence[int] = ()) -> list[int]:
        """The `count` ids that follow a prompt, each the most likely one of those that are not banned."""
        asked = {
            "prompt": list(prompt), "n_predict": count, "temperature": 0, "top_k": 1, "samplers": ["top_k"],
            "logit_bias": [[one, False] for one in banned], "repeat_penalty": 1.0, "return_tokens": True,
            "cache_prompt": False,
        }  # fmt: skip
        return self._ask("/completion", asked)["tokens"]

    def render(self, conversation: Sequence[Mapping[str, str]]) -> str:
        """The text that a conversation is asked with."""
        return self._ask("/apply-template", {"messages": list(conversation)})["prompt"]

    def _ask(self, path: str, values: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.server.listening_address}{path}",
            json.dumps(values).encode(),
            {"Content-Type": "application/json"},
        )
        # no proxy: the server is this process
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=600) as answer:
            return json.load(answer)
