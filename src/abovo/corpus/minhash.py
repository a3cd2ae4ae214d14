"""Turn the words of documents into band hashes: two documents that share one are near-duplicates.

MinHash (Broder 1997) with locality-sensitive bands (Indyk and Motwani 1998): of `permutations` orders of all runs of
`shingle` words each keeps a document's smallest, and `bands` groups of them are hashed. Two documents whose sets of
runs have the Jaccard index s share a band with probability 1 - (1 - s**rows)**bands, rows = permutations / bands.
"""

import numpy as np

from abovo.corpus.words import Words, mixed
from abovo.settings.corpus import Near

_U64 = np.uint64
# One stream of constants for all corpora: a band hash means the same in every part, source and run.
_SEED = 20_240_229


def probability(jaccard: float, near: Near) -> float:
    """The chance that two documents with this Jaccard index are found."""
    rows = near.permutations // near.bands
    return 1 - (1 - jaccard**rows) ** near.bands


def bands_of(words: Words, digests: np.ndarray, near: Near) -> np.ndarray:
    """The band hashes of the batch's documents: uint64 [documents, bands].

    A document with fewer words than one shingle is like nothing but its equals: its bands come from `digests`, one
    64-bit hash per document.
    """
    bands = near.bands
    rows = near.permutations // bands
    grams, starts = words.grams(near.shingle)
    owners = words.owner[starts]
    beginnings = np.flatnonzero(np.diff(owners, prepend=-1))
    found = np.repeat(mixed(digests.astype(_U64))[:, None], bands, 1) + np.arange(bands, dtype=_U64)
    if len(beginnings):
        signature = _signature((grams >> _U64(32)).astype(np.uint32), beginnings, rows * bands)
        found[owners[beginnings]] = _banded(signature, bands, rows)
    return mixed(found + np.arange(bands, dtype=_U64) * _U64(0x9E3779B97F4A7C15))


def _signature(grams: np.ndarray, beginnings: np.ndarray, permutations: int) -> np.ndarray:
    """uint32 [permutations, documents]: the smallest of each document's grams in each order.

    An order is x -> (x ^ a) * b modulo 2**32 with b odd, which 32-bit vector instructions compute.
    """
    draw = np.random.Generator(np.random.PCG64(_SEED))
    flips = draw.integers(0, 1 << 32, permutations, dtype=np.uint32)
    factors = draw.integers(0, 1 << 32, permutations, dtype=np.uint32) | np.uint32(1)
    signature = np.empty((permutations, len(beginnings)), np.uint32)
    ordered = np.empty_like(grams)
    for number in range(permutations):
        np.bitwise_xor(grams, flips[number], out=ordered)
        np.multiply(ordered, factors[number], out=ordered)
        np.minimum.reduceat(ordered, beginnings, out=signature[number])
    return signature


def _banded(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint64 [documents, bands]: one hash for the rows of each band."""
    values = signature.T.astype(_U64).reshape(-1, bands, rows)
    total = np.zeros(values.shape[:2], _U64)
    for row in range(rows):
        total = mixed(total + values[:, :, row])
    return total
