"""Write the chosen documents into shards, in an order that seed and texts alone decide.

Each document goes to its shard by its hash, stretched over the part of the range that its source uses, so that every
stretch of the corpus holds all sources in the same proportion. Documents move as lines; no text is ever parsed here.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from abovo.console.progress import Progress, several
from abovo.corpus.choose import Share
from abovo.corpus.keys import DOCUMENTS, Part
from abovo.corpus.shards import read_lines, write_lines
from abovo.provenance.files import SPARE_FILES, allow_open_files

# Files that documents are dealt out to at a time; where there are more shards, each is dealt out again.
MOST_FILES = 256
_RANGE = 1 << 64
# A spooled line begins with its place and hash, in hexadecimal, and a blank.
_PLACE = 16


def write_shards(shares: Sequence[Share], shard_mb: float, folder: Path) -> int:
    """Write `shards/shard-00000.jsonl.zst` and so on; returns how many. Memory: a shard, and a bit per document."""
    size = sum(share.bytes for share in shares)
    number = max(1, round(size / (shard_mb * 1_000_000)))
    waiting = folder / ".waiting"
    waiting.mkdir()
    firsts = _groups(0, number)
    allow_open_files(len(firsts) + SPARE_FILES)
    progress, done = Progress("corpus"), 0
    total = sum(share.documents for share in shares)
    with ExitStack() as stack:
        files = [stack.enter_context((waiting / str(first)).open("wb", 1 << 15)) for first, _ in firsts]
        for share in shares:
            for part in share.parts:
                for place, line in _chosen(share, part):
                    files[_file(firsts, place * number // _RANGE)].write(line)
                    done += 1
                    if not done & 1023:
                        progress.update(f"{done:,} of {total:,} documents")
    for first, end in firsts:
        _finish(waiting / str(first), first, end, number, folder)
        progress.update(f"{end:,} of {number:,} shards")
    waiting.rmdir()
    progress.close(f"{several(number, 'shard')}, {several(total, 'document')}, {size / 1e6:.1f} MB of text")
    return number


def _groups(first: int, end: int) -> list[tuple[int, int]]:
    """Shards first to end in at most MOST_FILES runs."""
    step = -(-(end - first) // MOST_FILES)
    return [(start, min(end, start + step)) for start in range(first, end, step)]


def _file(groups: Sequence[tuple[int, int]], shard: int) -> int:
    return (shard - groups[0][0]) // (groups[0][1] - groups[0][0])


def _chosen(share: Share, part: Part) -> Iterator[tuple[int, bytes]]:
    """(place in the corpus, spooled line) of the documents of a part that the corpus keeps."""
    kept = share.kept[part.number]
    if not kept.any():
        return
    end = share.end if share.take == "spread" else None
    expected = part.manifest["outputs"].get(DOCUMENTS, {}).get("sha256")
    lines = read_lines(part.manifest.path.parent / DOCUMENTS, expected, part.manifest.path)
    for first, own in part.key_records():
        columns = [own[name].tolist() for name in ("place", "high", "low")]
        for chosen, line, place, high, low in zip(
            kept[first : first + len(own)].tolist(), lines, *columns, strict=False
        ):
            if chosen:
                if end is not None:
                    place = place * _RANGE // end
                yield place, b"%016x%016x%016x %s" % (place, high, low, line)
    # The checksum of the file is known only at its end.
    for _ in lines:
        pass


def _finish(spool: Path, first: int, end: int, number: int, folder: Path) -> None:
    """Turn a spool into its shards: sorted lines, without what stands before them."""
    if end - first > 1:
        groups = _groups(first, end)
        with spool.open("rb") as lines, ExitStack() as stack:
            paths = [spool.with_name(f"{spool.name}-{start}") for start, _ in groups]
            files: list[IO[bytes]] = [stack.enter_context(path.open("wb", 1 << 15)) for path in paths]
            for line in lines:
                files[_file(groups, int(line[:_PLACE], 16) * number // _RANGE)].write(line)
        spool.unlink()
        for path, (start, stop) in zip(paths, groups, strict=True):
            _finish(path, start, stop, number, folder)
        return
    with spool.open("rb") as file:
        lines_of_shard = sorted(file)
    spool.unlink()
    # A blank stands in no hexadecimal number, so the first one ends what the lines were sorted by.
    write_lines(folder / f"shards/shard-{first:05d}.jsonl.zst", (line[3 * _PLACE + 1 :] for line in lines_of_shard))
