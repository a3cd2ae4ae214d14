"""Turn the run's one root seed and a name into the seed of an independent random stream."""

from abovo.provenance.hashing import sha256_bytes


def derive_seed(root: int, stream: str) -> int:
    """A 63-bit seed for `stream` (init, order, dropout, adapters, ...); equal names give equal seeds."""
    return int(sha256_bytes(f"{root}/{stream}".encode())[:16], 16) >> 1
