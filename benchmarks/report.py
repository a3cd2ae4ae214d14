"""Print the figures of the corpus benchmark as one table, each beside what it is measured against."""

from typing import Any


def print_table(mb: float, speed: dict[str, float], result: dict[str, Any]) -> None:
    """`speed` in MB per CPU-second of `mb` MB of text; rows of memory in MB."""
    whole = speed["end to end, bpe"]
    print(f"\n{mb:.1f} MB of text. MB per CPU-second, medians; ratio: end to end (bpe) over the row.\n")
    print(f"{'':44}{'measured':>10}{'ratio':>8}")
    for name, value in speed.items():
        if name.startswith(("memory", "documents")):
            continue
        print(f"{name:44}{value:>10.2f}{whole / value:>8.2f}")
    print("\nPeak memory above the imports (MB); comparing documents (duplicates) is bounded by its memory_mb, 512")
    for name, value in speed.items():
        if name.startswith("memory"):
            print(f"{name:44}{value:>10.1f}")
        elif name.startswith("documents"):
            print(f"{name:44}{value:>10.4f}")
    one = result["deduplication"]
    print(f"\ndeduplication of {one['documents']:,} documents: {one['rss_over_imports_mb']} MB of {one['memory_mb']}, "
          f"{one['cpu_seconds']} CPU-s")  # fmt: skip
    for name in ("two_jobs_speedup", "ratio_datatrove", "ratio_datatrove_cheapest"):
        print(f"{name:44}{result[name] if result[name] is not None else 'not run':>10}")
