"""What a server takes at most, so that no client and no number of them can use up the machine."""

from dataclasses import dataclass

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a server takes at most."""

    slots: int = key("Requests that are answered at once", default=2, minimum=1, maximum=256)
    queue: int = key("Requests that wait for a slot", default=64, minimum=0, maximum=10000)
    patience: float = key("Longest wait for a slot (s)", default=60, above=0)
    tokens: int = key("Longest answer (tokens)", default=1024, minimum=1)
    body: int = key("Longest body of a request (bytes)", default=2**20, minimum=1024, maximum=2**30)
